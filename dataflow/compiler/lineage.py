"""Lineage: keys made of how values come to be, known before anything upstream has run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dataflow_results as results
from dataflow.compiler.memory import Memories, identity_of
from dataflow.graph.nodes import (
    Argument,
    Collection,
    Constant,
    Elements,
    Input,
    Items,
    Node,
    Rows,
    TaskSpec,
    Template,
    Whole,
)
from dataflow_results.digests import digest
from dataflow_results.errors import KeyingError
from dataflow_results.policies import LINEAGE

__all__ = ["ElementKeys", "Lineage"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElementKeys:
    """How a worker makes the keys of the elements of a mapped node, from the items that they are made from."""

    plan: Any
    """A `KeyPlan` that knows all arguments which are the same for every element."""
    columns: tuple[tuple[str, int], ...]
    """Arguments whose items count by value, with the slots that hold them."""
    nested: tuple[tuple[str, ElementKeys], ...]
    """Arguments that are the element of another mapped node, which counts by its key."""
    spread: tuple[tuple[str, bytes], ...]
    """Arguments that are parts of another node's value: they count by the key of that and their index."""

    def keys(self, column_of: Callable[[int], Sequence[Any]], indices: range) -> Any:
        """The `Keys` of some elements.

        Args:
            column_of: gives the values of a slot, for these elements.
            indices: of the elements.
        """
        count = len(indices)
        columns: dict[str, Sequence[Any]] = {name: column_of(slot) for name, slot in self.columns}
        for name, inner in self.nested:
            columns[name] = _split(inner.keys(column_of, indices).digests)
        for name, key in self.spread:
            columns[name] = _split(results.item_keys(key, indices))
        return self.plan.keys(columns, {}, count, indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Gives the nodes of one run their lineage keys."""

    memories: Memories
    _plans: dict[Node, Any] = field(default_factory=dict)
    _keys: dict[Node, bytes] = field(default_factory=dict)
    _identities: dict[TaskSpec, Any] = field(default_factory=dict)

    def check(self, node: Node) -> None:
        """Refuse a node under LINEAGE that is made from something without a key, or by a trigger, before anything runs.

        Raises:
            KeyingError: as for `key`; or a trigger decides about it, and keys by lineage know nothing of failures.
        """
        memory = self.memories.of(node.task)
        if memory is None or not memory.is_lineage:
            return
        if node.task.rules.judges:
            raise KeyingError(
                "keys by LINEAGE know nothing of what failed or was skipped, which a trigger asks for",
                where=f"task {node.task.name!r}",
                fix="cache_policy=INPUTS, or no trigger and skip_on_upstream_skip=True",
            )
        self.key(node)

    def key(self, node: Node) -> bytes:
        """The key of a node as a whole.

        Raises:
            KeyingError: something it is made from has no key: a generator, a Dask collection, an unknown type.
        """
        waiting = [node]
        while waiting:  # not recursive: chains may be long
            last = waiting[-1]
            missing = [used.node for used in last.inputs() if used.node not in self._keys]
            if missing:
                waiting.extend(missing)
            else:
                waiting.pop()
                if last not in self._keys:
                    self._plans[last] = plan = self._plan(last, dict(_given(last)))
                    self._keys[last] = results.node_key(plan)
        return self._keys[node]

    def preimage(self, node: Node) -> bytes:
        """What the key of a plain node was made of, packed for its record."""
        self.key(node)
        plan = self._plans[node]
        return results.pack_preimage(plan, plan.keys({}, {}, 1, range(1)))

    def items_of(self, node: Node) -> list[Items]:
        """The literal items that the keys of a mapped node's elements are made from, its own and those upstream."""
        found: list[Items] = []
        for _, given in _given(node):
            match given:
                case Items():
                    found.append(given)
                case Elements(used) if _is_same_element(used):
                    found.extend(self.items_of(used.node))
                case _:
                    pass
        return found

    def element_keys(self, node: Node, slot_of: Callable[[Items], int]) -> ElementKeys:
        """How the keys of a mapped node's elements are made.

        Args:
            node: the mapped node.
            slot_of: the slot of the frame that holds some items.

        Raises:
            KeyingError: as for `key`.
        """
        shared: dict[str, Argument] = {}
        columns, nested, spread = [], [], []
        for name, given in _given(node):
            match given:
                case Items():
                    columns.append((name, slot_of(given)))
                case Elements(used) if _is_same_element(used):
                    nested.append((name, self.element_keys(used.node, slot_of)))
                case Elements(used):
                    spread.append((name, self._input(used)))
                case Rows():
                    spread.append((name, self._cell(given)))
                case _:
                    shared[name] = given
        by_key = frozenset(name for name, _ in (*nested, *spread))
        names = tuple(name for name, _ in _given(node))
        return ElementKeys(
            plan=self._plan(node, shared, names=names, more_lineage=by_key),
            columns=tuple(columns),
            nested=tuple(nested),
            spread=tuple(spread),
        )

    def _plan(
        self,
        node: Node,
        given: Mapping[str, Argument],
        *,
        names: tuple[str, ...] | None = None,
        more_lineage: frozenset[str] = frozenset(),
    ) -> Any:
        asked = node.task.persistence
        defaults = {} if asked is None else _defaults(asked.signature)
        missing = {name: value for name, value in defaults.items() if name not in (names or given)}
        by_value = {name: argument.value for name, argument in given.items() if isinstance(argument, Constant)}
        by_key = {name: self._cell(argument) for name, argument in given.items() if name not in by_value}
        constants = {**missing, **by_value, **by_key}
        call = results.CallArguments(
            names=(*missing, *(names or given)), constants=constants, lineage=frozenset(by_key) | more_lineage
        )
        policy = asked.policy if asked is not None and asked.policy is not None and asked.policy.is_lineage else LINEAGE
        if node.task not in self._identities:  # reading its source costs more than all the rest
            self._identities[node.task] = identity_of(node.task)
        return results.make_plan(self._identities[node.task], policy, call)

    def _cell(self, given: Argument) -> bytes:
        """The key of an argument as a whole."""
        match given:
            case Whole(used) | Elements(used):
                return self._input(used)
            case Template(skeleton, inputs):
                parts = [self._input(inner) if isinstance(inner, Input) else _no_collection() for inner in inputs]
                return digest(b"template", results.encode(skeleton, "argument"), *parts)
            case Items(source, int()):
                return digest(b"items", results.encode(source, "argument"))
            case Rows(rows):
                return digest(b"rows", *(self._cell(row) for row in rows))
            case Constant(value):
                return digest(b"constant", results.encode(value, "argument"))
            case Collection():
                return _no_collection()
            case _:
                problem = "a generator is known only when it has been read, so LINEAGE has no key for it"
                raise KeyingError(problem, fix="list(...), or cache_policy=INPUTS")

    def _input(self, used: Input) -> bytes:
        how = f"{used.index!r} {used.depth} {used.allow_failure}"
        return digest(b"input", self._keys[used.node] if used.node in self._keys else self.key(used.node), how.encode())


def _given(node: Node) -> list[tuple[str, Argument]]:
    """The arguments by name, without the dependencies that bring no data."""
    labelled = node.labelled_arguments()
    return labelled[: len(labelled) - len(node.after)]


def _is_same_element(used: Input) -> bool:
    return used.node.space is not None and not used.depth and used.index is None and not used.allow_failure


def _defaults(signature: Any) -> dict[str, Any]:
    return {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}


def _no_collection() -> bytes:
    problem = "a Dask collection has no key that is the same tomorrow"
    raise KeyingError(problem, fix="compute it in a task, or pass what it is made from")


def _split(digests: bytes) -> list[bytes]:
    return [digests[at : at + 20] for at in range(0, len(digests), 20)]
