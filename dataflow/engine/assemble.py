"""Assembling batches on the client: where the inputs of a batch stand becomes recipes and dependency keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dataflow.compiler.program import ByKey, Guard, Program
from dataflow.compiler.recipes import (
    Batch,
    Broken,
    Counted,
    Direct,
    Each,
    Fill,
    Gather,
    HeldSpan,
    Known,
    Literal,
    Part,
    Parts,
    Pick,
    Values,
)
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.items import GeneratorItems, slice_of
from dataflow.engine.pickles import dumps
from dataflow.engine.records import BatchRecord, StageRecord
from dataflow.engine.wiring import Wiring
from dataflow.errors import UnpicklableArgument
from dataflow.graph.nodes import Collection, Constant, Elements, Input, Items, Rows, Template, Whole
from dataflow.states import StateType

__all__ = ["Assembled", "Assembler", "pickled_batch", "pickled_program"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assembled:
    """A batch ready to be sent: what the worker is told, and the keys it depends on, in the order of its recipes."""

    record: BatchRecord
    batch: Batch
    keys: tuple[str, ...]

    @property
    def brings_elements(self) -> bool:
        """Whether its elements are literal, so that no worker is nearer to them than another."""
        return all(isinstance(column, Values) for column in self.batch.columns)


class Assembler:
    """Builds what is sent for a batch.

    Args:
        wiring: who uses what, and what is known of each node.
        key_of: gives the key under which an object that travels by itself (a large constant, a Dask collection) stands.
    """

    def __init__(self, wiring: Wiring, key_of: Callable[[Any, bool], str]) -> None:
        self._wiring = wiring
        self._key_of = key_of
        self._generators: dict[StageRecord, GeneratorItems] = {}

    def generator_of(self, stage: StageRecord) -> GeneratorItems:
        """The items of a stage that iterates over a generator."""
        if stage not in self._generators:
            source = next(slot.source for slot in stage.compiled.columns if isinstance(slot, Items))
            self._generators[stage] = GeneratorItems(iter(source))
        return self._generators[stage]

    def forget(self, record: BatchRecord) -> None:
        """A batch was reported: generator items of elements that have ended are not needed any more."""
        for span in record.spans:
            if span.stage in self._generators:
                ended = span.stage.facts[0]
                for _, low, high in ended.overlapping(span.start, span.stop):
                    self._generators[span.stage].forget(low, high)

    def assemble(self, record: BatchRecord) -> Assembled:
        """The recipes and dependencies of a batch."""
        keys = _Keys()
        if record.measures is not None:
            columns: tuple[Any, ...] = (Parts((self._part(record.measures, keys),)),)
            broadcasts: tuple[Any, ...] = ()
        elif record.spans[0].stage.plain:
            broadcasts = ()
            columns = tuple(
                self._plain_column(record, position, keys) for position in range(record.lane.program.columns)
            )
        else:
            compiled = record.spans[0].stage.compiled
            broadcasts = tuple(self._value(slot, keys) for slot in compiled.broadcasts)
            columns = tuple(
                _joined([self._column(span.stage, slot, span.start, span.stop, keys) for span in record.spans])
                for slot in compiled.columns
            )
        batch = Batch(
            number=record.number,
            count=record.count or _width(record),
            broadcasts=broadcasts,
            columns=columns,
            budget_seconds=record.budget_seconds,
            seconds_per_element=record.lane.pace.seconds_per_element,
            first=record.spans[0].start if record.spans else 0,
            most_at_once=record.permit.count if record.permit is not None else None,
            limits=record.limits,
            mapped=bool(record.spans) and not record.spans[0].stage.plain,
            is_scattered=len(record.spans) > 1,
            held=tuple(_held(record, keys)),
            cancelled=tuple(sorted(record.spans[0].stage.cancelled)) if record.spans else (),
            lineage=_lineage(record) if record.lane.program.is_kept else (),
            slugs=_slugs(record),
            starts=tuple(_starts(record)) if len(record.spans) > 1 and not record.spans[0].stage.plain else (),
        )
        return Assembled(record=record, batch=batch, keys=tuple(keys.positions))

    def _plain_column(self, record: BatchRecord, position: int, keys: _Keys) -> Any:
        recipes = tuple(self._value(span.stage.compiled.columns[position], keys) for span in record.spans)
        if all(type(recipe) is Literal for recipe in recipes):
            return Values([recipe.value for recipe in recipes])
        return Each(recipes)

    def _value(self, slot: Any, keys: _Keys) -> Any:
        """Recipe of one value."""
        match slot:
            case Constant(value):
                return Literal(value)
            case Whole(used):
                return self._whole(used, keys)
            case Guard(used):
                return self._guard(used)
            case Template(skeleton, inputs, judged):
                return Fill(skeleton, tuple(self._inner(inner, keys) for inner in inputs), judged)
            case Collection(value):
                return Direct(keys.position(self._key_of(value, True)))
            case ByKey(value):
                return Direct(keys.position(self._key_of(value, False)))
        raise TypeError(f"no recipe for {slot!r}")

    def _inner(self, inner: Any, keys: _Keys) -> Any:
        return self._whole(inner, keys) if isinstance(inner, Input) else self._value(inner, keys)

    def _broken(self, used: Input) -> Broken | None:
        failure = self._wiring.facts[used.node].failure_of(used)
        return None if failure is None else Broken(failure[0], failure[1] or b"")

    def _guard(self, used: Input) -> Any:
        """Recipe of a dependency without data."""
        if not used.judged:
            return self._broken(used) or Literal(None)
        facts = self._wiring.facts[used.node]
        if facts.node.space is None or isinstance(used.index, int):
            failure = facts.ended_badly(used)
            if failure is None or (used.allow_failure and failure[0] != StateType.SKIPPED):
                return Literal(None)
            return Broken(failure[0], failure[1] or b"")
        failure, counts = facts.ended_badly(used), facts.counts_of(used)
        if used.allow_failure:
            return Counted(counts.successful + counts.failed, 0, counts.skipped, b"")
        return Counted(*counts, (failure[1] if failure else None) or b"")

    def _whole(self, used: Input, keys: _Keys) -> Any:
        broken = self._broken(used)
        if broken is not None:
            return broken
        facts = self._wiring.facts[used.node]
        if facts.node.space is None or isinstance(used.index, int):
            index = used.index if isinstance(used.index, int) and facts.node.space is not None else 0
            part = self._part(facts.element(index), keys, depth=used.depth + 1 if used.depth else 0)
            if used.depth:
                return Gather((part,), used.allow_failure, used.judged)
            return Pick(part, used.allow_failure)
        return Gather(tuple(self._gathered(facts, used, keys)), used.allow_failure, used.judged)

    def _gathered(self, facts: NodeFacts, used: Input, keys: _Keys) -> Iterator[Part | Broken]:
        wanted = used.index if isinstance(used.index, range) else range(facts.length or 0)
        runs = [(wanted.start, wanted.stop)] if wanted.step == 1 else [(index, index + 1) for index in wanted]
        for start, stop in runs:
            for segment, low, high in facts.overlapping(start, stop):
                yield self._part(segment, keys, low, high, used.depth)

    def _column(self, stage: StageRecord, slot: Any, start: int, stop: int, keys: _Keys) -> Any:
        """Recipe of the column from element start to stop."""
        match slot:
            case Items(_, None):
                return Values(self.generator_of(stage).slice(start, stop))
            case Items(source, _):
                return Values(slice_of(source, start, stop))
            case Rows(rows):
                return Each(tuple(self._value(row, keys) for row in rows[start:stop]))
            case Elements(used) if used.depth or used.index is not None:
                return Parts(tuple(self._opened(used, start, stop, keys)), used.allow_failure)
            case Elements(used):
                found = self._wiring.facts[used.node].overlapping(start, stop)
                return Parts(
                    tuple(self._part(segment, keys, low, high) for segment, low, high in found), used.allow_failure
                )
        raise TypeError(f"no column for {slot!r}")

    def _opened(self, used: Input, start: int, stop: int, keys: _Keys) -> Iterator[Part | Broken]:
        for opened in self._wiring.explosion_of(used).opened:
            low, high = max(start, opened.start), min(stop, opened.stop)
            if low < high:
                part = self._part(opened.segment, keys, depth=used.depth)
                if isinstance(part, Broken):
                    yield part._replace(elements=high - low)
                else:
                    yield part._replace(first=low - opened.start, last=high - opened.start)

    def _part(
        self, segment: Segment, keys: _Keys, low: int | None = None, high: int | None = None, depth: int = 0
    ) -> Part | Broken:
        low, high = segment.start if low is None else low, segment.stop if high is None else high
        if segment.key is None:
            return Broken(segment.state, segment.error or b"", high - low)
        first = segment.offset + low - segment.start
        return Part(keys.position(segment.key), first, first + high - low, depth)


def _joined(columns: list[Any]) -> Any:
    """The columns of several runs of elements as one."""
    first = columns[0]
    if len(columns) == 1:
        return first
    if isinstance(first, Values):
        return Values([value for column in columns for value in column.values])
    if isinstance(first, Parts):
        return Parts(tuple(part for column in columns for part in column.parts), first.allow_failure)
    return Each(tuple(recipe for column in columns for recipe in column.recipes))


def _held(record: BatchRecord, keys: _Keys) -> Iterator[HeldSpan]:
    """Where it stands how far those elements of a batch came that are gone on with."""
    start = 0
    for span in record.spans:
        count = span.stop - span.start
        if span.held is not None:
            yield HeldSpan(start, count, keys.position(span.held.key), span.held.offset, span.approval)
        start += count


def _width(record: BatchRecord) -> int:
    return record.measures.stop - record.measures.start if record.measures is not None else 0


def _lineage(record: BatchRecord) -> tuple[tuple[Known | None, ...], ...]:
    known = tuple(span.stage.compiled.lineage for span in record.spans)
    return known if any(known) else ()


def _slugs(record: BatchRecord) -> tuple[tuple[str, ...], ...]:
    spans = record.spans if record.spans and record.spans[0].stage.plain else record.spans[:1]
    return tuple([tuple([facts.node.slug for facts in span.stage.facts]) for span in spans])


def _starts(record: BatchRecord) -> Iterator[tuple[int, int]]:
    offset = 0
    for span in record.spans:
        yield offset, span.start
        offset += span.stop - span.start


class _Keys:
    """Dependency keys in the order of their first use."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    def position(self, key: str) -> int:
        return self.positions.setdefault(key, len(self.positions))


