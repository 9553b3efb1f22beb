"""A run of a ``@flow`` that goes on in the background, as ``flow.start(...)`` gives it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from dataflow.engine.slots import slot_release
from dataflow.errors import NotFinished
from dataflow.flow_attempts import Attempts
from dataflow.graph.nodes import Node
from dataflow.reproductions import Reproduction
from dataflow.session import Run, SummaryRow
from dataflow.states import State, StateType
from dataflow.stories import Story

__all__ = ["FlowRun"]

R_co = TypeVar("R_co", covariant=True)


class FlowRun(Generic[R_co]):
    """One execution of a flow, started and not waited for.

    Args:
        attempts: of this execution.
        execute: makes them; called in a thread.
    """

    def __init__(self, attempts: Attempts[R_co], execute: Callable[[], Any]) -> None:
        self._attempts = attempts
        self._error: BaseException | None = None
        self._execute = execute
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._drive,), name=f"dataflow-flow-{self.id}")
        self._thread.start()

    def _drive(self) -> None:
        try:
            self._execute()
        except BaseException as error:  # noqa: BLE001 - boundary of the thread: wait() and result() raise it to whoever asks
            self._error = error
        finally:
            self._attempts.ended.set()

    def __repr__(self) -> str:
        return f"<run {self.id} of flow {self.name!r}: {'ended' if self.done() else 'running'}>"

    @property
    def run(self) -> Run:
        """Its work on the cluster: that of the latest attempt."""
        return self._attempts.run

    @property
    def id(self) -> str:
        """Its identity, part of all keys on the cluster."""
        return self.run.id

    @property
    def name(self) -> str:
        """Name of the flow."""
        return self.run.name

    @property
    def nodes(self) -> list[Node]:
        """All nodes so far, in the order of their calls."""
        return self.run.nodes

    @property
    def state(self) -> State[R_co]:
        """The final state; before the end Running, Paused, AwaitingRetry or Retrying."""
        state = self._attempts.state
        paused = None if self.done() else self.run.pauses.state
        return state if paused is None else replace(paused, run=self.run, attempt=state.attempt, started=state.started)

    def done(self) -> bool:
        """Whether it has ended."""
        return self._attempts.ended.is_set()

    def wait(self, timeout: float | None = None) -> State[R_co]:
        """Wait until it has ended, or the timeout (seconds) has passed; gives the state then."""
        with slot_release.get()():
            self._attempts.ended.wait(timeout)
        if self._error is not None:
            raise self._error
        return self.state

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co:
        """The value of the flow; waits for it.

        Raises:
            NotFinished: it has not ended within the timeout (seconds).
            Exception: what the flow raised.
        """
        state = self.wait(timeout)
        if not state.is_final() and state.type is not StateType.SUSPENDED:
            raise NotFinished("the flow has not ended", where=f"run {self.id} of {self.name!r}", fix="wait longer")
        return state.result(raise_on_failure)

    def cancel(self, place: Any = None) -> None:
        """Cancel everything that has not ended, or one node (``"load"``, a future) and what rests on it.

        The body gets the error Cancelled from what it waits for; a flow that waits for its next attempt ends, too.

        Raises:
            UsageError: there is no such node.
        """
        if place is not None:
            self.run.cancel(place)
        elif not self.done():
            self._attempts.cancel()

    def approve(self, place: Any = None, run_input: Any = None) -> None:
        """Let elements of a node (None: of all) run that wait for it, because their trigger is ``manual_only``.

        Args:
            place: the node: its name, or a future.
            run_input: what their code finds as ``dataflow.context.get("approval")``.

        Raises:
            UsageError: there is no such node.
        """
        self.run.approve(place, run_input)

    def pause(self) -> None:
        """Send nothing more until somebody resumes it; what runs ends after the element it is in, the body goes on."""
        self.run.pause()

    def resume(self, run_input: Any = None, key: str | None = None) -> None:
        """Let it go on after a pause; one that is suspended is taken up by ``flow.resume(run.id)``.

        Args:
            run_input: what a pause of its body asks for: a value, or as a dict the fields of a model.
            key: which of several pauses.

        Raises:
            InputError: the input does not fit; nothing was changed.
            UsageError: it is not paused, or not under this key.
        """
        self.run.resume(run_input, key)

    def suspend(self) -> None:
        """Put it down: what runs ends and is kept, nothing else begins, and its body gets an error where it waits.

        It is taken up again by ``flow.resume(run.id)``, here or in another process.
        """
        if not self.done():
            self._attempts.suspend()

    def progress(self) -> list[tuple[str, int, int | None]]:
        """Of each node so far: its slug, how many elements have ended, and how many there are (None while unknown)."""
        return self.run.progress()

    def story(self, place: Any) -> Story:
        """What happened to a node or an element (``"load[17]"``, a future), state by state, each with its reason.

        Raises:
            UsageError: there is no such node or element in the run.
        """
        return self.run.story(place)

    def reproduce(self, place: Any, *, recompute: bool = False) -> Reproduction:
        """The function and exactly the inputs of one element, to be run again here; see `Reproduction`.

        Args:
            place: ``"load[17]"``, ``"load"`` for a plain node, a future, or a slug and an index.
            recompute: whether functions before it may be called again for inputs that are not there any more.

        Raises:
            UsageError: there is no such element, it was not run, or an input is not there any more.
        """
        return self.run.reproduce(place, recompute=recompute)

    def summary(self) -> list[SummaryRow]:
        """A row of numbers per node that was sent."""
        return self.run.summary()
