"""Causes: why elements of a node failed, grouped by what was raised and where, at a bounded price."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence

from dataflow.causes.reading import Told, read_error
from dataflow.causes.values import Cause, Range, generalised
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.states import NAMES, UNSUCCESSFUL, StateType

__all__ = ["Causes"]

MOST_CAUSES = 20
"""So many kinds are told of a node; the rest is counted."""
MOST_READ = 1_000
"""So many exceptions of a node are unpacked; each takes about 0.1 ms."""
MOST_COMPARED = 100_000
"""So many exceptions of a node that are not the same bytes as an earlier one are compared with those that were read."""
MOST_EXACT = 10_000
"""So many packed exceptions are remembered as they are."""
MOST_TRACEBACKS = 50
"""Of so many kinds the traceback is kept."""
MOST_RANGES = 200
"""So many runs of elements are kept of a kind; after that elements are only counted."""

UNREAD = "exceptions that were not looked at, because there are too many different ones"
REST = "{count:,} more kinds of failure"
BAD = re.compile(b"[" + re.escape(bytes(sorted(UNSUCCESSFUL))) + b"]")
"""Finds elements that have failed in a column of states."""
NUMBERLESS = bytes.maketrans(b"0123456789", b"##########")
FRAMES = b"unpickle_traceback"
"""Where in a packed exception its arguments end, and the lines of code begin, whose numbers do matter."""
NOTHING = Told("", "", "", "")


class Group:
    """Elements of one node that ended for the same reason."""

    __slots__ = ("count", "is_varied", "ranges", "state", "told")

    def __init__(self, state: int, told: Told) -> None:
        self.state = state
        self.told = told
        self.is_varied = False
        self.count = 0
        self.ranges: list[list[int]] = []

    def add(self, start: int, stop: int) -> None:
        """Elements ended for this reason."""
        self.count += stop - start
        if self.ranges and self.ranges[-1][1] == start:
            self.ranges[-1][1] = stop
        elif len(self.ranges) < MOST_RANGES:
            self.ranges.append([start, stop])

    def cause(self, node: str, *, is_mapped: bool) -> Cause:
        """What it comes to."""
        return Cause(
            node=node,
            is_mapped=is_mapped,
            state=NAMES[StateType(self.state)],
            **self.told._asdict(),
            is_varied=self.is_varied,
            count=self.count,
            elements=tuple(_joined(self.ranges)) if is_mapped else (),
        )


class Causes:
    """Why elements of one node failed; fed with segments as they come, by one thread.

    An element whose packed exception was there before costs less than a microsecond, one that differs from it only in
    numbers about two. Others are unpacked, up to a bound; beyond it, one that was raised on the same way through the
    code is taken for the same, and others are only counted.

    Example:
        >>> from dataflow.engine.facts import unsent
        >>> from dataflow.engine.failures import pack_error
        >>> from dataflow.graph.nodes import Graph, Node, TaskSpec
        >>> load = Node(graph=Graph("example"), task=TaskSpec(name="load", function=list, parameters=()), slug="load")
        >>> causes = Causes()
        >>> causes.add(NodeFacts(load, 0), unsent(0, 1, StateType.FAILED, pack_error(ValueError("no 17"))))
        >>> [(cause.type, cause.message, cause.count) for cause in causes.listed()]
        [('ValueError', 'no 17', 1)]
    """

    __slots__ = ("_compared", "_exact", "_framed", "_groups", "_is_mapped", "_node", "_read", "_similar", "_unread")

    def __init__(self) -> None:
        self._node = ""
        self._is_mapped = False
        self._groups: dict[tuple[int, str, str, str], Group] = {}
        self._exact: dict[tuple[int, bytes], Group] = {}
        """By state and packed exception."""
        self._similar: dict[tuple[int, int, int], Group] = {}
        """By state and digests of what is packed, without the numbers in the message."""
        self._framed: dict[tuple[int, int], Group] = {}
        """By state and digest of the lines of code."""
        self._unread: dict[int, Group] = {}
        """By state."""
        self._compared = self._read = 0

    def add(self, facts: NodeFacts, segment: Segment) -> None:
        """Take in elements that have ended; those that did not fail are passed over."""
        self._node, self._is_mapped = facts.node.slug, facts.node.space is not None
        if segment.report is None:
            if segment.state in UNSUCCESSFUL:
                self._group(segment.state, segment.error, None).add(segment.start, segment.stop)
            return
        step, shift = segment.report.steps[segment.step], segment.start - segment.offset
        for offset in _failed_offsets(segment, step.states):
            group = self._group(step.state(offset), step.errors.get(offset), step.notes.get(offset))
            group.add(offset + shift, offset + shift + 1)

    def listed(self, most: int = MOST_CAUSES) -> list[Cause]:
        """The reasons, the most frequent first; what is beyond so many is put together into one."""
        groups = sorted(self._groups.values(), key=lambda group: -group.count)
        shown = groups if len(groups) <= most else groups[: most - 1]
        causes = [group.cause(self._node, is_mapped=self._is_mapped) for group in shown]
        rest = groups[len(shown) :]
        if rest:
            together = Group(rest[0].state, NOTHING._replace(message=REST.format(count=len(rest))))
            together.count = sum(group.count for group in rest)
            causes.append(together.cause(self._node, is_mapped=self._is_mapped))
        return causes

    def to_json(self, most: int = MOST_CAUSES) -> str:
        """The reasons as `causes_from_json` reads them."""
        return json.dumps([dataclasses.asdict(cause) for cause in self.listed(most)])

    def _group(self, state: int, packed: bytes | None, note: tuple[str, str] | None) -> Group:
        if packed is None:
            return self._named(state, NOTHING if note is None else NOTHING._replace(message=note[1]))
        found = self._exact.get((state, packed))
        if found is None:
            found = self._compare(state, packed)
            if len(self._exact) < MOST_EXACT:
                self._exact[state, packed] = found
        return found

    def _compare(self, state: int, packed: bytes) -> Group:
        """The group of an exception that is not the same bytes as one before."""
        if self._compared >= MOST_COMPARED:
            return self._not_read(state)
        self._compared += 1
        message, _, frames = packed.partition(FRAMES)
        key, lines = (state, hash(message.translate(NUMBERLESS)), hash(frames)), (state, hash(frames))
        found = self._similar.get(key)
        if found is None and self._read < MOST_READ:
            self._read += 1
            found = self._similar[key] = self._named(state, read_error(packed))
            self._framed.setdefault(lines, found)
            return found
        if found is None and frames:
            found = self._framed.get(lines)  # the same way through the code, so most likely for the same reason
        if found is not None:
            found.is_varied = True
        return found or self._not_read(state)

    def _named(self, state: int, told: Told) -> Group:
        key = (state, told.type, generalised(told.message), told.place)
        found = self._groups.get(key)
        if found is None:
            has_text = state != StateType.UPSTREAM_FAILED and len(self._groups) < MOST_TRACEBACKS
            found = self._groups[key] = Group(state, told if has_text else told._replace(traceback=""))
        found.is_varied |= found.told.message != told.message
        return found

    def _not_read(self, state: int) -> Group:
        found = self._unread.get(state)
        if found is None:
            found = self._unread[state] = self._named(state, NOTHING._replace(message=UNREAD))
        return found


def _failed_offsets(segment: Segment, states: int | bytes) -> Iterator[int]:
    start, stop = segment.offset, segment.offset + segment.stop - segment.start
    if isinstance(states, int):
        return iter(range(start, stop) if states in UNSUCCESSFUL else ())
    return (found.start() for found in BAD.finditer(states, start, stop))


def _joined(ranges: Sequence[Sequence[int]]) -> Iterator[Range]:
    """The runs in order; those that touch each other are one."""
    start = stop = -1
    for low, high in sorted((low, high) for low, high in ranges):
        if low > stop >= 0:
            yield start, stop
        start, stop = (low, high) if low > stop else (start, max(stop, high))
    if stop >= 0:
        yield start, stop
