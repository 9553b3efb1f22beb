"""Values of a run on the client: fetched when asked for, a bounded number of columns kept."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from dataflow.engine.columns import Column
from dataflow.engine.driver import Driver
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.failures import Failure, exception_of, pack_error
from dataflow.engine.judged import skipped_value
from dataflow.errors import Cancelled
from dataflow.states import SUCCESSFUL, StateType
from dataflow.tracebacks import fold

__all__ = ["Values"]

KEPT_BYTES = 64_000_000
WHOLE_COLUMN_BYTES = 1_000_000
"""Columns up to this size are fetched whole when one element is asked for, since others mostly follow."""


class Values:
    """Fetches values of one run.

    Args:
        driver: drives the run.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._columns: OrderedDict[str, Column] = OrderedDict()

    def one(self, facts: NodeFacts, index: int, *, raise_on_failure: bool) -> Any:
        """The value of one element that has ended; of a skipped one what its `Skip` said, mostly None.

        Raises:
            IndexError: there is no such element.
            Exception: the exception of the element, if it failed.
        """
        with self._driver.changed:
            segment = facts.segment_at(index)
        if segment is None:
            raise IndexError(f"{facts.node.slug} has {facts.length} elements, there is no element {index}")
        state = segment.state_of(index)
        if state in SUCCESSFUL:
            return self._completed(facts, index, segment)
        if state == StateType.SKIPPED:
            return skipped_value(segment.error_of(index) or b"")
        error = self.error(facts, index, segment)
        if raise_on_failure:
            raise error
        return error

    def all(self, facts: NodeFacts, within: range | None = None, *, raise_on_failure: bool) -> list[Any]:
        """The values of all elements of a node that has ended, or of those in a range; skipped ones are left out.

        Raises:
            Exception: the exception of the first of these elements that failed.
        """
        with self._driver.changed:
            segments = list(facts.segments)
            failure = facts.first_failure(within)
        if failure is not None and raise_on_failure:
            raise self.error(facts, *failure)
        values = self._joined(segments)
        picked = values if within is None else [values[index] for index in within]
        if Failure not in set(map(type, picked)):
            return picked
        found = zip(range(len(values)) if within is None else within, picked, strict=True)
        return [self._opened(facts, index, value) for index, value in found if not _is_skipped(value)]

    def _joined(self, segments: Sequence[Segment]) -> list[Any]:
        """The columns of a node one after the other, with failures in the places of elements without a value."""
        self._fetch([segment.key for segment in segments if segment.key is not None])
        values: list[Any] = []
        for segment in segments:
            size = segment.stop - segment.start
            if segment.key is None:
                indices = range(segment.start, segment.stop)
                values.extend(Failure(segment.state_of(index), segment.error_of(index) or b"") for index in indices)
                continue
            column = self._columns[segment.key].values
            values.extend(column if size == len(column) else column[segment.offset : segment.offset + size])
        self._trim()
        return values

    def segments(self, facts: NodeFacts) -> list[Segment]:
        """The segments of a node as they are now."""
        with self._driver.changed:
            return list(facts.segments)

    def are_at_hand(self, facts: NodeFacts, segment: Segment) -> bool:
        """Whether the run has the values of a segment, or can fetch them."""
        if segment.key is None:
            return not segment.valued()
        if segment.key in self._columns or _riding(segment) is not None:
            return True
        return not facts.released and not self._driver.is_closing

    def of_segment(self, segment: Segment) -> list[Any]:
        """The values of a segment that are at hand, with failures in the places of elements without a value."""
        return self._joined([segment])

    def error(self, facts: NodeFacts, index: int, segment: Segment) -> BaseException:
        """The exception of an element that ended without a value."""
        return self._exception(facts, index, Failure(segment.state_of(index), segment.error_of(index) or b""))

    def _opened(self, facts: NodeFacts, index: int, value: Any) -> Any:
        return self._exception(facts, index, value) if isinstance(value, Failure) else value

    def _exception(self, facts: NodeFacts, index: int, failure: Failure) -> BaseException:
        where = facts.node.slug if facts.node.space is None else f"{facts.node.slug}[{index}]"
        error = failure.error or pack_error(Cancelled("it was cancelled", where=where))
        return fold(exception_of(Failure(failure.state, error), where))

    def _completed(self, facts: NodeFacts, index: int, segment: Segment) -> Any:
        if segment.key is None or segment.report is None:
            raise AssertionError(f"a completed element without a value: {facts.node.slug}[{index}]")
        riding = _riding(segment)
        if riding is not None:
            return pickle.loads(riding)
        offset = segment.offset + index - segment.start
        is_large = segment.report.count > 1 and sum(segment.report.sizes) > WHOLE_COLUMN_BYTES
        if is_large and segment.key not in self._columns:
            return self._driver.shell.fetch_part(segment.key, offset, offset + 1)[0]
        self._fetch([segment.key])
        value = self._columns[segment.key].values[offset]
        self._trim()
        return value

    def _fetch(self, keys: Sequence[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self._columns]
        if missing:
            self._columns.update(zip(missing, self._driver.shell.fetch(missing), strict=True))

    def _trim(self) -> None:
        """Forget fetched columns, oldest first, beyond a bound."""
        size = sum(column.size_bytes for column in self._columns.values())
        while self._columns and size > KEPT_BYTES:
            _, column = self._columns.popitem(last=False)
            size -= column.size_bytes


def _riding(segment: Segment) -> bytes | None:
    """The value that came with the report of a single element, pickled, if it did."""
    return dict(segment.report.values).get(segment.step) if segment.report is not None else None


def _is_skipped(value: Any) -> bool:
    return isinstance(value, Failure) and value.state == StateType.SKIPPED
