"""Columns of elements, put together from the segments of an execution without an object for any element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataflow.database.columns import Rare, unpack_rare
from dataflow.database.rows import BatchRow, SegmentRow
from dataflow.engine.durations import UNKNOWN, unpacked
from dataflow.history.error_texts import ErrorText, read_error
from dataflow.states import StateType

__all__ = ["ElementColumns", "Texts"]

STATES: Final = 256
TRIED: Final = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.TIMED_OUT, StateType.CRASHED})
"""States that mostly end an attempt; elements of other states were tried if they themselves said something."""
SAID: Final = frozenset({StateType.SKIPPED, StateType.CANCELLED})
LOOPING: Final = int(StateType.LOOPING)


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: names, and the position of its name for each element; -1 for none."""

    names: list[str]
    codes: npt.NDArray[np.int32]

    def values(self) -> npt.NDArray[np.object_]:
        """The texts themselves; empty for none."""
        return np.array([*self.names, ""], object)[self.codes]

    def take(self, positions: npt.NDArray[np.intp]) -> Texts:
        """The texts of some elements."""
        return Texts(self.names, self.codes[positions])


class ElementColumns:
    """All elements of some nodes that have ended, in columns; a column is made when it is first asked for.

    Args:
        segments: of one execution.
        batches: of the same execution, by number.
        slugs: names of its nodes, by number.
    """

    def __init__(
        self, segments: Sequence[SegmentRow], batches: Mapping[int, BatchRow], slugs: Mapping[int, str]
    ) -> None:
        self._segments = sorted(segments, key=lambda segment: (segment.node, segment.start))
        self._batches = batches
        self._slugs = slugs
        self._counts = np.array([one.stop - one.start for one in self._segments], np.int64)
        self._bases = np.concatenate(([0], np.cumsum(self._counts)))

    def __len__(self) -> int:
        return int(self._bases[-1])

    @cached_property
    def segment(self) -> npt.NDArray[np.int64]:
        """Position of each element's segment."""
        return np.repeat(np.arange(len(self._segments)), self._counts)

    @cached_property
    def index(self) -> npt.NDArray[np.int64]:
        """Index in the node."""
        starts = np.array([one.start for one in self._segments], np.int64)
        return np.arange(len(self)) - np.repeat(self._bases[:-1] - starts, self._counts)

    @cached_property
    def state(self) -> npt.NDArray[np.uint8]:
        """`StateType` numbers."""
        columns = (
            bytes([one.state]) * (one.stop - one.start) if one.state is not None else one.states or b""
            for one in self._segments
        )
        return np.frombuffer(b"".join(columns), np.uint8)

    @cached_property
    def seconds(self) -> npt.NDArray[np.float32]:
        """Durations; NaN for elements that were never sent."""
        columns = (one.seconds or UNKNOWN * (one.stop - one.start) for one in self._segments)
        return unpacked(b"".join(columns))

    @cached_property
    def batch(self) -> npt.NDArray[np.int64]:
        """Numbers of batches; -1 for elements that were never sent."""
        numbers = [-1 if one.batch is None else one.batch for one in self._segments]
        return np.repeat(np.array(numbers, np.int64), self._counts)

    @cached_property
    def started(self) -> npt.NDArray[np.float64]:
        """When the batch began, in seconds since the epoch; NaN for elements that were never sent."""
        found = (self._batch(one) for one in self._segments)
        moments = [np.nan if one is None else one.started for one in found]
        return np.repeat(np.array(moments, np.float64), self._counts)

    @cached_property
    def node(self) -> Texts:
        """Slugs of nodes."""
        return self._named([self._slugs.get(one.node, f"node {one.node}") for one in self._segments])

    @cached_property
    def worker(self) -> Texts:
        """Names of workers."""
        found = (self._batch(one) for one in self._segments)
        return self._named([None if one is None else one.worker for one in found])

    @cached_property
    def attempts(self) -> npt.NDArray[np.int32]:
        """How many times each was tried, in the last round of its loop."""
        tried = np.zeros(STATES, np.int32)
        tried[list(TRIED)] = 1
        attempts = tried[self.state]
        attempts[self.batch < 0] = 0
        for position, tries in self._rare_of("tries"):
            rounds = [at for at, one in enumerate(tries, start=1) if one[0] == LOOPING]
            attempts[position] += len(tries) - (rounds[-1] if rounds else 0)
        said = {position for position, _ in chain(self._rare_of("notes"), self._rare_of("tries"))}
        for position in said:
            attempts[position] += int(self.state[position] in SAID)
        return attempts

    @cached_property
    def _errors(self) -> tuple[npt.NDArray[np.int64], list[bytes]]:
        """Positions of the elements that were sent and have an exception, ascending, and the exceptions, packed."""
        batch = self.batch
        found = sorted(pair for pair in self._rare_of("errors") if batch[pair[0]] >= 0)
        return np.array([position for position, _ in found], np.int64), [packed for _, packed in found]

    def words(self, positions: npt.NDArray[np.intp]) -> tuple[Texts, Texts]:
        """Types of exceptions and messages of some elements: of their state if it has one, else of their exception."""
        types, messages = _Naming(len(positions)), _Naming(len(positions))
        self._name_unsent(positions, types, messages)
        known, packed = self._errors
        places, hits = _hits(positions, known)
        for place, hit in zip(places.tolist(), hits.tolist(), strict=True):
            said = _as_seen(StateType(self.state[positions[place]]), read_error(packed[hit]))
            types.put(place, said.type)
            messages.put(place, said.message)
        notes = dict(self._rare_of("notes"))
        places, _ = _hits(positions, np.array(sorted(notes), np.int64))
        for place in places.tolist():
            messages.put(place, notes[int(positions[place])][1])
        return types.texts(), messages.texts()

    def _name_unsent(self, positions: npt.NDArray[np.intp], types: _Naming, messages: _Naming) -> None:
        """Elements that were never sent share the exception that kept them from it."""
        by_segment = np.full((2, len(self._segments)), -1, np.int32)
        for number, one in enumerate(self._segments):
            if one.batch is None and one.rare is not None:
                error = unpack_rare(one.rare).errors.get(0)
                if error is not None and one.state is not None:
                    said = _as_seen(StateType(one.state), read_error(error))
                    by_segment[:, number] = types.code(said.type), messages.code(said.message)
        owners = self.segment[positions]
        types.put_all(by_segment[0][owners])
        messages.put_all(by_segment[1][owners])

    def keys(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.object_]:
        """Keys of results in hexadecimal digits; empty where there is none, or where it follows from the place.

        Args:
            positions: ascending.
        """
        texts = np.full(len(positions), "", object)
        bounds = np.searchsorted(positions, self._bases)
        for number in np.flatnonzero(np.diff(bounds)):
            keys, base = self._segments[number].keys, self._bases[number]
            if keys:
                places = slice(bounds[number], bounds[number + 1])
                texts[places] = _hex(keys, int(self._counts[number]), (positions[places] - base).tolist())
        return texts

    def _batch(self, segment: SegmentRow) -> BatchRow | None:
        return None if segment.batch is None else self._batches.get(segment.batch)

    def _named(self, texts: list[str | None] | list[str]) -> Texts:
        names = list(dict.fromkeys(text for text in texts if text is not None))
        places = {name: place for place, name in enumerate(names)}
        codes = np.array([-1 if text is None else places[text] for text in texts], np.int32)
        return Texts(names, np.repeat(codes, self._counts))

    @cached_property
    def _rare(self) -> list[tuple[int, Rare]]:
        return [
            (int(base), unpack_rare(one.rare))
            for base, one in zip(self._bases[:-1], self._segments, strict=True)
            if one.rare is not None
        ]

    def _rare_of(self, column: str) -> list[tuple[int, Any]]:
        """What few elements have, by their position among all."""
        return [(base + at, value) for base, rare in self._rare for at, value in getattr(rare, column).items()]


