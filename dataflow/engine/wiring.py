"""Wiring a stage into a run: which nodes it waits for as a whole, and which it iterates over as they arrive."""

from __future__ import annotations

from collections.abc import Iterator

from dataflow.compiler.program import Guard
from dataflow.compiler.program import Source as SlotSource
from dataflow.engine.facts import NodeFacts
from dataflow.engine.intervals import IntervalSet
from dataflow.engine.judged import passed_on
from dataflow.engine.records import Explosion, Source, StageRecord, Waiter
from dataflow.errors import MapLengthError
from dataflow.graph.nodes import Elements, Input, Items, Node, Rows, Template, Whole, inputs_of
from dataflow.states import StateType

__all__ = ["Wiring", "doomed_steps", "failed_inputs", "length_error", "steps_doomed_by"]

SKIPPED = int(StateType.SKIPPED)
UPSTREAM_FAILED = int(StateType.UPSTREAM_FAILED)


class Wiring:
    """Who waits for whom. Kept apart from the machine, which decides what to do when somebody has waited enough."""

    def __init__(self) -> None:
        self.facts: dict[Node, NodeFacts] = {}
        self.stage_of: dict[Node, StageRecord] = {}
        self.whole_waiters: dict[NodeFacts, list[Waiter]] = {}
        self.element_waiters: dict[NodeFacts, dict[int, list[Waiter]]] = {}
        self.aligned: dict[NodeFacts, list[tuple[StageRecord, Source]]] = {}
        self.explosions: dict[NodeFacts, dict[tuple[tuple[int, int] | None, int], Explosion]] = {}

    def wire(self, stage: StageRecord, outside: tuple[Input, ...]) -> list[Explosion]:
        """Register everything a stage uses.

        Returns:
            Explosions that were asked for after some of their segments had ended, so that those are not measured yet.
        """
        compiled = stage.compiled
        whole = Waiter(stage, 0 if stage.plain else None)
        slots = compiled.columns if stage.plain else compiled.broadcasts
        for used in _whole_inputs(slots):
            self._wait_for(used, whole)
        late = [] if stage.plain else self._wire_columns(stage)
        self._register_consumer(stage, outside)
        stage.waiter = whole
        stage.awaits_lengths = len(stage.sources) > 1 and any(source.length is None for source in stage.sources)
        whole.remaining += stage.awaits_lengths
        stage.active = whole.remaining == 0
        return late

    def _wire_columns(self, stage: StageRecord) -> list[Explosion]:
        late: list[Explosion] = []
        seen: set[Input] = set()
        for slot in stage.compiled.columns:
            match slot:
                case Items(_, None):
                    stage.generator = True
                    stage.sources.append(Source(None))
                case Items(_, int() as length):
                    stage.sources.append(Source(length, IntervalSet(0, length)))
                case Rows(rows):
                    stage.sources.append(self._wire_rows(stage, rows))
                case Elements(used) if used not in seen:
                    seen.add(used)
                    late.extend(self._wire_elements(stage, used))
                case _:
                    pass
        return late

    def _wire_rows(self, stage: StageRecord, rows: tuple[SlotSource, ...]) -> Source:
        source = Source(len(rows))
        for element, row in enumerate(rows):
            waiter = Waiter(stage, element, source=source)
            for used in inputs_of(row):  # type: ignore[arg-type]
                self._wait_for(used, waiter)
            if not waiter.remaining:
                source.available.add(element, element + 1)
        return source

    def _wire_elements(self, stage: StageRecord, used: Input) -> Iterator[Explosion]:
        facts = self.facts[used.node]
        if used.depth or used.index is not None:
            explosion, is_late = self._explosion(facts, used)
            source = Source(explosion.length(), origin=(facts, used))
            for opened in explosion.opened:
                source.available.add(opened.start, opened.stop)
            explosion.source_views.append((stage, source))
            if is_late:
                yield explosion
        else:
            source = Source(facts.length, facts.ended_indices(), (facts, used))
            self.aligned.setdefault(facts, []).append((stage, source))
        stage.sources.append(source)

    def _explosion(self, facts: NodeFacts, used: Input) -> tuple[Explosion, bool]:
        known = self.explosions.setdefault(facts, {})
        bounds = _bounds(used)
        if (bounds, used.depth) in known:
            return known[bounds, used.depth], False
        explosion = known[bounds, used.depth] = Explosion(facts, bounds, used.depth)
        return explosion, bool(facts.arrivals)

    def explosion_of(self, used: Input) -> Explosion:
        """The index space that a stage iterates over when it opens a node."""
        return self.explosions[self.facts[used.node]][_bounds(used), used.depth]

    def _wait_for(self, used: Input, waiter: Waiter) -> None:
        facts = self.facts[used.node]
        if isinstance(used.index, int) and facts.node.space is not None:
            if facts.segment_at(used.index) is None and not facts.ended:
                waiter.remaining += 1
                self.element_waiters.setdefault(facts, {}).setdefault(used.index, []).append(waiter)
        elif not facts.ended:
            waiter.remaining += 1
            self.whole_waiters.setdefault(facts, []).append(waiter)

    def _register_consumer(self, stage: StageRecord, outside: tuple[Input, ...]) -> None:
        if outside:
            stage.upstream = list(dict.fromkeys(self.facts[used.node] for used in outside))
            for facts in stage.upstream:
                facts.pending_consumers += 1

    def waiters_for(self, facts: NodeFacts, start: int, stop: int) -> Iterator[Waiter]:
        """Who waited for one of these elements, each taken off the list."""
        waiting = self.element_waiters.get(facts)
        if not waiting:
            return
        if facts.ended:  # also those of elements that turned out not to exist
            for waiters in self.element_waiters.pop(facts).values():
                yield from waiters
            return
        indices = range(start, stop) if stop - start < len(waiting) else [i for i in waiting if start <= i < stop]
        for index in indices:
            yield from waiting.pop(index, ())


