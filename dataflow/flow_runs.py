"""A run of a ``@flow`` that goes on in the background, as ``flow.start(...)`` gives it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from dataflow.errors import NotFinished
from dataflow.graph.nodes import Node
from dataflow.session import Run, SummaryRow
from dataflow.states import Running, State

__all__ = ["FlowRun"]

R_co = TypeVar("R_co", covariant=True)


class FlowRun(Generic[R_co]):
    """One execution of a flow, started and not waited for.

    Args:
        run: its work on the cluster.
        execute: runs the body and gives the final state; called in a thread.
    """

    def __init__(self, run: Run, execute: Callable[[], State[R_co]]) -> None:
        self.run = run
        """Its work on the cluster."""
        self._state: State[R_co] | None = None
        self._error: BaseException | None = None
        self._execute = execute
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._drive,), name=f"dataflow-flow-{run.id}")
        self._thread.start()

    def _drive(self) -> None:
        try:
            self._state = self._execute()
        except BaseException as error:  # noqa: BLE001 - boundary of the thread: wait() and result() raise it to whoever asks
            self._error = error

    def __repr__(self) -> str:
        return f"<run {self.id} of flow {self.name!r}: {'ended' if self.done() else 'running'}>"

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
        """The final state, or Running before the end."""
        return self._state if self._state is not None else Running()

    def done(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> State[R_co]:
        """Wait until it has ended, or the timeout (seconds) has passed; gives the state then."""
        self._thread.join(timeout)
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
        if not state.is_final():
            raise NotFinished("the flow has not ended", where=f"run {self.id} of {self.name!r}", fix="wait longer")
        return state.result(raise_on_failure)

    def cancel(self) -> None:
        """Cancel everything that has not ended; the body gets the error Cancelled from what it waits for."""
        self.run.cancel()

    def progress(self) -> list[tuple[str, int, int | None]]:
        """Of each node so far: its slug, how many elements have ended, and how many there are (None while unknown)."""
        return self.run.progress()

    def summary(self) -> list[SummaryRow]:
        """A row of numbers per node that was sent."""
        return self.run.summary()
