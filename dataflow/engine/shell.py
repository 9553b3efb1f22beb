"""What a shell does for the machine: the one interface between deciding and performing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dataflow.engine.assemble import Assembled
from dataflow.engine.events import BatchAway, BatchLost, BatchReported, CancelAsked, RestReturned, ThreadsChanged
from dataflow.engine.limits.desk import Desk
from dataflow.engine.notices import Noticed
from dataflow.engine.records import BatchRecord

__all__ = ["Cluster", "Post", "Shell"]

Post = Callable[[BatchReported | BatchLost | BatchAway | RestReturned | ThreadsChanged | CancelAsked | Noticed], None]
"""Tells the machine that something happened; may be called from any thread."""


class Shell(Protocol):
    """Performs instructions for one run on one cluster."""

    threaded: bool
    """Whether batches run elsewhere, so that the run needs a thread of its own to drive it."""
    limits: Desk
    """Where places of limits are asked for."""

    def threads(self) -> int:
        """Worker threads now."""

    def key_of(self, value: Any, is_collection: bool) -> str:
        """The key under which an object stands that travels by itself; it is put there at the first call."""

    def submit(self, batches: Sequence[Assembled]) -> None:
        """Run batches."""

    def run_next(self) -> bool:
        """Run one of the batches now, where it is the caller's thread that runs them; False if there is none."""

    def release(self, keys: Sequence[str]) -> None:
        """Drop columns."""

    def recall(self, batches: Sequence[BatchRecord]) -> None:
        """Ask running batches to give back what they have not begun."""

    def withdraw(self, last: int) -> None:
        """Ask all batches up to this number to give back what they have not begun."""

    def stop(self, batches: Sequence[BatchRecord], *, whole_run: bool) -> None:
        """Ask batches to stop: each reports how far it came, or is lost if it has not begun."""

    def cancel(self, batches: Sequence[BatchRecord]) -> None:
        """Take batches off; nobody waits for them any more."""

    def fetch(self, keys: Sequence[str]) -> list[Any]:
        """The columns with these keys."""

    def fetch_part(self, key: str, start: int, stop: int) -> list[Any]:
        """Some values of a column, without moving the others."""

    def tend(self) -> None:
        """Called now and then: look after the cluster."""

    def hand_over_errors(self) -> object:
        """What keeps the exceptions of the run alive, where they are kept as they are; it does not keep them longer."""

    def close(self) -> None:
        """Drop everything of this run."""


class Cluster(Protocol):
    """Where runs take place."""

    name: str
    crosses_processes: bool
    """Whether batches run in other processes, so that all they use must travel."""

    def open_shell(self, run_id: str, post: Post) -> Shell:
        """A shell for one run."""
