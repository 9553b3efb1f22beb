"""What a store takes, file by file: packs, values of their own, damaged ones, unfinished writes, everything else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataflow_results.files.protocol import Entry

if TYPE_CHECKING:
    from dataflow_results.store import ResultStore

__all__ = ["Area", "areas_of"]

AREAS: Final = {
    "tasks": "packs",
    "objects": "objects",
    "trees": "folders",
    "set-aside": "set aside",
    "leases": "leases",
    "runs": "runs",
    "pins": "pins",
    "format.json": "layout",
}
"""First part of a name to what lies there; all else is plain files whose names users chose."""
FILES: Final = "plain files"
UNFINISHED: Final = "unfinished writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Files of one kind."""

    name: str
    files: int
    size_bytes: int


def areas_of(store: ResultStore) -> list[Area]:
    """What each kind of file takes, the largest first; kinds without files are left out. One listing.

    Raises:
        StoreError: the store does not answer.

    Example:
        >>> from dataflow_results.store import ResultStore
        >>> store = ResultStore("memory://usage-example")
        >>> reference = store.put("answer", 42)
        >>> [(area.name, area.files) for area in areas_of(store)]
        [('packs', 1), ('layout', 1)]
    """
    found: dict[str, list[Entry]] = {}
    for entry in store.files.list():
        found.setdefault(AREAS.get(entry.name.partition("/")[0], FILES), []).append(entry)
    areas = [*(_area(name, entries) for name, entries in found.items()), _area(UNFINISHED, store.files.leftovers())]
    return sorted((area for area in areas if area.files), key=lambda area: area.size_bytes, reverse=True)


def _area(name: str, entries: Iterable[Entry]) -> Area:
    sizes = [entry.size_bytes for entry in entries]
    return Area(name=name, files=len(sizes), size_bytes=sum(sizes))
