"""What of a run waits for somebody: pauses with what they ask for, and the input that was given so far."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflow.engine.slots import slot_release
from dataflow.errors import InputError, PauseTimedOut, UsageError
from dataflow.input import InputType
from dataflow.signals import Suspend
from dataflow.states import Paused, Running, State

__all__ = ["PAUSE", "SUSPEND", "Given", "Pauses", "Question"]

PAUSE, SUSPEND = "pause", "suspend"
MOST_REMEMBERED_RUNS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Input that somebody gave; in a class of its own, because None is input like any other."""

    value: Any = None
    is_explicit: bool = True
    """Whether it was said; else the run was resumed without a word, which is an answer where nothing is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a run waits for."""

    key: str
    kind: str
    """`PAUSE` or `SUSPEND`."""
    type: InputType
    asked: float
    """Seconds since the epoch."""
    timeout_seconds: float | None

    @property
    def message(self) -> str:
        """One sentence about it."""
        return f"{self.key}: waits for {self.type.name or 'somebody to resume it'}"


Inputs = dict[str, Given | Question | None]
"""By key the input that was given, or the question that has no answer yet; None if only its key is known."""

remembered: OrderedDict[str, Inputs] = OrderedDict()
"""What runs of this process asked and were given, by run; for their later attempts and executions."""


def recall_given(run_id: str) -> Inputs:
    """What a run asked and was given in this process, by key; the dict is shared by all who ask."""
    found = remembered.setdefault(run_id, {})
    remembered.move_to_end(run_id)
    while len(remembered) > MOST_REMEMBERED_RUNS:
        remembered.popitem(last=False)
    return found


