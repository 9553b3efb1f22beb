"""Reading arguments that are not iterated: references become inputs, and containers of them become templates."""

from __future__ import annotations

from typing import Any

from dataflow.annotations import Annotation, allow_failure, strip
from dataflow.errors import ArgumentError, HandleError, UsageError
from dataflow.graph.containers import cut, is_dask_collection, is_lazy
from dataflow.graph.kinds import ATOMIC
from dataflow.graph.nodes import Collection, Constant, Graph, Input, Reference, Slot, Template, Whole

__all__ = ["Read", "Reader", "to_template"]

Read = Constant | Collection | Whole | Template
"""What a value that is not iterated becomes."""


class _Inputs:
    """The inputs of one template; equal ones share a slot."""

    __slots__ = ("_slots", "found")

    def __init__(self) -> None:
        self.found: list[Input | Collection] = []
        self._slots: dict[object, Slot] = {}

    def slot(self, used: Input | Collection) -> Slot:
        # Collections go by identity: comparing two of them would give a third.
        key = used if isinstance(used, Input) else id(used.value)
        known = self._slots.get(key)
        if known is None:
            known = self._slots[key] = Slot(len(self.found))
            self.found.append(used)
        return known

    def template(self, skeleton: Any) -> Template:
        return Template(skeleton, tuple(self.found))


class Reader:
    """Reads the arguments of one call: turns references into inputs, and containers of them into templates."""

    __slots__ = ("_plain", "graph", "where")

    def __init__(self, graph: Graph | None = None, where: str = "") -> None:
        self.graph = graph
        """The graph that references must belong to; None takes those of any."""
        self.where = where
        self._plain: dict[int, Any] = {}

    def error(self, kind: type[UsageError], problem: str, path: str, fix: str) -> UsageError:
        """An error about the argument at a path of this call."""
        return kind(problem, where=f"{self.where}, argument {path}" if self.where else f"argument {path}", fix=fix)

    def is_literal(self, value: Any) -> bool:
        """Whether there is no reference and no Dask collection in a value."""
        return not cut(value, is_lazy, self._plain).targets

    def read(self, value: Any, path: str = "value", *, allowed: bool = False) -> Read:
        """A value as one argument. ``allowed`` puts exceptions in the places of inputs that failed.

        Raises:
            ArgumentError: ``unmapped``, ``mapped`` or ``flatten`` stands inside a container.
            HandleError: a reference belongs to another graph.
        """
        if type(value) in ATOMIC:
            return Constant(value)
        if isinstance(value, Reference):
            return Whole(self.input(value, path, allowed=allowed))
        if isinstance(value, Annotation):
            return self.read(self._bare(value, path), path, allowed=True)
        if is_dask_collection(value):
            return self._collection(value, path, allowed)
        inputs = _Inputs()
        skeleton = self._skeleton(value, path, allowed, inputs)
        return inputs.template(skeleton) if inputs.found else Constant(skeleton)

    def input(self, reference: Reference, path: str, *, allowed: bool = False, depth: int = 0) -> Input:
        """One use of the node that a reference points to.

        Raises:
            HandleError: the node belongs to another graph, or has no such element.
        """
        if self._is_foreign(reference):
            raise self._foreign(reference, path)
        if reference.index is not None:
            self._check_index(reference, reference.index, path)
        return Input(reference.node, reference.index, depth, allowed)

    def row(self, value: Any, path: str, *, allowed: bool = False) -> Constant | Whole | Template:
        """An item of an iterated list as one argument; like ``read``, with a Dask collection inside a template."""
        found = self.read(value, path, allowed=allowed)
        if not isinstance(found, Collection):
            return found
        inputs = _Inputs()
        return inputs.template(inputs.slot(found))

    def _skeleton(self, value: Any, path: str, allowed: bool, inputs: _Inputs) -> Any:
        opened = cut(value, is_lazy, self._plain)
        replacements = []
        for position, target in enumerate(opened.targets):
            # The path is worked out only where it is needed: that costs as much as the container is large.
            simple = isinstance(target, Reference) and not self._is_foreign(target)
            where = "" if simple else opened.path(position, path)
            replacements.append(self._replacement(target, where, allowed, inputs))
        return opened.rebuilt(replacements)

    def _replacement(self, target: Any, path: str, allowed: bool, inputs: _Inputs) -> Any:
        if isinstance(target, Annotation):
            target, allowed = self._bare(target, path), True
        if isinstance(target, Reference):
            return inputs.slot(self.input(target, path, allowed=allowed))
        if is_dask_collection(target):
            return inputs.slot(self._collection(target, path, allowed))
        return self._skeleton(target, path, allowed, inputs)

    def _bare(self, annotated: Annotation[Any], path: str) -> Any:
        bare, kinds, _ = strip(annotated)
        misplaced = sorted(kind.__name__ for kind in kinds - {allow_failure})
        if misplaced:
            raise self.error(
                ArgumentError,
                f"{misplaced[0]}(...) stands inside a container, where nothing is iterated",
                path,
                f"wrap the whole argument in {misplaced[0]}(...), or pass this part as an argument of its own",
            )
        return bare

    def _collection(self, value: Any, path: str, allowed: bool) -> Collection:
        if allowed:
            raise self.error(
                ArgumentError,
                "allow_failure(...) of a Dask collection, which has no state of its own",
                path,
                "compute it in a task and use allow_failure(...) on the future of that task",
            )
        return Collection(value)

    def _check_index(self, reference: Reference, index: int | range, path: str) -> None:
        """An element that can never be there would be waited for without end."""
        node = reference.node
        length = 1 if node.space is None else node.space.length
        last = index if isinstance(index, int) else max(index, default=-1)
        if node.space is None or (length is not None and last >= length):
            size = "is not mapped" if node.space is None else f"has {length:,}"
            raise self.error(
                HandleError,
                f"element {index} of {node.slug!r}, which {size}",
                path,
                "index the value inside a task, or use an index below the length",
            )

    def _is_foreign(self, reference: Reference) -> bool:
        return self.graph is not None and reference.node.graph is not self.graph

    def _foreign(self, reference: Reference, path: str) -> UsageError:
        theirs, ours = reference.node.graph.name, self.graph.name if self.graph else ""
        noun, whole = ("future", "run") if hasattr(type(reference), "result") else ("handle", "flow")
        return self.error(
            HandleError,
            f"a {noun} of {reference.node.slug!r} from another {whole} ({theirs!r}) is used in {ours!r}",
            path,
            f"pass its value (.result()), or call {reference.node.task.name!r} in this {whole} too",
        )


def to_template(value: Any, path: str = "value") -> Read:
    """What a value becomes as an argument that is not iterated.

    Args:
        value: anything; references and Dask collections are found in containers of any depth.
        path: what to call the value in errors.

    Returns:
        ``Constant`` with the same object if there is nothing to be found in it; ``Whole`` for a reference,
        ``Collection`` for a Dask collection, else a ``Template`` whose skeleton shares what holds nothing.

    Raises:
        ArgumentError: ``unmapped``, ``mapped`` or ``flatten`` stands inside a container.

    Example:
        >>> from dataflow.graph.nodes import Graph, Node, TaskSpec
        >>> load = Node(graph=Graph("example"), task=TaskSpec(name="load", function=list, parameters=()), slug="load")
        >>> argument = to_template({"a": [1, Reference(load)]})
        >>> argument.skeleton, argument.inputs[0].node
        ({'a': [1, Slot(position=0)]}, <Node load>)
    """
    return Reader().read(value, path)
