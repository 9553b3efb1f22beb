"""Reading ranges of remote files: many small ones at the same time, or the parts of one large one into one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias

from dataflow_results.errors import CorruptResult, ResultsError
from dataflow_results.files.access import Access
from dataflow_results.files.trouble import TRANSIENT, Kind, Patience, Trouble, error_for
from dataflow_results.files.uploads import PART_BYTES, THREADS

__all__ = ["read_into", "read_ranges"]

Range: TypeAlias = tuple[str, int, int | None]
"""Name, start, stop (None: the end)."""
Place: TypeAlias = tuple[str, int, int | None]
"""The same with the path that the filesystem knows."""

READERS = 6
"""Ranges of one large file that are read at once."""
WEB_READERS = 16
"""Ranges that are asked of one server of the web at once."""


def read_ranges(access: Access, parts: Sequence[Range]) -> list[bytes | ResultsError]:
    """Each range, or the error of it; those that may succeed later are asked again, all together."""
    wanted = [(access.path(name), start, stop) for name, start, stop in parts]
    found = _ask(access, wanted)
    pauses = access.patience.pauses()
    while again := [number for number, one in enumerate(found) if isinstance(one, Trouble) and one.kind in TRANSIENT]:
        pause = next(pauses, None)
        if pause is None:
            break
        access.patience.sleep(pause)
        for number, one in zip(again, _ask(access, [wanted[number] for number in again]), strict=True):
            found[number] = one
    return [_told(access, name, one) for (name, _, _), one in zip(parts, found, strict=True)]


def _told(access: Access, name: str, found: bytes | Trouble) -> bytes | ResultsError:
    if isinstance(found, bytes):
        return found
    return b"" if found.kind is Kind.BEYOND_END else error_for(found, access.where(name))


def _ask(access: Access, wanted: Sequence[Place]) -> list[bytes | Trouble]:
    """Each range once, or its trouble."""
    if access.habits.read_only:
        return _ask_web(access, wanted)
    filesystem, once = access.filesystem, Patience(tries=1)
    if len(wanted) == 1 or not getattr(filesystem, "async_impl", False):
        return [once.attempt(partial(_cat, filesystem, *one), access.judge) for one in wanted]
    paths, starts, stops = (list(column) for column in zip(*wanted, strict=True))
    found = once.attempt(lambda: filesystem.cat_ranges(paths, starts, stops, on_error="return"), access.judge)
    if isinstance(found, Trouble):
        return [found] * len(wanted)
    return [access.judge(one) if isinstance(one, BaseException) else bytes(one) for one in found]


def _ask_web(access: Access, wanted: Sequence[Place]) -> list[bytes | Trouble]:
    """The same over http, where a server may send the whole file for any range."""

    def ask(place: Place) -> bytes | Trouble:
        return Patience(tries=1).attempt(lambda: _cut(access.filesystem, *place), access.judge)

    if len(wanted) == 1:
        return list(map(ask, wanted))
    with ThreadPoolExecutor(min(WEB_READERS, len(wanted)), thread_name_prefix=THREADS) as pool:
        return list(pool.map(ask, wanted))


def _cut(filesystem: Any, path: str, start: int, stop: int | None) -> bytes:
    """A range, cut out here if the whole file came: as long as the file is no range that begins later."""
    data = _cat(filesystem, path, start, stop)
    came_whole = start == 0 or (data and len(data) == filesystem.info(path)["size"])
    return data[start:stop] if came_whole else data


def _cat(filesystem: Any, path: str, start: int, stop: int | None) -> bytes:
    return b"" if stop is not None and stop <= start else bytes(filesystem.cat_file(path, start=start, end=stop))


def read_into(access: Access, name: str, start: int, view: memoryview) -> None:
    """Fill a view; a large one by several ranges at a time, so that no second copy of the whole exists."""
    begins = range(0, view.nbytes, PART_BYTES)
    fill = partial(_fill, access, name, start, view)
    if len(begins) <= 1:
        list(map(fill, begins))
        return
    with ThreadPoolExecutor(min(READERS, len(begins)), thread_name_prefix=THREADS) as pool:
        list(pool.map(fill, begins))


def _fill(access: Access, name: str, start: int, view: memoryview, begin: int) -> None:
    target = view[begin : begin + PART_BYTES]
    [data] = read_ranges(access, [(name, start + begin, start + begin + target.nbytes)])
    if isinstance(data, ResultsError):
        raise data
    if len(data) != target.nbytes:
        missing = target.nbytes - len(data)
        raise CorruptResult(f"the file ends {missing:,} bytes too early", where=access.where(name))
    target[:] = data
