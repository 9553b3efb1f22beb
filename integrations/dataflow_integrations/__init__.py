"""Outside systems, one module each, found by entry points and imported by nobody; filled by a later release."""

from __future__ import annotations

__all__: list[str] = []
