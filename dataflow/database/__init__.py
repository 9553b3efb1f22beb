"""Remembering: the database of runs. Rows and blobs only; it knows nothing of flows, tasks or Dask."""
