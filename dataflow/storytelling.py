"""Storytelling: the story of an element or a map, told when asked for from the facts of its run; nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePath
from typing import NamedTuple, Protocol

from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.report import Try
from dataflow.errors import DataflowError, UsageError
from dataflow.foreign_errors import load_error
from dataflow.graph.nodes import Argument, Elements, Input, Node, Rows, TaskSpec, inputs_of
from dataflow.run_states import NEEDLESS, Times, known_segment, skip_message, times_of, was_tried
from dataflow.states import NAMES, UNSUCCESSFUL, StateType
from dataflow.stories import Story, Transition
from dataflow.summaries import node_message
from dataflow.triggers import all_successful, manual_only
from dataflow_results.records import ResultReference

__all__ = ["Keeping", "Teller", "existing_index"]

SHOWN_FAILURES = 5
"""So many failed elements are told of in the story of a map."""
SHOWN_CHARACTERS = 200
"""Reasons are cut here."""
HERE = "inline"
"""Worker of batches that ran in the calling thread."""
FOR_APPROVAL = "its trigger is manual_only: it waits for an approval"


class Keeping(Protocol):
    """Where the results of a node are kept; a `Memory`, or what is known of one later."""

    @property
    def by_place(self) -> bool:
        """Whether keys follow from the run, the node and the index of the element."""

    def reference(self, slug: str, index: int, key: bytes) -> ResultReference:
        """Where the result of one element lies."""


class Blamed(NamedTuple):
    """The input that decided about an element."""

    parameter: str
    node: Node
    element: int
    segment: Segment

    @property
    def kind(self) -> StateType:
        """What became of it."""
        return StateType(self.segment.state_of(self.element))


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells stories of one run.

    Args:
        facts_of: what is known of a node; None of one that was not sent yet.
        kept_at: where the results of a node are kept; None if they are not.
    """

    facts_of: Callable[[Node], NodeFacts | None]
    kept_at: Callable[[Node], Keeping | None]

    def story(self, node: Node, index: int | None) -> Story:
        """The story of a node, or of one element of it.

        Raises:
            UsageError: there is no such element.
        """
        facts = self.facts_of(node)
        if node.space is not None and index is None:
            return self._of_map(node, facts)
        at = existing_index(node, facts, index or 0)
        segment = None if facts is None else known_segment(facts, at)
        return Story(of=_label(node, at), transitions=(_added(node), *self._life(node, at, segment)))

    # An element

    def _life(self, node: Node, index: int, segment: Segment | None) -> Iterator[Transition]:
        """What came after it was added."""
        if segment is None:
            return
        tries, times = segment.tries_of(index), times_of(segment, index)
        tried = was_tried(segment, index) or self._skipped_itself(node, index, segment)
        if tried or tries:
            if node.task.rules.trigger == manual_only:
                yield Transition(state=StateType.PAUSED, reason=FOR_APPROVAL)
            yield _begun(segment, tries, times)
        starts = [one.started for one in tries[1:]] + ([times.started] if tried and times else [])
        for position, one in enumerate(tries):
            yield from _again(one, _number_of(tries[: position + 1]), starts[position:], node.task)
        if not tries or segment.state_of(index) != StateType.AWAITING_RETRY:
            yield self._end(node, index, segment, _number_of(tries) if tried else 0)

    def _skipped_itself(self, node: Node, index: int, segment: Segment) -> bool:
        """Whether an element was skipped by its own function, and not for what it uses."""
        if segment.state_of(index) != StateType.SKIPPED or segment.report is None:
            return False
        judged = node.task.rules.judges
        return not judged and self._blamed(node, index, frozenset({StateType.SKIPPED})) is None

    def _end(self, node: Node, index: int, segment: Segment, attempt: int) -> Transition:
        kind, times = StateType(segment.state_of(index)), times_of(segment, index)
        reason = self._reason(node, index, segment, kind)
        if kind is StateType.COMPLETED and times is not None:
            reason = ", ".join(part for part in (reason, f"after {_duration(times.seconds)}") if part)
        return Transition(state=kind, reason=reason, time=times and times.ended, attempt=attempt)

    def _reason(self, node: Node, index: int, segment: Segment, kind: StateType) -> str:
        name, message = segment.note_of(index) or ("", "")
        if message:
            return message if name == NAMES[kind] else f"{name}: {message}"
        if kind is StateType.CACHED:
            return self._where_found(node, index, segment)
        if kind is StateType.SKIPPED:
            return self._why_skipped(node, index, segment)
        if kind is StateType.UPSTREAM_FAILED:
            return self._why_upstream(node, index, segment)
        if kind is StateType.PAUSED:
            return FOR_APPROVAL
        return _error_text(segment.error_of(index))

    def _where_found(self, node: Node, index: int, segment: Segment) -> str:
        if segment.report is None:
            return NEEDLESS
        kept, key = self.kept_at(node), segment.key_of(index)
        if kept is None or not (any(key) or kept.by_place):
            return "found in the store"
        return f"found in the store: {kept.reference(node.slug, index, key)}"

    def _why_skipped(self, node: Node, index: int, segment: Segment) -> str:
        found, message = self._blamed(node, index, frozenset({StateType.SKIPPED})), skip_message(segment, index)
        if found is None:
            return message
        if not node.task.rules.skip_on_upstream_skip:
            return f"its trigger {node.task.rules.trigger} did not pass: {message}"
        return f"its input {_named(found)} was skipped" + (f": {message}" if message else "")

    def _why_upstream(self, node: Node, index: int, segment: Segment) -> str:
        text = _error_text(segment.error_of(index))
        trigger = node.task.rules.trigger
        rule = "" if trigger == all_successful else f"its trigger {trigger} did not pass; "
        found = self._blamed(node, index, UNSUCCESSFUL)
        if found is None:
            return text or rule
        root = self._root(found)
        because = "" if root is found else f" because of {_label(root.node, root.element)}"
        why = _error_text(root.segment.error_of(root.element))
        return f"{rule}its input {_named(found)} is {NAMES[found.kind]}{because}: {why}"

    # What it uses

    def _root(self, found: Blamed) -> Blamed:
        """The input where it began: going up from what was not run to what failed."""
        while found.kind is StateType.UPSTREAM_FAILED:
            above = self._blamed(found.node, found.element, UNSUCCESSFUL)
            if above is None:
                break
            found = above
        return found

    def _blamed(self, node: Node, index: int, kinds: frozenset[StateType]) -> Blamed | None:
        """The first input of an element that ended in one of some states."""
        for parameter, argument in node.labelled_arguments():
            for used in _uses(argument, index):
                facts = self.facts_of(used.node)
                if facts is None or used.allow_failure:
                    continue
                found = _first_in(facts, used.index, kinds)
                if found is not None:
                    return Blamed(parameter, used.node, *found)
        return None

    # A map as a whole

    def _of_map(self, node: Node, facts: NodeFacts | None) -> Story:
        if facts is None:
            return Story(of=node.slug, transitions=(_added(node),))
        reports = [segment.report for segment in facts.arrivals if segment.report is not None]
        steps = [_added(node)]
        if reports:
            begun, count = min(report.started for report in reports), len({report.batch for report in reports})
            steps.append(Transition(state=StateType.RUNNING, reason=f"in {_batches(count)}", time=begun, attempt=1))
        if facts.ended:
            ended = max((report.started + report.seconds for report in reports), default=None)
            steps.append(Transition(state=facts.state_type(), reason=_told_of(facts), time=ended))
        counts = tuple((StateType(kind), number) for kind, number in sorted(facts.counts.items()))
        return Story(of=node.slug, transitions=tuple(steps), counts=counts, failures=self._failures(facts))

    def _failures(self, facts: NodeFacts) -> tuple[tuple[str, str], ...]:
        """The first elements that ended badly by themselves; if there are none, the first that were not run."""
        upstream = {StateType.UPSTREAM_FAILED}
        for kinds in (UNSUCCESSFUL - upstream, UNSUCCESSFUL & upstream):
            found = list(islice(_all_in(facts, kinds), SHOWN_FAILURES))
            if found:
                return tuple(self._failure(facts.node, index, segment) for index, segment in found)
        return ()

    def _failure(self, node: Node, index: int, segment: Segment) -> tuple[str, str]:
        return _label(node, index), self._reason(node, index, segment, StateType(segment.state_of(index)))


