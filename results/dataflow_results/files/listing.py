"""What lies below a path of a filesystem of fsspec: told by the store itself, complete or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import unquote

from dataflow_results.files.access import Access
from dataflow_results.files.protocol import Entry
from dataflow_results.files.trouble import Kind, Trouble, error_for
from dataflow_results.files.uploads import THREADS

__all__ = ["entries_below"]

Infos: TypeAlias = dict[str, dict[str, Any]]
"""Path → what fsspec tells of it."""

ASKED_AT_ONCE = 16
"""Files whose size is asked for at the same time, where listings tell none."""
TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created", "Last-Modified")
"""What the filesystems of fsspec call the time of the last change."""
ISO = re.compile(r"\d{4}-")
NO_NAME = re.compile(r"[?#]|/\.{1,2}(/|$)")
"""Pages of the web that list a folder have links to sort it by, too, and some to itself."""


def entries_below(access: Access, folder: str) -> Iterator[Entry]:
    """All files below a folder of a store, whatever was listed before; none if it is absent.

    Raises:
        StoreError: the store is in trouble; a part of a listing is never given for the whole.
    """
    here = access.here
    path = access.path(folder) if folder else here.root
    found = access.attempt(lambda: _found(here.filesystem, path))
    if isinstance(found, Trouble):
        if found.kind is Kind.MISSING:
            return
        raise error_for(found, access.where(folder))
    files = {name: info for name, info in found.items() if info.get("type") == "file" and name.startswith(f"{path}/")}
    if access.habits.read_only:
        files = _asked(access, files, folder)
    for name, info in files.items():
        shown = name[len(here.root) + 1 :]
        yield Entry(
            name=unquote(shown) if access.habits.read_only else shown,
            size_bytes=int(info.get("size") or 0),
            modified_seconds=_modified_seconds(info),
        )


def _found(filesystem: Any, path: str) -> Infos:
    filesystem.invalidate_cache()
    if _walks(filesystem):
        return _walked(filesystem, path)
    found = filesystem.find(path, detail=True)
    return found if isinstance(found, dict) else {}  # adlfs gives a list if the path is a file: nothing lies below it


def _walks(filesystem: Any) -> bool:
    """Whether it finds files by the walk of fsspec itself, which takes folders that it cannot list for empty ones."""
    method = getattr(type(filesystem), "_find" if getattr(filesystem, "async_impl", False) else "find", None)
    return getattr(method, "__module__", "") in {"fsspec.asyn", "fsspec.spec"}


def _walked(filesystem: Any, path: str) -> Infos:
    found: Infos = {}
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        for info in _listed(filesystem, folder):
            name = info["name"].rstrip("/")
            if name == folder or NO_NAME.search(name):
                continue
            if info["type"] == "directory":
                waiting.append(name)
            else:
                found[name] = info
    return found


def _listed(filesystem: Any, folder: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = filesystem.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):  # it went away, or never was
        return []
    return found


def _asked(access: Access, files: Infos, folder: str) -> Infos:
    """The files with sizes: those without one are asked for, several at a time; what is gone meanwhile is left out."""
    unknown = [name for name, info in files.items() if info.get("size") is None]
    if not unknown:
        return files
    with ThreadPoolExecutor(min(ASKED_AT_ONCE, len(unknown)), thread_name_prefix=THREADS) as pool:
        told = dict(zip(unknown, pool.map(partial(_info, access), unknown), strict=True))
    complete = {}
    for name, info in files.items():
        answer = told.get(name, info)
        if not isinstance(answer, Trouble):
            complete[name] = answer
        elif answer.kind is not Kind.MISSING:
            raise error_for(answer, access.where(folder))
    return complete


def _info(access: Access, path: str) -> dict[str, Any] | Trouble:
    return access.attempt(lambda: access.filesystem.info(path))


def _modified_seconds(info: dict[str, Any]) -> float:
    told = next((info[name] for name in TIMES if info.get(name) is not None), 0.0)
    if isinstance(told, str):
        told = datetime.fromisoformat(told) if ISO.match(told) else parsedate_to_datetime(told)
    if isinstance(told, datetime):
        told = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    return float(told)
