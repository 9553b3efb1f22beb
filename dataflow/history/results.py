"""Results of the past: values of elements that were kept in a store, and exceptions of those that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dataflow.engine.facts import NodeFacts, Segment
from dataflow.errors import Cancelled, NotFinished, UpstreamFailed, UsageError
from dataflow.foreign_errors import load_error
from dataflow.history.recalling import KeptAt, Recalled
from dataflow.persistence import StoreAddress
from dataflow.run_states import NEEDLESS, known_segment
from dataflow.states import SUCCESSFUL, StateType
from dataflow.storytelling import existing_index
from dataflow.tracebacks import fold
from dataflow_results.digests import DIGEST_BYTES
from dataflow_results.errors import ReadingError, ResultMissing
from dataflow_results.keying.positions import position_keys

if TYPE_CHECKING:
    from dataflow.database.reader import Reader
    from dataflow.database.rows import ExecutionRow, RunRow
    from dataflow_results.records import ResultReference

__all__ = ["reference_of", "result_of"]

WHENEVER = 0.0
"""Results are given although they have expired: they are what the run had."""
NO_KEY = bytes(DIGEST_BYTES)


def reference_of(reader: Reader, run: RunRow, execution: ExecutionRow, place: Any) -> ResultReference | None:
    """Where the result of a plain node, or of one element, is kept; None if it is not.

    Args:
        reader: of the database.
        run: the run.
        execution: one attempt at it.
        place: ``"load"``, ``"load[17]"``, or a pair of a slug and an index.

    Raises:
        UsageError: there is no such node or element, or the node is mapped and no element was said.
        NotFinished: it had not ended.
    """
    past = PastResults(reader, run, execution, place)
    if past.index is None:
        slug = past.node.slug
        raise UsageError("a map has a result for each element", where=slug, fix=f"'{slug}[0]'")
    return past.reference(past.index) if past.segment(past.index).state_of(past.index) in SUCCESSFUL else None


def result_of(
    reader: Reader,
    run: RunRow,
    execution: ExecutionRow,
    place: Any,
    *,
    storage: Any = None,
    raise_on_failure: bool = True,
) -> Any:
    """The value of a node or of one element, from the store it was kept in; of a map the list of all values.

    Skipped elements are left out of a list, as the run itself left them out.

    Args:
        reader: of the database.
        run: the run.
        execution: one attempt at it.
        place: ``"load"``, ``"load[17]"``, or a pair of a slug and an index.
        storage: the store, where it needs more than its URL: a location with options, or an open store.
        raise_on_failure: whether the exception of what failed is raised; else it stands in the place of the value.

    Raises:
        UsageError: there is no such node or element.
        NotFinished: it had not ended.
        ResultMissing: the result was not kept, or is not in the store any more.
        StoreError: the store does not answer.
        Exception: what failed raises what it raised in the run.
    """
    past = PastResults(reader, run, execution, place, storage)
    if past.index is None:
        return past.all(raise_on_failure=raise_on_failure)
    return past.one(past.index, raise_on_failure=raise_on_failure)


class PastResults:
    """The results of one node of an execution.

    Args:
        reader: of the database.
        run: the run.
        execution: one attempt at it.
        place: what is asked for.
        storage: the store; None: it is opened by its URL.
    """

    def __init__(self, reader: Reader, run: RunRow, execution: ExecutionRow, place: Any, storage: Any = None) -> None:
        recalled = Recalled(reader, execution, place)
        self.node = recalled.node
        self._storage = storage
        self._facts = _facts(recalled, run)
        self._kept = recalled.kept_at(self.node)
        is_whole_map = self.node.space is not None and recalled.index is None
        self.index = None if is_whole_map else existing_index(self.node, self._facts, recalled.index or 0)
        """Of the element that is asked for; None: all of them."""

    def segment(self, index: int) -> Segment:
        """What is known of an element that has ended."""
        found = known_segment(self._facts, index)
        if found is None:
            raise NotFinished("it had not ended", where=self._label(index), fix="wait until it has, and ask again")
        return found

    def reference(self, index: int) -> ResultReference | None:
        """Where the result of an element lies; None if it was not kept."""
        key = self._key(self.segment(index), index)
        if self._kept is None or key == NO_KEY:
            return None
        return self._kept.reference(self.node.slug, index, key)

    def one(self, index: int, *, raise_on_failure: bool) -> Any:
        """The value of one element."""
        segment = self.segment(index)
        kind = segment.state_of(index)
        if kind in SUCCESSFUL:
            return self._loaded(self._key(segment, index), [index])[0]
        error = self._error(segment, index)
        if kind == StateType.SKIPPED:
            return getattr(error, "result", None)
        if raise_on_failure:
            raise error
        return error

    def all(self, *, raise_on_failure: bool) -> list[Any]:
        """The values of all elements, without those that were skipped."""
        if not self._facts.ended:
            problem = f"{self._facts.done:,} of its elements had ended"
            raise NotFinished(
                problem, where=self.node.slug, fix=f"wait until all have, or ask for '{self.node.slug}[0]'"
            )
        first = self._facts.first_failure()
        if first is not None and raise_on_failure:
            raise self._error(first[1], first[0])
        segments = self._facts.segments
        states = np.frombuffer(b"".join(map(_states, segments)), np.uint8)
        keys = np.frombuffer(b"".join(map(self._keys, segments)), np.uint8).reshape(-1, DIGEST_BYTES)
        there = np.isin(states, [int(kind) for kind in SUCCESSFUL])
        values = self._loaded(keys[there].tobytes(), np.flatnonzero(there).tolist())
        return values if there.all() else list(self._with_errors(states.tolist(), iter(values)))

    def _with_errors(self, states: Sequence[int], values: Iterator[Any]) -> Iterator[Any]:
        for index, kind in enumerate(states):
            if kind in SUCCESSFUL:
                yield next(values)
            elif kind != StateType.SKIPPED:
                yield self._error(self.segment(index), index)

    def _error(self, segment: Segment, index: int) -> BaseException:
        """What an element without a value raised; of one that was skipped, what it skipped itself with."""
        packed = segment.error_of(index)
        error = fold(load_error(packed)) if packed else Cancelled("it was cancelled", where=self._label(index))
        if segment.state_of(index) != StateType.UPSTREAM_FAILED or isinstance(error, UpstreamFailed):
            return error
        problem = "it was not run, because an input failed"
        failed = UpstreamFailed(problem, where=self._label(index), fix="see the cause above")
        failed.__cause__ = error
        return failed

    # Keys and the store

    def _key(self, segment: Segment, index: int) -> bytes:
        """Key of the result of an element; zeros if it has none."""
        if segment.report is None or self._kept is None:
            return NO_KEY
        if self._kept.by_place:
            return position_keys(self._kept.run_id, self.node.slug, (index,))
        return segment.key_of(index) or NO_KEY

    def _keys(self, segment: Segment) -> bytes:
        """Keys of the results of all elements of a segment, one after the other."""
        indices = range(segment.start, segment.stop)
        if segment.report is None or self._kept is None:
            return NO_KEY * len(indices)
        if self._kept.by_place:
            return position_keys(self._kept.run_id, self.node.slug, indices)
        return segment.report.steps[segment.step].keys or NO_KEY * len(indices)

    def _loaded(self, keys: bytes, indices: Sequence[int]) -> list[Any]:
        """The values under some keys.

        Raises:
            ResultMissing: there is none for one of them.
        """
        if not keys:
            return []
        kept = self._check_kept(keys, indices)
        store = StoreAddress.of(kept.url if self._storage is None else self._storage).open()
        results = store.task(kept.collection)
        values = results.load(results.find(keys, now=WHENEVER))
        for position, value in enumerate(values):
            if isinstance(value, ReadingError):
                raise self._unreadable(value, kept, indices[position])
        return values

    def _check_kept(self, keys: bytes, indices: Sequence[int]) -> KeptAt:
        """Where all of these results lie."""
        if self._kept is None:
            fix = "run it with persist_result=True, or give its task a cache_policy"
            raise ResultMissing("its result was not kept, so it went with the run", where=self.node.slug, fix=fix)
        for position, index in enumerate(indices):
            if keys.startswith(NO_KEY, position * DIGEST_BYTES):
                problem = NEEDLESS if self.segment(index).report is None else "its result was not kept"
                raise ResultMissing(problem, where=self._label(index), fix="ask for what uses it, or run it again")
        return self._kept

    def _unreadable(self, error: ReadingError, kept: KeptAt, index: int) -> ReadingError:
        if not isinstance(error, ResultMissing):
            error.where = self._label(index)
            return error
        gone = "it lay in the memory of a process" if kept.url.startswith("memory:") else "it may have been cleaned up"
        problem = f"its result is not in {kept.url} any more; {gone}"
        return ResultMissing(
            problem, where=self._label(index), fix="run it again; `dataflow results ls` shows what is there"
        )

    def _label(self, index: int) -> str:
        return self.node.slug if self.node.space is None else f"{self.node.slug}[{index}]"


def _facts(recalled: Recalled, run: RunRow) -> NodeFacts:
    facts = recalled.facts_of(recalled.node)
    if facts is None:
        problem = f"it had not begun when run {run.id} was last heard of"
        raise NotFinished(problem, where=recalled.node.slug, fix="wait, or run the flow again")
    return facts


def _states(segment: Segment) -> bytes:
    """One byte for each element."""
    count = segment.stop - segment.start
    if segment.report is None:
        return bytes([segment.state]) * count
    return segment.report.steps[segment.step].all_states(count)
