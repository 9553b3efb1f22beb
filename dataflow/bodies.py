"""The running body of a ``@flow``: its run, and how calls of tasks become nodes of it."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dataflow.context import current_flow, current_run, inside_task
from dataflow.futures import Future, MappedFuture
from dataflow.graph.builder import Builder
from dataflow.sites import caller_site

if TYPE_CHECKING:
    from dataflow.calls import Call
    from dataflow.persistence import FlowPersistence
    from dataflow.session import Run

__all__ = ["Body", "current_body", "entered"]


CALLED_FLOWS = uuid.UUID("6c1b3a52-5f0e-4c8e-9d6a-2f8f0e7b4a10")
"""The space of names that ids of called flows are made in."""


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
        self.run.announce(node)
        return future

    def value(self, call: Call) -> Any:
        """The value of a call: at once, or as an awaitable for an async task in an async body."""
        future = self.submit(call)
        if call.task.spec.is_async and self.is_async:
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
    flow_token, task_token = current_flow.set(None), inside_task.set(False)
    try:
        yield
    finally:
        inside_task.reset(task_token)
        current_flow.reset(flow_token)
        current_run.reset(run_token)
        current_body.reset(body_token)
