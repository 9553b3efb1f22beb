"""Ends of transactions: what belongs to one is committed or taken back, with the hooks of each completed element."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dataflow.compiler.memory import Memory
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.errors import UsageError
from dataflow.hooks import RAISED, Hooks, call
from dataflow.states import RolledBack, StateType
from dataflow.task_runs import TaskRun
from dataflow_results.errors import StoreError

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["Ending", "Transaction", "TransactionState", "commit_alone"]

logger = logging.getLogger("dataflow")
COMPLETED = int(StateType.COMPLETED)
_MISSING: Any = object()


class TransactionState(StrEnum):
    """How far a transaction has come."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    STAGED = "STAGED"
    """Its block has ended, and the transaction around it decides."""
    COMMITTED = "COMMITTED"
    ROLLED_BACK = "ROLLED_BACK"


class StoredValues:
    """What code around hooks wants them to know, by name; what is not found is looked for one level further out."""

    def __init__(self, outer: StoredValues | None) -> None:
        self._outer = outer
        self._values: dict[str, Any] = {}

    def set(self, name: str, value: Any) -> None:
        """Keep a value for the hooks."""
        self._values[name] = value

    def get(self, name: str, default: Any = _MISSING) -> Any:
        """A copy of a value that was set here, or in a transaction around this one.

        Args:
            name: what it was set as.
            default: given if nothing was set.

        Raises:
            UsageError: nothing was set, and there is no default.
        """
        if name in self._values:
            return copy.deepcopy(self._values[name])
        if self._outer is not None:
            return self._outer.get(name, default)
        if default is _MISSING:
            fix = f"transaction.set({name!r}, ...), or get({name!r}, default)"
            raise UsageError(f"nothing was set as {name!r}", where="transaction", fix=fix)
        return default


class Transaction(StoredValues):
    """Work that counts as a whole; made by `transaction`. Hooks get one for their element.

    Args:
        name: what it is called.
        outer: the transaction around it; it is found as ``parent``.
        task_run: the element that it is of; None of a block.
    """

    def __init__(self, name: str = "", outer: Transaction | None = None, *, task_run: TaskRun | None = None) -> None:
        super().__init__(outer)
        self.name = name
        self.parent = outer
        """The transaction around it."""
        self.task_run = task_run
        """The element that a hook is called for; None of a block."""
        self.state = TransactionState.PENDING

    def _set_outer(self, outer: Transaction | None) -> None:
        self.parent = self._outer = outer

    def __repr__(self) -> str:
        return f"<transaction {self.name!r}: {self.state}>"

    def result(self) -> Any:
        """The value of the element that a hook is called for.

        Raises:
            UsageError: it is of a block, which has no value.
        """
        if self.task_run is None:
            raise UsageError("a block has no result", where=repr(self), fix="transaction.result() in a hook")
        return self.task_run.state.result()

    def is_active(self) -> bool:
        """Whether its block is running."""
        return self.state is TransactionState.ACTIVE

    def is_staged(self) -> bool:
        """Whether its block has ended, and the transaction around it decides."""
        return self.state is TransactionState.STAGED

    def is_committed(self) -> bool:
        """Whether it counts."""
        return self.state is TransactionState.COMMITTED

    def is_rolled_back(self) -> bool:
        """Whether it was taken back."""
        return self.state is TransactionState.ROLLED_BACK


Ended = tuple[NodeFacts, Segment]
"""Elements of a node that ended together."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ending:
    """Commits some elements of a run, or takes them back; of these only those that completed by being run.

    Args:
        run: the run.
        within: the transaction that they belong to; None: each is one of its own.
        ended: in the order in which they ended.
    """

    run: Run
    within: Transaction | None
    ended: Sequence[Ended]
    _own: dict[tuple[NodeFacts, int], Transaction] = field(default_factory=dict)
    """What hooks get, by element."""

    def commit(self) -> bool:
        """Call the hooks; gives False if one raised, so that all is taken back."""
        for one in self._hooked():
            if not self._commit(*one):
                self.roll_back()
                return False
        return True

    def roll_back(self) -> None:
        """Call the hooks, what completed last first; results that were kept are not found any more."""
        for facts, segment in self.ended:
            memory = self.run.memory_of(facts.node)
            if memory is not None:
                _discard(memory, facts.node.slug, segment)
        for one in reversed(list(self._hooked())):
            self._roll_back(*one)

    def _hooked(self) -> Iterator[tuple[Hooks, NodeFacts, int]]:
        for facts, segment in self.ended:
            hooks = facts.node.task.hooks
            if hooks is not None:
                yield from ((hooks, facts, index) for index in _completed(segment))

    def _commit(self, hooks: Hooks, facts: NodeFacts, index: int) -> bool:
        for hook in hooks.on_commit:
            own = self._transaction(facts, index)
            if call(hook, own, of=hooks.owner, at=own.name, then="the transaction is rolled back") is RAISED:
                return False
            own.state = TransactionState.COMMITTED
        return True

    def _roll_back(self, hooks: Hooks, facts: NodeFacts, index: int) -> None:
        own = self._transaction(facts, index)
        own.state = TransactionState.ROLLED_BACK
        for hook in reversed(hooks.on_rollback):
            call(hook, own, of=hooks.owner, at=own.name)
        if own.task_run is not None and hooks.handlers:
            taken_back = replace(RolledBack("its transaction was rolled back"), run=self.run)
            hooks.tell(replace(own.task_run, state=taken_back), own.task_run.state, taken_back)

    def _transaction(self, facts: NodeFacts, index: int) -> Transaction:
        if (facts, index) not in self._own:
            lives = self.run.hooks.lives
            task_run = lives.task_run(facts.node, index, lives.last_state(facts, index))
            own = self._own[facts, index] = Transaction(task_run.name, self.within, task_run=task_run)
            own.state = TransactionState.STAGED
        return self._own[facts, index]


def _completed(segment: Segment) -> Iterator[int]:
    """The elements of a segment that were computed, and not found in the store or left out."""
    return (index for index in range(segment.start, segment.stop) if segment.state_of(index) == COMPLETED)


def _discard(memory: Memory, slug: str, segment: Segment) -> None:
    """Make the kept results of elements missing in their store."""
    keyed = ((index, segment.key_of(index)) for index in _completed(segment))
    keys = [memory.reference(slug, *one).key for one in keyed if memory.by_place or any(one[1])]
    try:
        kept = memory.store.open().task(memory.collection)
        kept.refresh()  # so that the deletion is newer than what it deletes
        kept.delete(b"".join(keys))
    except StoreError as error:
        logger.warning("results of %s that were taken back are still in the store: %s", slug, error)


def commit_alone(run: Run, facts: NodeFacts, segment: Segment, index: int) -> None:
    """Commit an element that is a transaction of its own."""
    Ending(run=run, within=None, ended=[(facts, segment.part(index, index + 1))]).commit()