def existing_index(node: Node, facts: NodeFacts | None, index: int) -> int:
    """The index of an element that exists, or may come to exist; negative ones count from the end.

    Raises:
        UsageError: there is no such element.
    """
    length = (1 if node.space is None else node.space.length) if facts is None else facts.length
    known = length is None or (facts is not None and facts.failed_as_whole) or -length <= index < length
    if not known or (length is None and index < 0):
        there_are = "so far unknown" if length is None else f"{length:,}"
        problem = f"there is no element {index}; the number of elements is {there_are}"
        raise UsageError(problem, where=node.slug, fix=f"'{node.slug}', or '{node.slug}[0]'")
    return index + length if index < 0 and length is not None else index


def _added(node: Node) -> Transition:
    site = PurePath(node.site).name
    return Transition(state=StateType.PENDING, reason=f"added at {site}" if site else "added")


def _begun(segment: Segment, tries: tuple[Try, ...], times: Times | None) -> Transition:
    report = segment.report
    started = tries[0].started if tries else times and times.started
    if report is None or (started is not None and started < report.started):
        return Transition(state=StateType.RUNNING, reason="in an earlier batch", time=started, attempt=1)
    worker = f"on worker {report.worker} in" if report.worker not in ("", HERE) else "in"
    return Transition(state=StateType.RUNNING, reason=f"{worker} batch {report.batch}", time=started, attempt=1)


