"""Waiting for several futures: until all have ended, or one after the other as they end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dataflow.errors import NotFinished

if TYPE_CHECKING:
    from dataflow.futures import Future

__all__ = ["DoneAndNotDone", "as_completed", "wait"]

R = TypeVar("R")
TURN_SECONDS = 0.02
"""How long one of several runs is listened to before the next."""


class DoneAndNotDone(NamedTuple):
    """Futures that have ended and futures that have not, each in the order they were given."""

    done: list[Any]
    not_done: list[Any]


def wait(futures: Iterable[Future[R]], timeout: float | None = None) -> DoneAndNotDone:
    """Wait until all futures have ended, well or not.

    Args:
        futures: futures, or one mapped future (then its elements).
        timeout: seconds to wait at most for all of them.

    Returns:
        Two lists, of the futures that have ended and of those that have not.
    """
    waited = list(futures)
    deadline = None if timeout is None else time.monotonic() + timeout
    _wait_for_nodes(futures, waited, deadline)
    done = [future for future in waited if future.done()]
    unfinished = [future for future in waited if not future.done()] if len(done) < len(waited) else []
    return DoneAndNotDone(done, unfinished)


def _wait_for_nodes(futures: Any, waited: list[Any], deadline: float | None) -> None:
    whole = getattr(futures, "index", 0) is None
    for future in [futures] if whole else waited:
        future.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> Iterator[Future[R]]:
    """The futures in the order in which they end.

    Args:
        futures: futures, or one mapped future (then its elements).
        timeout: seconds to wait at most for all of them.

    Raises:
        NotFinished: some have not ended within the timeout.
    """
    of_a_map = getattr(futures, "in_order_of_ending", None)
    if of_a_map is not None:
        yield from of_a_map(timeout)
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    given = list(dict.fromkeys(futures))
    missing: dict[tuple[Any, Any], Future[R]] = {_place(future): future for future in given}
    heard = dict.fromkeys((future.run for future in given), 0)
    while missing:
        for run in heard:
            for node, start, stop in run.ended_since(heard[run]):
                heard[run] += 1
                yield from _taken(missing, node, start, stop)
        if missing and not _more(heard, deadline):
            raise NotFinished(f"{len(missing)} of {len(given)} futures have not ended", fix="wait longer")


def _place(future: Any) -> tuple[Any, Any]:
    """The element a future stands for; None for a mapped node as a whole."""
    if future.node.space is None:
        return future.node, 0
    return future.node, future.index if isinstance(future.index, int) else None


def _taken(missing: dict[tuple[Any, Any], Any], node: Any, start: int, stop: int) -> Iterator[Any]:
    for index in range(start, stop):
        future = missing.pop((node, index), None)
        if future is not None:
            yield future
    if (node, None) in missing and missing[node, None].done():
        yield missing.pop((node, None))


def _more(heard: dict[Any, int], deadline: float | None) -> bool:
    """Wait until some run has news; several runs are asked in turns."""
    while True:
        for run, position in heard.items():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            turn = left if len(heard) == 1 else min(TURN_SECONDS, TURN_SECONDS if left is None else left)
            if run.wait_for_news(position, turn):
                return True
        if deadline is not None and time.monotonic() >= deadline:
            return False
