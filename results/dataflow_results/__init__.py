"""Values that outlive a run: stores, records and packs. Knows nothing of flows or Dask; filled by a later release."""

from __future__ import annotations

__all__: list[str] = []
