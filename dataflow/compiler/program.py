"""A program: what a worker does for each element of a stage, as slots of a frame and steps that fill them.

The frame of one element is a list. First stand the constants of the program, then the values that all elements of a
batch share (broadcasts), then the values of this element alone (columns), then one slot for what each step gives.
A program is shipped once per worker; chains of plain nodes of the same shape share one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataflow.compiler.recipes import Known
from dataflow.errors import WorkLost
from dataflow.graph.nodes import (
    Argument,
    Collection,
    Constant,
    Elements,
    Input,
    Items,
    Node,
    TaskSpec,
    Template,
    Whole,
    inputs_of,
)
from dataflow.graph.stages import Stage
from dataflow.rules import PLAIN, Rules
from dataflow.run_facts import RunFacts
from dataflow.triggers import Counts, Verdict

if TYPE_CHECKING:
    from dataflow.compiler.lineage import ElementKeys, Lineage
    from dataflow.compiler.memory import Memory

__all__ = ["ByKey", "Compiled", "Compiler", "Guard", "Program", "Source", "Step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call per element: which slots hold its arguments, and which must hold no failure."""

    name: str
    function: Callable[..., Any]
    positional: tuple[int, ...]
    keywords: tuple[tuple[str, int], ...]
    guards: tuple[int, ...]
    memory: Memory | None = None
    """How its results are found in a store and kept there; None: they are not."""
    labels: tuple[tuple[str, int], ...] = ()
    """Names of the arguments that its keys may be made of, with their slots; of steps with a memory only."""
    element_keys: ElementKeys | None = None
    """How the keys of a mapped node are made under LINEAGE."""
    rules: Rules = PLAIN

    @property
    def slots(self) -> tuple[int, ...]:
        """Every slot it reads."""
        return (*self.positional, *(slot for _, slot in self.keywords), *self.guards)


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
    facts: RunFacts | None = None
    """Of the run it is of, so that they travel once."""

    @property
    def is_kept(self) -> bool:
        """Whether some step keeps its results."""
        return any(step.memory is not None for step in self.steps)

    @property
    def runs_when_whole(self) -> bool:
        """Whether every step runs if none of its inputs failed or was skipped, whatever its trigger is."""
        judging = (step for step in self.steps if step.rules.judges)
        return all(step.rules.trigger(Counts(successful=len(step.guards))) is Verdict.RUN for step in judging)

    @property
    def may_hold(self) -> bool:
        """Whether elements may leave a batch unfinished; then the batch has an output more, of how far they came."""
        return any(step.rules.may_be_held for step in self.steps)


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


@dataclass(slots=True, eq=False)
class Compiled:
    """A program with the sources of its slots. ``key`` is equal for stages that can share a program and a batch."""

    key: object
    program: Program
    broadcasts: tuple[Source, ...]
    columns: tuple[Source, ...]
    lineage: tuple[Known | None, ...] = ()
    """Keys of the steps of a plain stage that are known already."""


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

    def slot_of_items(self, items: Items) -> int:
        """The slot that holds some literal items."""
        return self.slot(self._known["items", id(items)])

    def slot(self, place: tuple[str, int]) -> int:
        kind, position = place
        starts = {
            "constant": 0,
            "broadcast": len(self.constants),
            "column": len(self.constants) + len(self.broadcasts),
            "step": len(self.constants) + len(self.broadcasts) + len(self.columns),
        }
        return starts[kind] + position


def _vanished() -> None:
    raise WorkLost(
        "its result was in the store when the flow began, and is not there any more", fix="run the flow again"
    )


Calls = list[list[tuple[str | None, tuple[str, int]]]]


