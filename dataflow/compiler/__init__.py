"""Stages become programs, programs and slices become batches, batches become Dask tasks."""