def _bounds(used: Input) -> tuple[int, int] | None:
    """First and last of the elements that are opened; None for all."""
    if used.index is None or used.node.space is None:
        return None
    return (used.index, used.index + 1) if isinstance(used.index, int) else (used.index.start, used.index.stop)


def _whole_inputs(slots: tuple[SlotSource, ...]) -> Iterator[Input]:
    for slot in slots:
        match slot:
            case Whole(used) | Guard(used):
                yield used
            case Template(_, many):
                yield from (inner for inner in many if isinstance(inner, Input))
            case _:
                pass


def failed_inputs(stage: StageRecord, facts: dict[Node, NodeFacts]) -> dict[int, tuple[int, bytes | None]]:
    """State and error of each broadcast slot (of a plain stage: column slot) that rests on a failed input."""
    slots = stage.compiled.columns if stage.plain else stage.compiled.broadcasts
    found: dict[int, tuple[int, bytes | None]] = {}
    for position, slot in enumerate(slots):
        for used in _whole_inputs((slot,)):
            failure = facts[used.node].failure_of(used)
            if failure is not None:
                found.setdefault(position, failure)
    return found


def doomed_steps(
    stage: StageRecord, broken: dict[int, tuple[int, bytes | None]]
) -> tuple[tuple[int, bytes | None], ...]:
    """How each step of the program ends, if each rests, over others, on an input that failed or was skipped.

    Nothing if some step may run: then a worker finds out.
    """
    constants = len(stage.compiled.program.constants)
    return _ends(stage, {constants + position: found for position, found in broken.items()}, {})


def steps_doomed_by(
    stage: StageRecord, ended: dict[int, tuple[int, bytes | None]]
) -> tuple[tuple[int, bytes | None], ...]:
    """The same for a program of which some steps, by position, end without having run."""
    return _ends(stage, {}, ended)


def _ends(
    stage: StageRecord, doomed: dict[int, tuple[int, bytes | None]], ended: dict[int, tuple[int, bytes | None]]
) -> tuple[tuple[int, bytes | None], ...]:
    program = stage.compiled.program
    first_step = len(program.constants) + program.broadcasts + program.columns
    ends: list[tuple[int, bytes | None]] = []
    for position, step in enumerate(program.steps):
        causes = [doomed[guard] for guard in step.guards if guard in doomed]
        if position in ended:
            end = ended[position]
        elif not causes or step.rules.judges:
            return ()
        else:
            skip = next((error for state, error in causes if state == SKIPPED), None)
            end = (UPSTREAM_FAILED, causes[0][1]) if skip is None else (SKIPPED, passed_on(skip))
        doomed[first_step + position] = end
        ends.append(end)
    return tuple(ends)


def length_error(node: Node, stage: StageRecord) -> MapLengthError:
    """Iterated arguments turned out, at run time, to have different lengths."""
    lengths = ", ".join(str(source.length) for source in stage.sources)
    return MapLengthError(
        f"iterated arguments turned out to have different lengths: {lengths}",
        where=f"{node.slug}.map(...)",
        fix="make them equal, wrap what should not be iterated in unmapped(...), or pass strict=False to zip",
    )
