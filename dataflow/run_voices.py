"""The voice of a run: what the body of its flow says, and who hears what is said in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataflow.context import run_facts
from dataflow.engine.notices import LOG, PlacedNotice
from dataflow.engine.voices import PRINT, Lines, Where, hushed
from dataflow.log_display import LogDisplay
from dataflow.logs import FLOW
from dataflow.recording.descriptions import Description
from dataflow.recording.places import url_within
from dataflow.run_facts import Parameters, RunFacts
from dataflow.settings import settings

__all__ = ["RunVoice"]

logger = logging.getLogger("dataflow")
BODY_SHARE = 16
"""Of what the body of a flow says, so many times as much is kept as of an element."""
Listener = Callable[[Sequence[PlacedNotice]], None]


class RunVoice:
    """Takes what the body of one run's flow says, and passes on what its elements say.

    Args:
        run_id: the run.
        flow: name of the flow.
        description: what its door says of it.
        parameters: of the flow.
    """

    def __init__(self, run_id: str, flow: str, description: Description, parameters: Mapping[str, Any] | None) -> None:
        self._id, self._flow, self.description = run_id, flow, description
        self._parameters = parameters
        self._outer = run_facts()
        self._known: RunFacts | None = None
        self.attempt = 1
        """At the flow as a whole; to be said before anything is sent."""
        shows = _first(
            description.show_logs, True if self._outer and self._outer.shows_logs else None, settings().show_logs
        )
        self._shows = shows
        self._display = LogDisplay(lambda: self.facts, shows=shows)
        self.listeners: list[Listener] = [self._display.hear]
        """Called with what elements and the body say, in the thread that hears it first."""
        self._lock = threading.RLock()
        self._lines = Lines(settings().log_bytes_per_element * BODY_SHARE, self._put)

    @property
    def facts(self) -> RunFacts:
        """What code of the run may ask about it."""
        if self._known is None:
            outer, known = self._outer, self.description
            self._known = RunFacts(
                id=self._id,
                flow=self._flow,
                name=known.name,
                started=known.started,
                attempt=self.attempt,
                parameters=Parameters(self._parameters or {}),
                tags=tuple(known.tags),
                parent="" if outer is None else outer.id,
                log_prints=bool(_first(known.log_prints, outer.log_prints if outer else None, settings().log_prints)),
                shows_logs=bool(self._shows),
                log_level=settings().log_level,
                log_bytes=settings().log_bytes_per_element,
                history=url_within(outer) or "",
            )
        return self._known

    def known(self) -> RunFacts:
        """The same, to be asked for later."""
        return self.facts

    def tell(self, notices: Sequence[PlacedNotice]) -> None:
        """Pass on what was said; a listener that raises does not keep the others from hearing it."""
        with hushed():  # what a listener says is not said by the body of the flow
            for listener in list(self.listeners):
                try:
                    listener(notices)
                except Exception:  # boundary: each listener stands for itself, and none may end the run
                    logger.exception("what was said in the run %s could not be passed on", self._id)

    # What the body says

    def say(self, kind: str, body: Any, at: float | None = None, replaces: str | None = None) -> bool:
        """Take a notice of the body of the flow; it is passed on at once, so that there is nothing to replace."""
        self.tell([PlacedNotice(kind, None, None, self.attempt, time.time() if at is None else at, body)])
        return True

    def log(self, level: int, name: str, message: str, at: float | None = None) -> bool:
        """Take a line of a log."""
        if self.facts.log_bytes:
            with self._lock:
                self._lines.add(Where(attempt=self.attempt), time.time() if at is None else at, level, name, message)
        return True

    def shows(self, name: str) -> bool:
        """Whether lines of a logger of this name are shown as they come."""
        return self.facts.shows_logs or (name == FLOW and self.facts.log_prints)

    def write(self, text: str) -> bool:
        """Take what the body prints; whether it is not to be printed any more, because it is shown as a line."""
        if not self.facts.log_bytes:
            return False
        is_logged = self.facts.log_prints
        with self._lock:
            self._lines.printed(Where(attempt=self.attempt), text, *((logging.INFO, FLOW) if is_logged else (0, PRINT)))
        return is_logged or self.facts.shows_logs

    def _put(self, where: Where, at: float, body: tuple[int, str, str], _size: int) -> None:
        self.tell([PlacedNotice(LOG, None, None, where.attempt, at, body)])

    def close(self) -> None:
        """The run has ended: pass on what is left."""
        with self._lock:
            self._lines.end()
        self._display.close()


def _first(*said: bool | None) -> bool | None:
    """What is said first; None if nothing is."""
    return next((one for one in said if one is not None), None)
