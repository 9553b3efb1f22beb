"""Calls of the hooks of one run: for each element that has ended, in the engine's order, here on the client.

On a cluster a thread of the run's own calls them, so that the engine never waits for them. Inline it is the thread that
drives the run, between two batches. Who waits for work with hooks also waits for the hooks that are due by then.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.context import current_run
from dataflow.engine.driver import Driver
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.flow_hooks import FlowTeller
from dataflow.graph.nodes import Node
from dataflow.hooks import Hooks
from dataflow.states import Pending, Retrying, Running, State, StateType
from dataflow.task_runs import Lives
from dataflow.transaction_ends import commit_alone
from dataflow.transactions import current_transaction
from dataflow.values import Values

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["HookCalls"]

logger = logging.getLogger("dataflow")
COMPLETED = int(StateType.COMPLETED)
PENDING: State[Any] = Pending()

calling: ContextVar[HookCalls | None] = ContextVar("calling", default=None)
"""Whose hook the code here belongs to."""


class HookCalls:
    """Calls the hooks of the tasks of one run.

    Args:
        run: the run.
        driver: of the run.
        values: of the run.
    """

    def __init__(self, run: Run, driver: Driver, values: Values) -> None:
        self.lives = Lives(run=run, values=values)
        self.staged: set[Node] = set()
        """Nodes that are part of a transaction, which commits them."""
        self._untold: dict[Node, int] = {}
        """Nodes whose values are kept for hooks, with how many of their elements were told of so far."""
        self._run = run
        self._driver = driver
        self._position = 0
        """So much of the log was told."""
        self._due = self._all_due()
        self._is_used = False
        self._is_ending = False
        self._has_stopped = False
        self._thread: threading.Thread | None = None
        self._teller: FlowTeller | None = None
        self._attempt = 1

    def begin(self, node: Node) -> None:
        """A task with hooks was called; what it gives is kept until they were."""
        if node.task.hooks is not None and node.task.hooks.needs_values:
            self._run.hold(node)
            self._untold[node] = 0
        if self._is_used:
            return
        self._is_used = True
        if not self._driver.shell.threaded:
            self._driver.after_round = self.call_due
            return
        context = contextvars.copy_context()  # hooks find around them what the body of the flow finds
        name = f"dataflow-hooks-{self._run.id}"
        self._thread = threading.Thread(target=context.run, args=(self._follow,), name=name, daemon=True)
        self._thread.start()

    # Those of the flow, in the graph door

    def begin_flow(self, teller: FlowTeller | None, attempt: int) -> None:
        """An attempt at the flow begins.

        Args:
            teller: tells its hooks; None: it has none.
            attempt: its number.
        """
        self._teller, self._attempt = teller, attempt
        state = Running() if attempt == 1 else Retrying()
        self.tell_flow(replace(state, run=self._run, attempt=attempt, started=time.time()))

    def tell_flow(self, state: State[Any]) -> None:
        """The flow has come into this state."""
        if self._teller is not None:
            self._teller.tell(self._run, state, self._attempt)

    def crashed(self, error: BaseException) -> None:
        """The flow ends without an answer, because of this."""
        self.settle()
        if self._teller is not None:
            self._teller.crashed(self._run, error, self._attempt)

    # Waiting

    def after(self, node: Node, ended: bool, timeout: float | None) -> bool:
        """Somebody has waited for a node: if it has ended, the hooks that are due are waited for too."""
        if ended and node.task.hooks is not None:
            self.settle(timeout)
        return ended

    def settle(self, timeout: float | None = None) -> None:
        """Wait until the hooks of all that has ended by now were called; in a hook there is nothing to wait for."""
        if not self._is_used or calling.get() is self:
            return
        target = len(self._run.log)
        self._driver.wait(lambda: self._position >= target or self._is_left(), timeout)

    def _is_left(self) -> bool:
        """Whether nothing more is called, or nothing more happens that could be waited for."""
        return self._has_stopped or self._driver.failure is not None

    def wait(self, ended: Callable[[], bool]) -> None:
        """Wait until something is so and no hook is left to be called, since hooks may begin more work."""
        self._driver.wait(ended)
        self.settle()
        while self._is_used and calling.get() is not self and not ended():
            self._run.send()
            self._driver.wait(ended)
            self.settle()

    def end(self) -> None:
        """The run ends: call what is left, and nothing after that."""
        if self._thread is None or self._thread is threading.current_thread():
            return
        with self._driver.changed:
            self._is_ending = True
            self._driver.changed.notify_all()
        self._thread.join()

    def cancel(self, nodes: Sequence[Node]) -> None:
        """Cancel some nodes, also those that the engine has not heard of yet."""
        if not nodes:
            return
        reason = f"{nodes[0].slug} and others are cancelled"
        self._run.hold_sending(reason, held=True)
        try:
            self._run.send()
            self._driver.wait(lambda: all(self._run.facts_of(node) is not None for node in nodes))
            for node in nodes:
                self._run.cancel((node, None))
        finally:
            self._run.hold_sending(reason, held=False)

    # Calling

    def _follow(self) -> None:
        """The life of the thread."""
        changed, log = self._driver.changed, self._run.log
        try:
            while not self._is_ending or self._position < len(log):
                with changed:
                    changed.wait_for(lambda: self._is_ending or self._position < len(log))
                self.call_due()
        finally:
            with changed:
                self._has_stopped = True
                changed.notify_all()

    def call_due(self) -> bool:
        """Call the hooks of what has ended; gives whether there was anything new, but never within a hook."""
        if calling.get() is self or self._position == len(self._run.log):
            return False
        with self._called():
            for due in self._due:
                if due is None:
                    return True
                due()
        self._has_stopped = True  # Ctrl-C came while it was looked for what is due
        return False

    @contextmanager
    def _called(self) -> Iterator[None]:
        """Hooks are called inside."""
        run_token, calling_token = current_run.set(self._run), calling.set(self)
        transaction_token = current_transaction.set(None)
        try:
            yield
        finally:
            current_transaction.reset(transaction_token)
            calling.reset(calling_token)
            current_run.reset(run_token)

    def _all_due(self) -> Iterator[Callable[[], None] | None]:
        """What is to be called, in order; None when there is no more for now."""
        log = self._run.log
        while True:
            while self._position < len(log):
                facts, segment = log[self._position]
                hooks: Hooks | None = facts.node.task.hooks
                if hooks is not None:
                    yield from self._of_segment(hooks, facts, segment)
                    self._let_go(facts, segment)
                with self._driver.changed:
                    self._position += 1
                    self._driver.changed.notify_all()
            yield None

    def _let_go(self, facts: NodeFacts, segment: Segment) -> None:
        """The hooks of these elements were called; after the last one the values of the node are kept no longer."""
        if facts.node not in self._untold:
            return
        self._untold[facts.node] += segment.stop - segment.start
        if facts.ended and self._untold[facts.node] >= facts.done:
            del self._untold[facts.node]
            self._run.drop(facts.node)

    def _of_segment(self, hooks: Hooks, facts: NodeFacts, segment: Segment) -> Iterator[Callable[[], None]]:
        is_alone = facts.node not in self.staged
        wanted = {kind for kind in StateType if hooks.wants(kind)}
        if hooks.on_commit and is_alone:
            wanted.add(StateType.COMPLETED)
        if not hooks.follows and not any(segment.count(kind) for kind in wanted):
            return
        for index in range(segment.start, segment.stop):
            if hooks.follows or segment.state_of(index) in wanted:
                yield partial(self._tell, hooks, facts, segment, index)

    def _tell(self, hooks: Hooks, facts: NodeFacts, segment: Segment, index: int) -> None:
        """Tell of one element, all that happened to it."""
        if hooks.on_commit and facts.node not in self.staged and segment.state_of(index) == COMPLETED:
            commit_alone(self._run, facts, segment, index)
        old = PENDING
        for state in self._states(hooks, facts, segment, index):
            if hooks.wants(state.type):
                hooks.tell(self.lives.task_run(facts.node, index, state), old, state)
            old = state

    def _states(self, hooks: Hooks, facts: NodeFacts, segment: Segment, index: int) -> Iterable[State[Any]]:
        if hooks.follows:
            return self.lives.states(facts, segment, index, hooks.wants)
        return (self.lives.last_state(facts, index),)