def _number_of(tries: tuple[Try, ...]) -> int:
    """Number of the attempt after these; each round of a loop counts from 1."""
    rounds = [position for position, one in enumerate(tries, start=1) if one.state == StateType.LOOPING]
    return len(tries) - (rounds[-1] if rounds else 0) + 1


def _again(one: Try, number: int, starts: list[float], task: TaskSpec) -> Iterator[Transition]:
    """What came after an attempt, or a round, that did not end its element.

    Args:
        one: the attempt.
        number: of the next attempt.
        starts: when the attempts after it began; nothing if there was none yet.
        task: what was tried.
    """
    ended = one.started + one.seconds
    if one.state == StateType.LOOPING:
        yield Transition(state=StateType.LOOPING, reason=f"round {one.round + 1}", time=ended, attempt=number)
        return
    why, which = _error_text(one.error), f"attempt {number} of {task.rules.retry.retries + 1}"
    if not one.delay_seconds:
        yield Transition(state=StateType.RETRYING, reason=f"{which}, after {why}", time=ended, attempt=number)
        return
    waits = f"{why}; next attempt in {_duration(one.delay_seconds)}"
    yield Transition(state=StateType.AWAITING_RETRY, reason=waits, time=ended, attempt=number - 1)
    if starts:
        yield Transition(state=StateType.RETRYING, reason=which, time=starts[0], attempt=number)


def _uses(argument: Argument, index: int) -> Iterator[Input]:
    """The uses that one element makes of other nodes in an argument; as whole nodes where it cannot be told better."""
    if isinstance(argument, Rows):
        yield from inputs_of(argument.rows[index]) if index < len(argument.rows) else ()
    elif isinstance(argument, Elements) and argument.input.node.space is not None and not argument.input.depth:
        used = argument.input
        at = used.index[index] if isinstance(used.index, range) and index < len(used.index) else index
        yield replace(used, index=at)
    else:
        yield from inputs_of(argument)


def _first_in(facts: NodeFacts, wanted: int | range | None, kinds: frozenset[StateType]) -> tuple[int, Segment] | None:
    """Index and segment of the first of some elements that ended in one of some states."""
    if facts.node.space is None or isinstance(wanted, int):
        index = wanted if isinstance(wanted, int) and facts.node.space is not None else 0
        segment = known_segment(facts, index)
        return (index, segment) if segment is not None and segment.state_of(index) in kinds else None
    if kinds == {StateType.SKIPPED} and facts.counts.get(StateType.SKIPPED) != facts.done:
        return None  # skipped elements are left out of a gather, unless all of them were
    return next((found for found in _all_in(facts, kinds) if wanted is None or found[0] in wanted), None)


def _all_in(facts: NodeFacts, kinds: frozenset[StateType]) -> Iterator[tuple[int, Segment]]:
    """Index and segment of each element that ended in one of some states."""
    for segment in facts.segments:
        if any(segment.count(kind) for kind in kinds):
            for index in range(segment.start, segment.stop):
                if segment.state_of(index) in kinds:
                    yield index, segment


def _error_text(packed: bytes | None) -> str:
    """An exception in one line; what our own errors say to do instead is left out."""
    if not packed:
        return ""
    error = load_error(packed)
    said = error.problem if isinstance(error, DataflowError) else str(error)
    line = f"{type(error).__name__}: {said}".strip().split("\n", 1)[0].removesuffix(":")
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}…"


def _label(node: Node, index: int) -> str:
    return node.slug if node.space is None else f"{node.slug}[{index}]"


def _named(found: Blamed) -> str:
    return f"{found.parameter}, {_label(found.node, found.element)},"


def _told_of(facts: NodeFacts) -> str:
    """What the end of a map says."""
    return node_message(facts) or f"{facts.done:,} element{'' if facts.done == 1 else 's'}"


def _batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{count:,} batches"


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds >= 1:
        return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"
    return f"{seconds * 1000:.3g} ms" if seconds >= 0.001 else f"{seconds * 1e6:.3g} µs"
