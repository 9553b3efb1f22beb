"""The files of a store: one small interface, an implementation for local disks and one for everything fsspec knows."""

from __future__ import annotations

from dataflow_results.files.opening import open_files
from dataflow_results.files.protocol import Entry, Files

__all__ = ["Entry", "Files", "open_files"]
