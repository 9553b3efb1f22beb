"""A program: what a worker does for each element of a stage, as slots of a frame and steps that fill them.

The frame of one element is a list. First stand the constants of the program, then the values that all elements of a
batch share (broadcasts), then the values of this element alone (columns), then one slot for what each step gives.
A program is shipped once per worker; chains of plain nodes of the same shape share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflow.graph.nodes import Argument, Collection, Constant, Elements, Input, Items, Node, Rows, Template, Whole
from dataflow.graph.stages import Stage

__all__ = ["ByKey", "Compiled", "Guard", "Program", "Source", "Step", "compile_stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call per element: which slots hold its arguments, and which must hold no failure."""

    name: str
    function: Callable[..., Any]
    positional: tuple[int, ...]
    keywords: tuple[tuple[str, int], ...]
    guards: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The steps of a stage with the layout of its frame."""

    name: str
    constants: tuple[Any, ...]
    broadcasts: int
    columns: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    """Positions of the steps whose values leave the batch."""
    measures: tuple[tuple[int, int], ...] = ()
    """(step, depth) pairs: report how many elements the values of that step have, opened that deep."""
    is_async: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ByKey:
    """A large constant, which travels once per worker under a key of its own."""

    value: Any


@dataclass(frozen=True, slots=True)
class Guard:
    """A dependency without data: nothing is moved, only whether it failed."""

    input: Input


Source = Argument | ByKey | Guard
"""Where the value of a broadcast or column slot comes from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """A program with the sources of its slots. ``key`` is equal for stages that can share a program and a batch."""

    key: object
    program: Program
    broadcasts: tuple[Source, ...]
    columns: tuple[Source, ...]


class _Frame:
    """Gives out slots while a stage is compiled; equal sources share a slot."""

    def __init__(self) -> None:
        self.constants: list[Any] = []
        self.broadcasts: list[Source] = []
        self.columns: list[Source] = []
        self._known: dict[object, tuple[str, int]] = {}

    def place(self, kind: str, entries: list[Any], source: Any, identity: object) -> tuple[str, int]:
        known = self._known.get(identity)
        if known is None:
            known = self._known[identity] = (kind, len(entries))
            entries.append(source)
        return known

    def slot(self, place: tuple[str, int]) -> int:
        kind, position = place
        starts = {
            "constant": 0,
            "broadcast": len(self.constants),
            "column": len(self.constants) + len(self.broadcasts),
            "step": len(self.constants) + len(self.broadcasts) + len(self.columns),
        }
        return starts[kind] + position


def compile_stage(
    stage: Stage,
    *,
    keeps: Callable[[Node], bool],
    is_large: Callable[[Any], bool],
    depths: Mapping[Node, set[int]],
) -> Compiled:
    """Turn a stage into a program and the sources of its slots.

    Args:
        stage: the nodes that run together.
        keeps: whether the values of a node must outlive the batch.
        is_large: whether a constant should travel under a key of its own.
        depths: for nodes whose values will be iterated, to which depths.
    """
    frame = _Frame()
    steps_of = {node: position for position, node in enumerate(stage.nodes)}
    place = _place_plain if stage.space is None else _place_mapped
    calls = [
        [(name, place(frame, steps_of, argument, is_large)) for name, argument in _arguments(node)]
        for node in stage.nodes
    ]
    program = Program(
        name="+".join(node.task.name for node in stage.nodes),
        constants=tuple(frame.constants),
        broadcasts=len(frame.broadcasts),
        columns=len(frame.columns),
        steps=tuple(_step(frame, node, call) for node, call in zip(stage.nodes, calls, strict=True)),
        outputs=tuple(position for node, position in steps_of.items() if keeps(node)),
        measures=tuple((steps_of[node], depth) for node in stage.nodes for depth in sorted(depths.get(node, ()))),
        is_async=stage.nodes[0].task.is_async,
    )
    key = object() if stage.space is not None else _shape(stage, calls, program)
    return Compiled(key=key, program=program, broadcasts=tuple(frame.broadcasts), columns=tuple(frame.columns))


def _arguments(node: Node) -> list[tuple[str | None, Source]]:
    """Positional arguments (name None), keyword arguments, and guards (name "")."""
    guards = [Guard(argument.input) if isinstance(argument, Whole) else argument for argument in node.after]
    return [
        *((None, argument) for argument in node.arguments),
        *node.keywords.items(),
        *(("", guard) for guard in guards),
    ]


def _place_mapped(
    frame: _Frame, steps_of: Mapping[Node, int], source: Source, is_large: Callable[[Any], bool]
) -> tuple[str, int]:
    """Where an argument of a mapped node stands: the same for all elements, or one for each."""
    match source:
        case Constant(value) if is_large(value):
            return frame.place("broadcast", frame.broadcasts, ByKey(value), ("value", id(value)))
        case Constant(value):
            return frame.place("constant", frame.constants, value, ("value", id(value)))
        case Collection(value):
            return frame.place("broadcast", frame.broadcasts, source, ("value", id(value)))
        case Whole(used):
            return frame.place("broadcast", frame.broadcasts, source, ("whole", used))
        case Guard(used):
            return frame.place("broadcast", frame.broadcasts, source, ("guard", used))
        case Template():
            return frame.place("broadcast", frame.broadcasts, source, object())
        case Elements(used) if used.node in steps_of and not used.depth and not used.allow_failure:
            return ("step", steps_of[used.node])
        case Elements(used):
            return frame.place("column", frame.columns, source, ("elements", used))
        case _:
            return frame.place("column", frame.columns, source, object())


def _place_plain(
    frame: _Frame, steps_of: Mapping[Node, int], source: Source, is_large: Callable[[Any], bool]
) -> tuple[str, int]:
    """Where an argument of a plain node stands: a column, so that nodes of one shape can share a batch."""
    match source:
        case Whole(used) if used.node in steps_of:
            return ("step", steps_of[used.node])
        case Constant(value) if is_large(value):
            return frame.place("column", frame.columns, ByKey(value), object())
        case _:
            return frame.place("column", frame.columns, source, object())


def _step(frame: _Frame, node: Node, call: list[tuple[str | None, tuple[str, int]]]) -> Step:
    slots = [(name, frame.slot(place), place[0]) for name, place in call]
    return Step(
        name=node.task.name,
        function=node.task.function,
        positional=tuple(slot for name, slot, _ in slots if name is None),
        keywords=tuple((name, slot) for name, slot, _ in slots if name),
        guards=tuple(dict.fromkeys(slot for _, slot, kind in slots if kind != "constant")),
    )


def _shape(stage: Stage, calls: list[list[tuple[str | None, tuple[str, int]]]], program: Program) -> object:
    tasks = tuple(id(node.task) for node in stage.nodes)
    return (tasks, tuple(map(tuple, calls)), program.outputs, program.measures)
