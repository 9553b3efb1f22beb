"""Transactions: work that counts as a whole or is taken back as a whole, with hooks for both."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dataflow.context import current_flow, current_run, inside_task
from dataflow.engine.slots import leave_slot
from dataflow.errors import UsageError
from dataflow.futures import Future
from dataflow.graph.nodes import Node
from dataflow.hooks import Hooks
from dataflow.transaction_ends import Ending, Transaction, TransactionState

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["Block", "Transaction", "TransactionState", "current_transaction", "get_transaction", "transaction"]

logger = logging.getLogger("dataflow")

current_transaction: ContextVar[Block | None] = ContextVar("current_transaction", default=None)
"""The innermost transaction that the code here is in."""


class Scope(NamedTuple):
    """Whose work it is: that of a flow's body, or of one attempt of an element."""

    run: Any
    attempt: Any

    @classmethod
    def here(cls) -> Scope:
        """The code that is running now."""
        return cls(current_run.get(), inside_task.get())

    def is_here(self) -> bool:
        """Whether the code that is running now belongs to it."""
        return self.run is current_run.get() and self.attempt is inside_task.get()


class Block(Transaction):
    """A transaction as a ``with`` block: what is called and submitted inside belongs to it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._scope = Scope(None, None)
        self._run: Run | None = None
        self._position = 0
        """Of the log of the run, when the block began."""
        self._nodes: dict[Node, Future[Any] | None] = {}
        """What belongs to it, with a future where hooks may ask for a value."""
        self._inner: list[Block] = []
        """Blocks inside that have ended well."""
        self._is_broken = False
        """Whether a block inside was rolled back without an exception."""
        self._token: Token[Block | None] | None = None

    def __enter__(self) -> Self:
        if current_flow.get() is not None or (current_run.get() is None and inside_task.get() is None):
            problem = "neither a task nor a flow is executing here, so there is no work that it could be of"
            raise UsageError(problem, where="transaction()", fix="put it into a function below @flow")
        outer = current_transaction.get()
        self._scope = Scope.here()
        self._set_outer(outer if outer is not None and outer.takes_here() else None)
        self._token = current_transaction.set(self)
        self.state = TransactionState.ACTIVE
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        leave_slot()
        await asyncio.to_thread(self._end, error)

    def _leave(self) -> None:
        if self._token is not None:
            current_transaction.reset(self._token)

    # What belongs to it

    def takes_here(self) -> bool:
        """Whether what is called here belongs to it: a flow that is called inside has transactions of its own."""
        return self.is_active() and self._scope.is_here()

    def take(self, run: Run, future: Future[Any]) -> None:
        """A call was made inside."""
        if not self.takes_here():
            return
        node = future.node
        hooks: Hooks | None = node.task.hooks
        run.hooks.staged.add(node)
        self._adopt(run, {node: future if hooks is not None and hooks.is_transactional else None}, len(run.log))

    def _adopt(self, run: Run, nodes: dict[Node, Future[Any] | None], position: int) -> None:
        if self._run is None:
            self._run, self._position = run, position
        self._nodes.update(nodes)

    # Its end

    def _end(self, error: BaseException | None) -> None:
        token = current_transaction.set(None)  # what hooks call is no part of it
        try:
            if error is not None:
                self._abort()
            elif not self._succeeded():
                self._roll_back()
                if isinstance(self.parent, Block):
                    self.parent._is_broken = True
            elif isinstance(self.parent, Block):
                self._stage(self.parent)
            else:
                self._commit()
        finally:
            current_transaction.reset(token)
            self._nodes = {}

    def _succeeded(self) -> bool:
        """Wait for what was submitted; gives whether nothing of it failed."""
        if self._run is None:
            return not self._is_broken
        try:
            for node in self._nodes:
                self._run.wait(node)
        except BaseException:  # Ctrl-C, or the cluster is lost
            self._abort()
            raise
        if self._is_broken:
            return False
        found = (self._run.facts_of(node) for node in self._nodes)
        return not any(facts is not None and facts.unsuccessful for facts in found)

    def _stage(self, parent: Block) -> None:
        """What is around it decides."""
        self.state = TransactionState.STAGED
        parent._inner.append(self)
        if self._run is not None:
            parent._adopt(self._run, self._nodes, self._position)

    def _abort(self) -> None:
        """The block has raised: what has not ended of it is cancelled, what has completed is taken back."""
        if self._run is None:
            self.state = TransactionState.ROLLED_BACK
            return
        try:
            self._run.hooks.cancel([node for node in self._nodes if not self._run.done(node)])
            for node in self._nodes:
                self._run.wait(node)
        except Exception:  # the cluster is lost, say: what is known to have completed is taken back all the same
            logger.exception("%r: not all that was submitted in it could be waited for", self)
        self._roll_back()

    def _commit(self) -> None:
        self._come_into(TransactionState.COMMITTED)
        if self._run is not None and not self._ending(self._run).commit():
            self._come_into(TransactionState.ROLLED_BACK)

    def _roll_back(self) -> None:
        self._come_into(TransactionState.ROLLED_BACK)
        if self._run is not None:
            self._ending(self._run).roll_back()

    def _come_into(self, state: TransactionState) -> None:
        """Its fate is that of the blocks inside that waited for it."""
        self.state = state
        for block in self._inner:
            block._come_into(state)

    def _ending(self, run: Run) -> Ending:
        return Ending(run=run, within=self, ended=[e for e in run.log[self._position :] if e[0].node in self._nodes])


def transaction(name: str = "") -> Block:
    """A block of work in the body of a flow that counts as a whole, or is taken back as a whole.

    When the block has ended, all that was called and submitted in it is waited for. If nothing failed, the
    ``on_commit`` hooks of its tasks are called; else, and if the block raises, their ``on_rollback`` hooks, what
    completed last first. Blocks may be nested: the outermost one commits. Also ``async with``.

    Args:
        name: what it is called.

    Raises:
        UsageError: outside the body of a flow.

    Example:
        >>> from dataflow import flow, task, transaction
        >>> @task(on_rollback=lambda txn: print("deleting", txn.result()))
        ... def write(name):
        ...     return name
        >>> @flow(cluster="inline")
        ... def publish():
        ...     with transaction():
        ...         write("a.txt")
        ...         write("b.txt")
        ...         raise OSError("the disk is full")
        >>> publish(return_state=True).message
        deleting b.txt
        deleting a.txt
        'OSError: the disk is full'
    """
    return Block(name)


def get_transaction() -> Transaction | None:
    """The innermost transaction that the code here is in; None if there is none."""
    return current_transaction.get()