class _Naming:
    """Fills a column of texts, each different one kept once."""

    def __init__(self, count: int) -> None:
        self._codes = np.full(count, -1, np.int32)
        self._names: dict[str, int] = {}

    def code(self, text: str) -> int:
        """The code of a text; -1 if it is empty."""
        return self._names.setdefault(text, len(self._names)) if text else -1

    def put(self, place: int, text: str) -> None:
        """The text of one element, if it has one."""
        if text:
            self._codes[place] = self.code(text)

    def put_all(self, codes: npt.NDArray[np.int32]) -> None:
        """The codes of all elements."""
        self._codes[:] = codes

    def texts(self) -> Texts:
        """The column."""
        return Texts(list(self._names), self._codes)


def _hits(positions: npt.NDArray[np.intp], known: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], ...]:
    """Where known positions stand among some positions, and which of the known ones they are; both are ascending."""
    at = np.searchsorted(known, positions)
    places = np.flatnonzero(np.append(known, -1)[at] == positions)
    return places, at[places]


def _as_seen(kind: StateType, said: ErrorText) -> ErrorText:
    """What an exception is to its element: one that is of an input, or says why it was skipped, is not its own."""
    if kind is StateType.UPSTREAM_FAILED:
        return ErrorText("UpstreamFailed", f"{said.type.rpartition('.')[2]}: {said.message}")
    return ErrorText("", said.message) if kind is StateType.SKIPPED else said


def _hex(keys: bytes, count: int, offsets: list[int]) -> list[str]:
    digits, width = keys.hex(), 2 * (len(keys) // count)
    empty = "0" * width  # what was not stored has a key of zeros
    texts = [digits[width * at : width * (at + 1)] for at in offsets]
    return ["" if text == empty else text for text in texts] if empty in digits else texts
