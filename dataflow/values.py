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
from dataflow.errors import Cancelled
from dataflow.states import SUCCESSFUL

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
        """The value of one element that has ended.

        Raises:
            IndexError: there is no such element.
            Exception: the exception of the element, if it failed.
        """
        with self._driver.changed:
            segment = facts.segment_at(index)
        if segment is None:
            raise IndexError(f"{facts.node.slug} has {facts.length} elements, there is no element {index}")
        if segment.state_of(index) in SUCCESSFUL:
            return self._completed(facts, index, segment)
        error = self.error(facts, index, segment)
        if raise_on_failure:
            raise error
        return error

    def all(self, facts: NodeFacts, *, raise_on_failure: bool) -> list[Any]:
        """The values of all elements of a node that has ended.

        Raises:
            Exception: the exception of the first element that failed.
        """
        with self._driver.changed:
            segments = list(facts.segments)
            failure = facts.first_failure()
        if failure is not None and raise_on_failure:
            raise self.error(facts, *failure)
        self._fetch([segment.key for segment in segments if segment.key is not None])
        values: list[Any] = []
        for segment in segments:
            if segment.key is None:
                values.extend(self.error(facts, index, segment) for index in range(segment.start, segment.stop))
                continue
            column = self._columns[segment.key].values
            size = segment.stop - segment.start
            found = column if size == len(column) else column[segment.offset : segment.offset + size]
            values.extend(found if failure is None else map(_value_or_exception, found))
        self._trim()
        return values

    def error(self, facts: NodeFacts, index: int, segment: Segment) -> BaseException:
        """The exception of an element that ended without a value."""
        where = facts.node.slug if facts.node.space is None else f"{facts.node.slug}[{index}]"
        error = segment.error_of(index) or pack_error(Cancelled("it was cancelled", where=where))
        return exception_of(Failure(segment.state_of(index), error), where)

    def _completed(self, facts: NodeFacts, index: int, segment: Segment) -> Any:
        if segment.key is None or segment.report is None:
            raise AssertionError(f"a completed element without a value: {facts.node.slug}[{index}]")
        riding = dict(segment.report.values).get(segment.step)
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


def _value_or_exception(value: Any) -> Any:
    return exception_of(value) if isinstance(value, Failure) else value
