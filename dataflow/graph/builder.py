"""The builder: a call of a task becomes a node, with its arguments read, its map decided and its mistakes told."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from dataflow.errors import ArgumentError, MapError
from dataflow.graph.kinds import ATOMIC
from dataflow.graph.mapping import Decision, Iterated, Spaces, common_space, decide, decide_waits, read_generators
from dataflow.graph.nodes import Argument, Constant, Graph, Node, Reference, Space, TaskSpec, Whole, judged
from dataflow.graph.reading import Reader

__all__ = ["Builder"]

SCALAR = ATOMIC - {range}
"""Types that are taken whole by every call."""
VARIABLE = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}


class Builder:
    """Adds nodes to one graph; may be used from several threads.

    Example:
        >>> import inspect
        >>> def add(x, y):
        ...     return x + y
        >>> task = TaskSpec(name="add", function=add, parameters=("x", "y"))
        >>> builder = Builder(Graph("example"))
        >>> builder.call(task, inspect.signature(add), (1, 2), {})
        <Node add>
        >>> builder.call(task, inspect.signature(add), ([1, 2, 3], 10), {}, mapped=True).space.length
        3
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._spaces = Spaces()
        self._fitting: set[tuple[object, ...]] = set()
        """Shapes of calls that were found to fit: the task, the number of positional arguments, the keywords."""
        self._lock = threading.RLock()  # reading arguments may run user code that adds nodes, such as a generator

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())

    def call(
        self,
        task: TaskSpec,
        signature: inspect.Signature,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        *,
        wait_for: Any = None,
        mapped: bool = False,
        strict: bool = True,
        site: str = "",
        slug: str | None = None,
    ) -> Node:
        """Add the node of one call.

        Args:
            task: what is called.
            signature: its parameters; decides whether the arguments fit. Defaults are left to the function.
            arguments: positional arguments as they were written, with references and annotations.
            keywords: keyword arguments, likewise.
            wait_for: references that must be done before, without their values.
            mapped: whether the call is repeated for each element of what can be iterated.
            strict: whether iterated arguments of different lengths are an error; else the shortest decides.
            site: file and line of the call, for messages.
            slug: what to call the node instead of the name of the task.

        Returns:
            The node; its ``space`` is None if nothing is iterated. The graph is not changed if an error is raised.

        Raises:
            ArgumentError: arguments that do not fit the signature, or annotations in a wrong place.
            HandleError: a reference that belongs to another graph.
            MapError: nothing to iterate, or something that a map does not iterate.
            MapLengthError: iterated arguments of different lengths.
        """
        with self._lock:
            where = f"{task.name} at {site}" if site else task.name
            self._check_fit(task, signature, arguments, keywords, where)
            call = _Call(Reader(self.graph, where), self._spaces, is_mapped=mapped)
            positional = call.positional(arguments, task.parameters)
            named = {name: call.decide(value, name) for name, value in keywords.items()}
            after = () if wait_for is None else call.waits(wait_for)
            read = read_generators(call.iterated, strict=strict)
            if read:
                positional = tuple([read.get(id(given), given) for given in positional])
                named = {name: read.get(id(given), given) for name, given in named.items()}
            if task.rules.judges:
                positional, after = tuple(map(judged, positional)), tuple(map(judged, after))
                named = {name: judged(given) for name, given in named.items()}
            return Node(
                graph=self.graph,
                task=task,
                arguments=positional,
                keywords=named,
                after=after,
                space=call.space(strict=strict),
                strict=strict,
                site=site,
                slug=self.graph.slug_for(slug or task.name),  # last, because it counts
            )

    def _check_fit(
        self,
        task: TaskSpec,
        signature: inspect.Signature,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        where: str,
    ) -> None:
        """Whether arguments can be bound depends on their number and names only, so each shape is bound once."""
        shape = (task, len(arguments), *keywords)
        if shape in self._fitting:
            return
        try:
            signature.bind(*arguments, **keywords)
        except TypeError as error:
            complaint = _misfit(signature, len(arguments), keywords) or str(error)
            raise ArgumentError(
                f"the call does not fit {task.name}{signature}: {complaint}",
                where=where,
                fix="give each parameter without a default one value, and no others",
            ) from None
        self._fitting.add(shape)


class _Call:
    """The arguments of one call while they are read, and those of them that are iterated."""

    __slots__ = ("is_mapped", "iterated", "reader", "spaces")

    def __init__(self, reader: Reader, spaces: Spaces, *, is_mapped: bool) -> None:
        self.reader = reader
        self.spaces = spaces
        self.is_mapped = is_mapped
        self.iterated: list[Iterated] = []

    def positional(self, values: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Argument, ...]:
        return tuple([self.decide(value, names[i] if i < len(names) else i) for i, value in enumerate(values)])

    def decide(self, value: Any, name: str | int) -> Argument:
        """One argument, by the name of its parameter or, where it has none, its position."""
        if type(value) in SCALAR:
            return Constant(value)
        path = name if isinstance(name, str) else f"argument {name}"
        if not self.is_mapped and isinstance(value, Reference):
            return Whole(self.reader.input(value, path))
        return self._take(decide(self.reader, self.spaces, value, path, is_mapped=self.is_mapped))

    def waits(self, wait_for: Any) -> tuple[Argument, ...]:
        """Dependencies without data."""
        return tuple([self._take(decision) for decision in decide_waits(self.reader, self.spaces, wait_for)])

    def _take(self, decision: Decision) -> Argument:
        if isinstance(decision, Iterated):
            self.iterated.append(decision)
            return decision.argument
        return decision

    def space(self, *, strict: bool) -> Space | None:
        """The index space of the call; None for a plain one."""
        if self.iterated:
            return common_space(self.iterated, strict=strict, where=self.reader.where)
        if self.is_mapped:
            raise MapError(
                "nothing to iterate: no argument is a list, an array, an iterator or a future",
                where=self.reader.where,
                fix="give a list (not wrapped in unmapped(...)), or call the task without map",
            )
        return None


def _misfit(signature: inspect.Signature, given: int, keywords: Mapping[str, Any]) -> str:
    """Everything that does not fit at once; ``bind`` names only the first."""
    parameters = list(signature.parameters.values())
    kinds = {parameter.kind for parameter in parameters}
    by_position = [p for p in parameters if p.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}]
    by_name = {p.name for p in parameters if p.kind in {Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD}}
    filled = {p.name for p in by_position[:given]}
    required = [p for p in parameters if p.default is Parameter.empty and p.kind not in VARIABLE]
    missing = [p.name for p in required if p.name not in filled and p.name not in (by_name & keywords.keys())]
    unknown = [] if Parameter.VAR_KEYWORD in kinds else [name for name in keywords if name not in by_name]
    extra = 0 if Parameter.VAR_POSITIONAL in kinds else max(given - len(by_position), 0)
    complaints = {
        "nothing for": missing,
        "no parameter named": unknown,
        "two values for": sorted(filled & by_name & keywords.keys()),
    }
    told = [f"{what} {', '.join(names)}" for what, names in complaints.items() if names]
    return "; ".join([*told, *([f"{extra} positional too many"] if extra else [])])
