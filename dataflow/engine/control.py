"""Control of a batch while it runs: after how long it stops, and how it is asked to give its rest back now.

The walk compares one number per element, the time of its next check. Between checks, and while one element takes long,
the batch can be asked from another thread to stop. If it is within a long element then, it is certain which elements it
will not begin, so that they can run elsewhere at once, instead of waiting for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

__all__ = ["Control", "cancel", "is_withdrawn", "recall", "withdraw"]

CHECK_SECONDS = 0.02
STUCK_SECONDS = 2.5 * CHECK_SECONDS
STOP = float("-inf")

Progress = Callable[[], tuple[int, float] | None]

running: dict[tuple[str, int], Control] = {}
"""Batches that run in this process, by run and number."""
MOST_REMEMBERED_RUNS = 1024
cancelled_runs: OrderedDict[str, None] = OrderedDict()
"""Runs that were cancelled, the latest ones: their batches that begin after all run nothing."""
withdrawn_runs: OrderedDict[str, int] = OrderedDict()
"""Runs that were paused, the latest ones: their batches up to this number, where they begin after all, run nothing."""


class Control:
    """Stops a walk.

    Args:
        progress: gives how many elements will have ended if no further one is begun, and when the walk was last heard
            of; None while that is not certain.
        clock: gives seconds.
        deadline: on that clock, after which no further element is begun.
    """

    __slots__ = ("_clock", "_deadline", "_progress", "on_cancel", "recalled")

    @property
    def may_stop(self) -> bool:
        """Whether the batch may end before its last element."""
        return self._deadline != float("inf")

    def __init__(self, progress: Progress, clock: Callable[[], float], deadline: float) -> None:
        self._progress = progress
        self._clock = clock
        self._deadline = deadline
        self.recalled = False
        self.on_cancel: list[Callable[[], object]] = []
        """End the attempts under way, where that is possible."""

    def __call__(self, now: float) -> float:
        """Asked by the walk between two elements: when to ask again, or `STOP`."""
        return STOP if self.recalled or now >= self._deadline else now + CHECK_SECONDS

    def recall(self) -> int | None:
        """Ask the walk to stop.

        Returns:
            How many elements it will have run when it stops, if that is certain, because it is within a long element;
            None if it is not: then its report says so, soon.
        """
        self.recalled = True  # before looking, so that an element that ends now is not followed by another
        heard = self._progress()
        if heard is None or self._clock() - heard[1] < STUCK_SECONDS:
            return None
        return heard[0]

    def cancel(self) -> None:
        """Stop the walk after the element it is in, and that element at once where that is possible."""
        self.recalled = True
        for end in self.on_cancel:
            end()


def recall(run_id: str, number: int) -> int | None:
    """Ask a batch of this process, if it runs here, to give its rest back; see `Control.recall`."""
    control = running.get((run_id, number))
    return None if control is None else control.recall()


def withdraw(run_id: str, last: int) -> dict[int, int]:
    """Pause a run here: batches that run give their rest back, those that have not begun will run nothing.

    Args:
        run_id: the run.
        last: number of the last batch that this is about; later ones were sent when the run went on.

    Returns:
        How many elements batches will have run when they stop, by number, as far as that is certain.
    """
    withdrawn_runs[run_id] = max(last, withdrawn_runs.get(run_id, last))
    while len(withdrawn_runs) > MOST_REMEMBERED_RUNS:
        withdrawn_runs.popitem(last=False)
    stopped = [(number, control) for (run, number), control in list(running.items()) if run == run_id]
    limits = {number: control.recall() for number, control in stopped if control.may_stop}
    return {number: limit for number, limit in limits.items() if limit is not None}


def is_withdrawn(run_id: str, number: int) -> bool:
    """Whether a batch that begins now is to run nothing, because its run was paused after it was sent."""
    return number <= withdrawn_runs.get(run_id, -1)


def cancel(run_id: str, numbers: Collection[int] | None = None) -> list[int]:
    """Stop batches of a run that run in this process.

    Args:
        run_id: the run.
        numbers: of the batches; None: the whole run is cancelled, also what of it has not begun.

    Returns:
        The numbers of those that run here.
    """
    if numbers is None:
        cancelled_runs[run_id] = None
        while len(cancelled_runs) > MOST_REMEMBERED_RUNS:
            cancelled_runs.popitem(last=False)
    found = [(number, control) for (run, number), control in list(running.items()) if run == run_id]
    stopped = [(number, control) for number, control in found if numbers is None or number in numbers]
    for _, control in stopped:
        control.cancel()
    return [number for number, _ in stopped]
