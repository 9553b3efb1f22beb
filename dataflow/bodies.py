"""The running body of a ``@flow``: its run, and how calls of tasks become nodes of it."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.conclusions import concluded, resolved
from dataflow.context import current_flow, current_run, inside_task
from dataflow.engine.capture import captured
from dataflow.engine.nests import current_nest
from dataflow.engine.slots import leave_slot
from dataflow.futures import Future, MappedFuture
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Graph
from dataflow.options import FlowOptions
from dataflow.persistence import FlowPersistence, flow_persistence
from dataflow.run_starts import open_run
from dataflow.sites import caller_site
from dataflow.states import State
from dataflow.transactions import current_transaction

if TYPE_CHECKING:
    from dataflow.calls import Call
    from dataflow.session import Run

__all__ = ["Body", "current_body", "entered", "submitting_body", "surrounding_body"]


CALLED_FLOWS = uuid.UUID("6c1b3a52-5f0e-4c8e-9d6a-2f8f0e7b4a10")
"""The space of names that ids of called flows are made in."""
OF_A_TASK = "submitted in a task"
"""The name of a run that holds what an attempt submits itself."""


class Body:
    """Turns calls of tasks into nodes of one run; may be used from several threads."""

    def __init__(self, run: Run, *, cluster: Any, is_async: bool, persistence: FlowPersistence) -> None:
        self.run = run
        self.persistence = persistence
        """What its flow says about results; flows called in the body say the same unless they say otherwise."""
        self.cluster = cluster
        """Where it runs, as it was said; flows called in the body run there too."""
        self.is_async = is_async
        """Whether the body is ``async def``, so that calls of async tasks give awaitables."""
        self._builder = Builder(run.graph)
        self._called: Counter[str] = Counter()

    def id_of_called(self, flow: str) -> str:
        """The id of the run of a flow that the body calls; the same when the run is resumed and calls it again."""
        self._called[flow] += 1
        return uuid.uuid5(CALLED_FLOWS, f"{self.run.id} {flow} {self._called[flow]}").hex[:12]

    def submit(self, call: Call) -> Future[Any]:
        """Add the node of a call to the run; gives its future at once."""
        node = call.add_to(self._builder, caller_site())
        # The future holds the value from before the engine hears of the node.
        future: Future[Any] = Future(self.run, node) if node.space is None else MappedFuture(self.run, node)
        transaction = current_transaction.get()
        if transaction is not None:
            transaction.take(self.run, future)
        self.run.announce(node)
        return future

    def value(self, call: Call) -> Any:
        """The value of a call: at once, or as an awaitable for an async task in an async body."""
        future = self.submit(call)
        if call.task.spec.is_async and self.is_async:
            leave_slot()
            return self._awaited(future, return_state=call.return_state)
        return self.outcome(future, return_state=call.return_state)

    @staticmethod
    def outcome(future: Future[Any], *, return_state: bool) -> Any:
        """Wait for a future; its value, or its state."""
        if not return_state:
            return future.result()
        future.wait()
        return future.state

    def _awaited(self, future: Future[Any], *, return_state: bool) -> Coroutine[Any, Any, Any]:
        # Waiting blocks a thread of its own, so that the loop of the body stays free.
        return asyncio.to_thread(self.outcome, future, return_state=return_state)


current_body: ContextVar[Body | None] = ContextVar("current_body", default=None)
"""The body of the flow that is executing in this context, if any."""


@contextmanager
def entered(body: Body) -> Iterator[None]:
    """Calls of tasks inside are calls of this body, not of a surrounding block or task."""
    body_token, run_token = current_body.set(body), current_run.set(body.run)
    flow_token, task_token = current_flow.set(None), inside_task.set(None)
    nest_token = current_nest.set(body.run.nested)
    try:
        with captured():
            yield
    finally:
        current_nest.reset(nest_token)
        inside_task.reset(task_token)
        current_flow.reset(flow_token)
        current_run.reset(run_token)
        current_body.reset(body_token)


class TaskBody(Body):
    """What one attempt of an element submits itself: a run that begins with the first call and ends with it."""

    def __init__(self) -> None:
        persistence = flow_persistence(FlowOptions())
        run = open_run(OF_A_TASK, Graph(OF_A_TASK), persistence=persistence)
        super().__init__(run, cluster=None, is_async=False, persistence=persistence)

    def close(self, error: BaseException | None, value: Any) -> Any:
        """The attempt has returned or raised; gives its value, with values in the places of futures.

        Waits for what was submitted; after an error cancels it.

        Raises:
            FlowFailed: some of it failed, and nobody looked at it.
            Exception: that of a future in the value.
        """
        try:
            if error is not None:
                return self.run.cancel()
            return self._settled(value)
        finally:
            self.run.close()

    def _settled(self, value: Any) -> Any:
        if isinstance(value, State):
            self.run.finish()
            return replace(value, data=resolved(value.data))
        return self.run.conclude(concluded(self.run, value)).result()


def surrounding_body() -> Body | None:
    """The body that executes in this context; inside a task there is none, also where the task runs in its thread."""
    return None if inside_task.get() is not None else current_body.get()


def submitting_body() -> Body | None:
    """The body that takes what is submitted in this context; inside a task that of the attempt, begun if need be."""
    nested = inside_task.get()
    if nested is None:
        return current_body.get()
    if not nested:
        nested.append(TaskBody())
    body: Body = nested[0]
    return body