def pickled_program(program: Program) -> bytes | UnpicklableArgument:
    """The program as bytes, or the error that names the constant or function that cannot travel."""
    try:
        return dumps(program)
    except Exception as error:  # noqa: BLE001 - boundary: pickling runs code of users' classes
        culprit = next((value for value in program.constants if not _travels(value)), None)
        what = f"argument {culprit!r:.60}" if culprit is not None else "the function, or something it refers to,"
        return _unpicklable(what, f"task {program.name!r}", error)


def pickled_batch(assembled: Assembled) -> bytes | tuple[int | None, UnpicklableArgument]:
    """The batch as bytes, or the offset of the element that cannot travel (None: all) and the error that says so."""
    try:
        return dumps(assembled.batch)
    except Exception as error:  # noqa: BLE001 - boundary: pickling runs code of users' classes
        return _culprit(assembled, error)


def _culprit(assembled: Assembled, error: Exception) -> tuple[int | None, UnpicklableArgument]:
    name = assembled.record.lane.program.name
    for column in assembled.batch.columns:
        entries = column.values if isinstance(column, Values) else getattr(column, "recipes", ())
        for offset, entry in enumerate(entries):
            if not _travels(entry):
                value = entry.value if isinstance(entry, Literal) else entry
                return offset, _unpicklable(f"argument {value!r:.60}", f"task {name!r}", error)
    return None, _unpicklable("an argument", f"task {name!r}", error)


def _travels(value: Any) -> bool:
    try:
        dumps(value)
    except Exception:  # noqa: BLE001 - boundary: as above
        return False
    return True


def _unpicklable(what: str, where: str, error: Exception) -> UnpicklableArgument:
    found = UnpicklableArgument(
        f"{what} cannot be pickled, so it cannot travel to a worker ({type(error).__name__}: {error})",
        where=where,
        fix='pass plain data, open the resource inside the task, or run with cluster="threads" or "inline"',
    )
    found.__cause__ = error
    return found