class Compiler:
    """Turns stages into programs; chains of plain nodes of the same shape get the same one.

    Args:
        is_large: whether a constant should travel under a key of its own.
        memory_of: gives how the results of a task are kept, None if they are not.
        lineage: gives the keys of nodes whose memory is by lineage.
        facts: gives the facts of the run that the programs are of.
    """

    def __init__(
        self,
        is_large: Callable[[Any], bool],
        memory_of: Callable[[TaskSpec], Memory | None] = lambda task: None,
        lineage: Lineage | None = None,
        facts: Callable[[], RunFacts | None] = lambda: None,
    ) -> None:
        self._is_large = is_large
        self._memory_of = memory_of
        self._lineage = lineage
        self._facts = facts
        self._programs: dict[object, Program] = {}

    def compile(self, stage: Stage, *, keeps: Callable[[Node], bool], depths: Mapping[Node, set[int]]) -> Compiled:
        """The program of a stage and the sources of its slots.

        Args:
            stage: the nodes that run together.
            keeps: whether the values of a node must outlive the batch.
            depths: for nodes whose values will be iterated, to which depths.
        """
        outputs = tuple(position for position, node in enumerate(stage.nodes) if keeps(node))
        measures = tuple(
            (position, depth)
            for position, node in enumerate(stage.nodes)
            if node in depths
            for depth in sorted(depths[node])
        )
        if stage.space is None:
            return self._compile_plain(stage, outputs, measures)
        frame = _Frame()
        steps_of = {node: position for position, node in enumerate(stage.nodes)}
        calls = [
            [(name, self._place_mapped(frame, steps_of, argument)) for name, argument in _arguments(node)]
            for node in stage.nodes
        ]
        for items in (items for node in stage.nodes if self._is_lineage(node) for items in self._lineage_items(node)):
            frame.place("column", frame.columns, items, ("items", id(items)))
        program = self._program(stage, frame, calls, outputs, measures)
        return Compiled(object(), program, tuple(frame.broadcasts), tuple(frame.columns))

    def _compile_plain(self, stage: Stage, outputs: tuple[int, ...], measures: tuple[tuple[int, int], ...]) -> Compiled:
        """Every argument is a column, so that nodes of one shape can share a batch."""
        columns: list[Source] = []
        shape: list[object] = [outputs, measures]
        before: Node | None = None
        for node in stage.nodes:
            shape.append(node.task)
            for name, source in _arguments(node):
                if before is not None and isinstance(source, Whole) and source.input.node is before:
                    shape.append((name,))
                else:
                    shape.append((name, bool(_counted(source))) if node.task.rules.judges else name)
                    large = isinstance(source, Constant) and self._is_large(source.value)
                    columns.append(ByKey(source.value) if large else source)  # type: ignore[union-attr]
            before = node
        key = tuple(shape)
        program = self._programs.get(key)
        if program is None:
            program = self._programs[key] = self._plain_program(stage, outputs, measures)
        known = tuple(self._known(node) for node in stage.nodes) if program.is_kept else ()
        return Compiled(key, program, (), tuple(columns), known if any(known) else ())

    def compile_found(self, node: Node) -> Compiled:
        """The program that only loads the result of a plain node, and takes no arguments."""
        step = Step(name=node.task.name, function=_vanished, positional=(), keywords=(), guards=())
        program = Program(
            name=node.task.name,
            constants=(),
            broadcasts=0,
            columns=0,
            steps=(replace(step, memory=self._memory_of(node.task)),),
            outputs=(0,),
        )
        key = ("found", node.task)
        return Compiled(key, self._programs.setdefault(key, program), (), (), (self._known(node),))

    def _is_lineage(self, node: Node) -> bool:
        memory = self._memory_of(node.task)
        return memory is not None and memory.is_lineage and self._lineage is not None

    def _lineage_items(self, node: Node) -> list[Items]:
        assert self._lineage is not None
        return self._lineage.items_of(node)

    def _known(self, node: Node) -> Known | None:
        if not self._is_lineage(node):
            return None
        assert self._lineage is not None
        return Known(self._lineage.key(node), self._lineage.preimage(node))

    def _plain_program(self, stage: Stage, outputs: tuple[int, ...], measures: tuple[tuple[int, int], ...]) -> Program:
        frame = _Frame()
        calls: Calls = []
        for position, node in enumerate(stage.nodes):
            before = stage.nodes[position - 1] if position else None
            calls.append([
                (name, ("step", position - 1))
                if before is not None and isinstance(source, Whole) and source.input.node is before
                else (name, frame.place("column", frame.columns, source, object()))
                for name, source in _arguments(node)
            ])  # fmt: skip
        return self._program(stage, frame, calls, outputs, measures)

    def _program(
        self, stage: Stage, frame: _Frame, calls: Calls, outputs: tuple[int, ...], measures: tuple[tuple[int, int], ...]
    ) -> Program:
        steps = (_step(frame, node, call) for node, call in zip(stage.nodes, calls, strict=True))
        return Program(
            name="+".join(node.task.name for node in stage.nodes),
            constants=tuple(frame.constants),
            broadcasts=len(frame.broadcasts),
            columns=len(frame.columns),
            steps=tuple(self._with_memory(step, node, frame) for step, node in zip(steps, stage.nodes, strict=True)),
            outputs=outputs,
            measures=measures,
            is_async=stage.nodes[0].task.is_async,
            facts=self._facts(),
        )

    def _with_memory(self, step: Step, node: Node, frame: _Frame) -> Step:
        memory = self._memory_of(node.task)
        if memory is None:
            return step
        known = node.task.parameters
        extra = (f"{memory.rest}[{i}]" for i in range(len(step.positional) - len(known)))
        labels = (*zip((*known, *extra), step.positional, strict=False), *step.keywords)
        made = None
        if node.space is not None and self._is_lineage(node):
            assert self._lineage is not None
            made = self._lineage.element_keys(node, frame.slot_of_items)
        return replace(step, memory=memory, labels=labels, element_keys=made)

    def _place_mapped(self, frame: _Frame, steps_of: Mapping[Node, int], source: Source) -> tuple[str, int]:
        """Where an argument of a mapped node stands: the same for all elements, or one for each."""
        match source:
            case Constant(value) if self._is_large(value):
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
            case Items():
                return frame.place("column", frame.columns, source, ("items", id(source)))
            case _:
                return frame.place("column", frame.columns, source, object())


def _arguments(node: Node) -> list[tuple[str | None, Source]]:
    """Positional arguments (name None), keyword arguments, and guards (name "")."""
    found: list[tuple[str | None, Source]] = [(None, argument) for argument in node.arguments]
    if node.keywords:
        found.extend(node.keywords.items())
    found.extend(("", Guard(given.input) if isinstance(given, Whole) else given) for given in node.after)
    return found


def _counted(source: Source) -> bool:
    """Whether a trigger counts what stands here: uses of nodes, no literals."""
    return isinstance(source, Guard) or (not isinstance(source, ByKey) and bool(inputs_of(source)))


def _step(frame: _Frame, node: Node, call: list[tuple[str | None, tuple[str, int]]]) -> Step:
    slots = [(name, frame.slot(place), place[0]) for name, place in call]
    if node.task.rules.judges:  # a trigger counts each use, and nothing else
        pairs = zip(slots, _arguments(node), strict=True)
        guards = [slot for (_, slot, _), (_, source) in pairs if _counted(source)]
    else:
        guards = list(dict.fromkeys(slot for _, slot, kind in slots if kind != "constant"))
    return Step(
        name=node.task.name,
        function=node.task.function,
        positional=tuple(slot for name, slot, _ in slots if name is None),
        keywords=tuple((name, slot) for name, slot, _ in slots if name),
        guards=tuple(guards),
        rules=node.task.rules,
    )
