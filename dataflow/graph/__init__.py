"""Nodes, edges and how calls become them; knows nothing of Dask and runs nothing."""
