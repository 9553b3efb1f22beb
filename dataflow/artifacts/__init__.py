"""Artifacts: what tasks and flows make to be looked at: texts, tables, links, pictures and bars of progress.

They are kept in the history of runs, with the run, the node and the element that made them. Artifacts of one key are
versions of one thing: the newest is shown, the earlier ones stay as long as their runs do.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

from dataflow.artifacts.kinds import (
    checked_key,
    image_bytes,
    link_bytes,
    markdown_bytes,
    progress_bytes,
    table_bytes,
)
from dataflow.artifacts.writing import keep_outside_of_runs
from dataflow.engine.notices import ARTIFACT
from dataflow.engine.speaking import say
from dataflow.errors import UsageError

__all__ = [
    "ArtifactId",
    "acreate_image_artifact",
    "acreate_link_artifact",
    "acreate_markdown_artifact",
    "acreate_progress_artifact",
    "acreate_table_artifact",
    "aupdate_progress_artifact",
    "create_image_artifact",
    "create_link_artifact",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "update_progress_artifact",
]

P = ParamSpec("P")
T = TypeVar("T")

REMEMBERED = 10_000
"""Of so many bars of progress a process knows what they said last."""


class ArtifactId(UUID):
    """The id of an artifact. Awaited it gives itself, so that ``async def`` code may be written either way."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, ArtifactId]:
        yield from ()  # what makes this a generator, which is what ``await`` wants
        return self


def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Keep a text in markdown.

    Args:
        markdown: the text; beyond a million characters it is cut, with a note.
        key: what it is a version of: lowercase letters, digits and dashes. Without, it belongs to its run only.
        description: a sentence on what it shows.

    Raises:
        UsageError: the text is none, or the key is not one.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def weekly():
        ...     create_markdown_artifact("# All is well", key="weekly-report")
        >>> weekly()
    """
    where = "create_markdown_artifact"
    return _create("markdown", markdown_bytes(markdown), checked_key(key, where), description)


def create_table_artifact(table: Any, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Keep a table.

    What is no number is kept as null; of a table with more than 10,000 rows, or 1 MB, the first rows are kept.

    Args:
        table: a list of dicts, a dict of lists, a list of lists, or a frame or table of pandas, polars or Arrow.
        key: what it is a version of: lowercase letters, digits and dashes. Without, it belongs to its run only.
        description: a sentence on what it shows.

    Raises:
        UsageError: it is no table, or the key is not one.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def rain():
        ...     create_table_artifact([{"city": "Bonn", "rain": 1.5}, {"city": "Ulm", "rain": 0.0}], key="rain")
        >>> rain()
    """
    return _create("table", table_bytes(table), checked_key(key, "create_table_artifact"), description)


def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> ArtifactId:
    """Keep a link to something that lies elsewhere.

    Args:
        link: where it is.
        link_text: what to write instead of the address.
        key: what it is a version of: lowercase letters, digits and dashes. Without, it belongs to its run only.
        description: a sentence on what it leads to.

    Raises:
        UsageError: the link is no text, or the key is not one.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def publish():
        ...     create_link_artifact("https://example.com/output.csv", "the output", key="output")
        >>> publish()
    """
    return _create("link", link_bytes(link, link_text), checked_key(key, "create_link_artifact"), description)


def create_image_artifact(
    image_url: str | None = None,
    key: str | None = None,
    description: str | None = None,
    *,
    image: str | bytes | Path | Any = None,
) -> ArtifactId:
    """Keep a picture, or where it is.

    Args:
        image_url: address of a picture that lies elsewhere.
        key: what it is a version of: lowercase letters, digits and dashes. Without, it belongs to its run only.
        description: a sentence on what it shows.
        image: a picture that is to be kept itself: its path, its bytes (at most 10 MB), a figure of matplotlib, or
            whatever else a notebook would show as a picture.

    Raises:
        UsageError: it is no picture or too large, or the key is not one.
        OSError: the file cannot be read.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def draw():
        ...     create_image_artifact(image=b'<svg xmlns="http://www.w3.org/2000/svg"/>', key="nothing")
        >>> draw()
    """
    return _create("image", image_bytes(image_url, image), checked_key(key, "create_image_artifact"), description)


