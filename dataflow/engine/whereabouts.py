"""Which element executes, found in the frames of the thread that walks: nobody has to say so for each element."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from types import FrameType
from typing import Any

from dataflow.collection import frames_of_threads
from dataflow.compiler.program import Step
from dataflow.context import current_attempt
from dataflow.engine.generated import MISSING, WALK_NAME
from dataflow.engine.ledger import Ledger
from dataflow.engine.trials import Trial
from dataflow.engine.voices import Where
from dataflow.engine.walk import CarefulWalk

__all__ = ["Whereabouts", "awaited_trial"]

awaited_trial: ContextVar[Trial | None] = ContextVar("awaited_trial", default=None)
"""The trial of the element of an async batch that executes in this context."""
STEPS, ATTEMPT = CarefulWalk._steps.__code__, CarefulWalk._attempt.__code__
"""What of a careful walk calls functions of tasks."""


class Whereabouts:
    """Where the walk of a batch is.

    It is made in the thread that walks; another one that goes on with the walk says so by `come_here`.
    """

    __slots__ = ("ledger", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.ledger: Ledger | None = None
        """Of the walk that is under way: of the batch, or of a part of it."""

    def come_here(self) -> None:
        """This thread walks now."""
        self.thread = threading.get_ident()

    def where(self) -> Where | None:
        """The element that executes: in this thread, or in the one that walks; None between elements."""
        found = self._found()
        if found is None:
            return None
        ledger, position, offset, attempt = found
        first, offsets = ledger.origin
        return Where(position + first, offset if offsets is None else int(offsets[offset]), attempt)

    def arguments(self) -> tuple[Step, Sequence[Any]] | None:
        """The step that executes, and the arguments of its function."""
        trial = awaited_trial.get() or self._trial()
        return None if trial is None else (trial.ledger.program.steps[trial.position], trial.arguments)

    def _trial(self) -> Trial | None:
        """A trial of the element that executes, made only to be asked."""
        frame = self._walking()
        if frame is None or self.ledger is None:
            return None
        known = frame.f_locals
        if frame.f_code.co_name != "walk":
            walk: CarefulWalk = known["self"]
            return walk.trial_at(walk.position)
        values = [known.get(f"v{slot}") for slot in range(self.ledger.calls[-1].slot + 1)]
        return Trial(self.ledger, values, known["done"], _position(self.ledger, known))

    def _found(self) -> tuple[Ledger, int, int, int] | None:
        trial = awaited_trial.get()
        if trial is not None:
            return trial.ledger, trial.position, trial.offset, trial.attempt
        frame, attempt = self._walking(), current_attempt.get().attempt
        if frame is None or self.ledger is None:
            return None
        known = frame.f_locals
        if frame.f_code.co_name != "walk":
            walk: CarefulWalk = known["self"]
            return walk.ledger, walk.position, walk.done, attempt
        return self.ledger, _position(self.ledger, known), known["done"], attempt

    def _walking(self) -> FrameType | None:
        """The innermost frame that walks, of this thread, or else of the one that is known to walk."""
        frame = _innermost(sys._getframe(2))
        if frame is None and self.thread != threading.get_ident():
            frame = _innermost(frames_of_threads().get(self.thread))
        return frame


def _innermost(frame: FrameType | None) -> FrameType | None:
    while frame is not None:
        code = frame.f_code
        if code is STEPS or code is ATTEMPT or (code.co_name == "walk" and code.co_filename.startswith(WALK_NAME)):
            return frame
        frame = frame.f_back
    return None


def _position(ledger: Ledger, known: Any) -> int:
    """The step that the generated walk is in: the first that has no value."""
    first = ledger.calls[0].slot
    steps = range(len(ledger.calls))
    return next((step for step in steps if known.get(f"v{first + step}") is MISSING), len(ledger.calls) - 1)
