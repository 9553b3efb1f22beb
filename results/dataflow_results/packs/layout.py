"""The file that says how a store is laid out, so that a newer layout is refused and not misread."""

from __future__ import annotations

import json
import uuid
from typing import Final

from dataflow_results.errors import ResultMissing, UnknownFormat
from dataflow_results.files.protocol import Files

__all__ = ["LAYOUT", "LAYOUT_FILE", "Layout"]

LAYOUT: Final = 1
LAYOUT_FILE: Final = "format.json"


class Layout:
    """The layout of one store; looked at once per process."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._present: bool | None = None

    def check(self) -> None:
        """Refuse a store of a newer layout."""
        if self._present is not None:
            return
        try:
            layout = json.loads(self._files.read(LAYOUT_FILE))["layout"]
        except ResultMissing:
            self._present = False
            return
        except (ValueError, KeyError, TypeError):
            layout = LAYOUT  # each pack says its format too
        if layout > LAYOUT:
            raise UnknownFormat(
                f"the store has layout {layout}; this version knows {LAYOUT}",
                where=self._files.url,
                fix="upgrade dask-dataflow",
            )
        self._present = True

    def write(self) -> None:
        """Say the layout, if nobody has."""
        self.check()
        if not self._present:
            content = {"layout": LAYOUT, "store": uuid.uuid4().hex}
            self._files.write(LAYOUT_FILE, [json.dumps(content).encode()])
            self._present = True