def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> ArtifactId:
    """Keep how far something is, and show it while it goes on.

    Args:
        progress: in percent; what is outside of 0 to 100 is taken for the nearer of them.
        key: what it is a version of: lowercase letters, digits and dashes. Without, it belongs to its run only.
        description: a sentence on what goes on.

    Returns:
        The id to update it by.

    Raises:
        UsageError: the progress is no number, or the key is not one.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def long():
        ...     progress = create_progress_artifact(0, description="half of the work")
        ...     update_progress_artifact(progress, 50)
        >>> long()
    """
    where = "create_progress_artifact"
    return _create("progress", progress_bytes(progress, where), checked_key(key, where), description)


def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> ArtifactId:
    """Say how far something is now. Cheap: of many updates in a second only the newest travels.

    Args:
        artifact_id: as `create_progress_artifact` gave it, be it in this task, another one, or the flow.
        progress: in percent; what is outside of 0 to 100 is taken for the nearer of them.
        description: a new sentence on what goes on, instead of the one there is.

    Raises:
        UsageError: the progress is no number, or the id is none.

    Example:
        >>> from dataflow import flow
        >>> @flow(cluster="inline")
        ... def long():
        ...     progress = create_progress_artifact(0)
        ...     for percent in range(0, 101, 10):
        ...         update_progress_artifact(progress, percent)
        >>> long()
    """
    where = "update_progress_artifact"
    try:
        artifact = ArtifactId(str(artifact_id))
    except ValueError:
        fix = "give what create_progress_artifact gave"
        raise UsageError(f"{artifact_id!r} is no id of an artifact", where=where, fix=fix) from None
    news = {"id": str(artifact), "kind": "progress", "data": progress_bytes(progress, where), "updated": time.time()}
    _tell(_remembered({**news, **_described(description)}))
    return artifact


def _create(kind: str, data: bytes, key: str, description: str | None) -> ArtifactId:
    """Tell of a new artifact."""
    artifact, now = ArtifactId(int=uuid4().int), time.time()
    body = {"id": str(artifact), "key": key, "kind": kind, "data": data, "created": now, "updated": now}
    body.update({"description": ""}, **_described(description))
    _tell(_remembered(body) if kind == "progress" else body)
    return artifact


def _described(description: str | None) -> dict[str, str]:
    return {} if description is None else {"description": str(description)}


def _tell(body: dict[str, Any]) -> None:
    """To the run, as the element or the flow that is executing; straight to the database where there is none."""
    if not say(ARTIFACT, body, replaces=body["id"]):
        keep_outside_of_runs(body)


_said: OrderedDict[str, dict[str, Any]] = OrderedDict()
_said_lock = threading.Lock()


def _remembered(news: dict[str, Any]) -> dict[str, Any]:
    """All that this process has said of a bar of progress, so that its newest notice is enough by itself."""
    with _said_lock:
        whole = _said[news["id"]] = {**_said.pop(news["id"], {}), **news}
        if len(_said) > REMEMBERED:
            _said.popitem(last=False)
    return whole


def _awaited(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """The same for those who await it; it is too short to be worth a thread."""

    @functools.wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    awaited.__name__ = awaited.__qualname__ = f"a{function.__name__}"
    awaited.__doc__ = f"As `{function.__name__}`, to be awaited."
    return awaited


acreate_markdown_artifact = _awaited(create_markdown_artifact)
acreate_table_artifact = _awaited(create_table_artifact)
acreate_link_artifact = _awaited(create_link_artifact)
acreate_image_artifact = _awaited(create_image_artifact)
acreate_progress_artifact = _awaited(create_progress_artifact)
aupdate_progress_artifact = _awaited(update_progress_artifact)
