"""The voice of an isolated attempt: what it says goes to its worker at once, so that it is there even if it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataflow.engine.isolation.wire import Buffer, pack_said
from dataflow.engine.notices import LOG
from dataflow.engine.voices import arguments_by_name
from dataflow.run_facts import RunFacts

__all__ = ["ChildVoice"]


class ChildVoice:
    """Takes what the function says that is called in this process.

    Args:
        send: sends a message to the worker.
        facts: of the run.
        element: task, slug, index and tags of the element.
        called: the function, its positional arguments and the others.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Buffer]], None],
        facts: RunFacts,
        element: Mapping[str, Any],
        called: tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]],
    ) -> None:
        self.facts = facts
        self._element = element
        self._called = called
        self._send = send
        self._lock = threading.Lock()
        self._is_open = True

    def say(self, kind: str, body: Any, at: float | None = None, replaces: str | None = None) -> bool:
        """Take a notice; False after the call."""
        message = pack_said(kind, time.time() if at is None else at, body, replaces)
        with self._lock:
            if self._is_open:
                self._send(message)
            return self._is_open

    def log(self, level: int, name: str, message: str, at: float | None = None) -> bool:
        """Take a line of a log; False after the call."""
        return not self.facts.log_bytes or self.say(LOG, (level, name, message), at)

    def shows(self, name: str) -> bool:
        """Whether lines of a logger of this name are shown where the run was started."""
        return self.facts.shows_logs or (name == "dataflow.task" and self.facts.log_prints)

    def write(self, text: str) -> bool:
        """What is printed is heard by the worker, which this process prints to."""
        return False

    def element(self) -> Mapping[str, Any]:
        """Task, slug, index and tags of the element."""
        return self._element

    def arguments(self) -> Mapping[str, Any]:
        """The arguments of the function by name."""
        return arguments_by_name(*self._called)

    def close(self) -> None:
        """The call has ended: nothing is sent any more, so that the answer comes next."""
        with self._lock:
            self._is_open = False