class Pauses:
    """The pauses of one execution of a run; used from several threads.

    Args:
        run_id: of the run.
        hold: has nothing sent any more (True), or lets the run go on (False).
        tell: told of each state that the run comes into by this.
        note: told of each question, with its answer (None: there is none yet), for other processes.
        earlier: gives what earlier executions asked, by key, and the input that they were given (None: none yet).
    """

    def __init__(
        self,
        run_id: str,
        *,
        hold: Callable[[bool], object],
        tell: Callable[[State[Any]], object],
        note: Callable[[Question, Given | Exception | None], object],
        earlier: Callable[[], Mapping[str, Given | None]],
    ) -> None:
        self._run_id = run_id
        self._hold = hold
        self._tell = tell
        self._note = note
        self._earlier: Callable[[], Mapping[str, Given | None]] | None = earlier
        self._changed = threading.Condition(threading.RLock())
        self._updating = threading.RLock()
        self._waiting: dict[str, Question] = {}
        self._is_held_from_outside = False
        self._ended: BaseException | None = None
        self._counts: Counter[str] = Counter()
        self.brought: Given | None = None
        """Input that came with the call that resumed the run: for the first question that has no answer."""
        self.suspension = ""
        """Why the run is put down; empty if it is not."""
        self.state: State[Any] | None = None
        """Paused, with the reason, while it is so."""

    # Asked by the body

    def question(self, kind: str, given_type: Any, timeout_seconds: float | None, key: str | None) -> Question:
        """What the body asks for now; without a key it gets one by the number of the call."""
        with self._changed:
            self._counts[kind] += 1
            key = key or f"{kind}-{self._counts[kind]}"
        kind_of = InputType(given_type, where=f"{key} of run {self._run_id}")
        if timeout_seconds is not None and timeout_seconds >= threading.TIMEOUT_MAX:
            timeout_seconds = None  # longer than anybody can wait
        return Question(key=key, kind=kind, type=kind_of, asked=time.time(), timeout_seconds=timeout_seconds)

    def known(self, question: Question) -> Given | None:
        """The input that was given already, to an earlier attempt or execution, or with the call that resumed it.

        Raises:
            InputError: it does not fit.
        """
        given = recall_given(self._run_id)
        with self._changed:
            if self._earlier is not None:
                earlier, self._earlier = self._earlier(), None
                given.update({key: one for key, one in earlier.items() if key not in given or one is not None})
            found = given.get(question.key)
            if isinstance(found, Given):
                return Given(value=question.type.validate(found.value))
            if self.brought is None or not self._is_answer(self.brought, question, given):
                return None
            valid = Given(value=question.type.validate(self.brought.value))
            given[question.key], self.brought = self.brought, None
        self._note(question, valid)
        return valid

    @staticmethod
    def _is_answer(brought: Given, question: Question, given: Inputs) -> bool:
        """Whether what came with the call that resumed the run is for this question."""
        return question.key in given and (brought.is_explicit or (question.kind == SUSPEND and not question.type.name))

    def wait(self, question: Question) -> Any:
        """Hold the run until somebody resumes it; gives the input.

        Raises:
            PauseTimedOut: nobody did in time.
            Suspend: it was suspended meanwhile.
            Cancelled: it was cancelled meanwhile.
        """
        given = recall_given(self._run_id)
        with self._changed:
            self._waiting[question.key] = given[question.key] = question
            self._note(question, None)  # before anybody can answer: what is noted later replaces it
        self._update()
        try:
            with slot_release.get()(), self._changed:
                self._changed.wait_for(
                    lambda: question.key not in self._waiting or self._ended is not None, question.timeout_seconds
                )
                return self._outcome(question, given)
        finally:
            with self._changed:
                self._waiting.pop(question.key, None)
            self._update()

    def _outcome(self, question: Question, given: Inputs) -> Any:
        found = given.get(question.key)
        if isinstance(found, Given):
            return question.type.validate(found.value)
        if self._ended is not None or question.key not in self._waiting:
            raise self._ended or Suspend("nobody waits for the answer any more")
        problem = f"nobody resumed it within {question.timeout_seconds:g} s"
        fix = f"resume_flow_run({self._run_id!r}) in time, or a longer timeout="
        error = PauseTimedOut(problem, where=f"{question.key} of run {self._run_id}", fix=fix)
        self._note(question, error)
        raise error

    def leave(self, question: Question) -> None:
        """Nobody waits for an answer any more."""
        with self._changed:
            self._waiting.pop(question.key, None)
            self._changed.notify_all()

    def put_down(self, question: Question) -> None:
        """The run is put down with this question."""
        self.suspension = question.message
        recall_given(self._run_id)[question.key] = question
        self._note(question, None)

    # Asked by others

    def pause(self) -> None:
        """Hold the run until somebody resumes it."""
        with self._changed:
            self._is_held_from_outside = True
        self._update()

    def resume(self, run_input: Any = None, key: str | None = None) -> None:
        """Let the run go on, or one of several pauses of it.

        Raises:
            InputError: the input does not fit; nothing was changed.
            UsageError: it does not wait, or not under this key, or for several.
        """
        with self._changed:
            question = self._meant(key, run_input)
            if question is None:
                self._is_held_from_outside = False
            else:
                valid = Given(value=question.type.validate(run_input))
                recall_given(self._run_id)[question.key] = Given(value=run_input)
                self._waiting.pop(question.key)
                self._changed.notify_all()
        if question is not None:
            self._note(question, valid)
        self._update()

    def _meant(self, key: str | None, run_input: Any) -> Question | None:
        """The question that is answered; None: the pause from outside is what ends, which takes no input."""
        where = f"run {self._run_id}"
        if key is not None and key in self._waiting:
            return self._waiting[key]
        keys = ", ".join(map(repr, self._waiting))
        if key is not None or (not self._waiting and not self._is_held_from_outside):
            problem = "it does not wait for anybody" if key is None else f"it does not wait under the key {key!r}"
            raise UsageError(problem, where=where, fix=f"its keys are {keys}" if keys else "pause it first")
        if self._is_held_from_outside and run_input is None:
            return None
        if len(self._waiting) > 1:
            raise UsageError("it waits for several inputs", where=where, fix=f"say which by key=, one of {keys}")
        if not self._waiting:
            fix = "resume it without an input"
            raise InputError(f"the input {run_input!r:.80} was not asked for", where=where, fix=fix)
        return next(iter(self._waiting.values()))

    def end(self, error: BaseException) -> None:
        """The run is put down, cancelled or closed: whoever waits in its body gets this error."""
        with self._changed:
            self._ended = self._ended or error
            self._changed.notify_all()

    def _update(self) -> None:
        """Hold the run or let it go on, as it is now, and tell so."""
        with self._updating:
            before, reason = self.state, self._reason()
            if reason == (None if before is None else before.message):
                return
            self.state = None if reason is None else Paused(message=reason)
            if before is None or self.state is None:
                self._hold(self.state is not None)
            if self._ended is None:
                self._tell(self.state or Running())

    def _reason(self) -> str | None:
        if self._waiting:
            return "; ".join(question.message for question in self._waiting.values())
        return "somebody paused it" if self._is_held_from_outside else None
