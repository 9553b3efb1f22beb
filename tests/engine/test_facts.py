"""Facts: segments fold into counts, are found by index, and say what became of node and elements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.report import Report, StepReport
from dataflow.graph.nodes import Graph, Input, Node, Space, TaskSpec
from dataflow.states import StateType

TASK = TaskSpec(name="work", function=len, parameters=("x",))
DONE, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED
BLOCKED, CANCELLED = StateType.UPSTREAM_FAILED, StateType.CANCELLED


def node_of(length: int | None) -> Node:
    """A mapped node; a plain one for None."""
    space = None if length is None else Space(length)
    return Node(graph=Graph("facts"), task=TASK, slug="work", space=space)


def reported(start: int, states: list[StateType], *, offset: int = 0, key: str = "k") -> Segment:
    """A segment of a batch in which ``offset`` other elements stood before."""
    column = bytes([DONE] * offset + states)
    errors = {offset + i: b"error %d" % (start + i) for i, state in enumerate(states) if state is not DONE}
    step = StepReport(states=column, seconds=bytes(4 * len(column)), errors=errors)
    report = Report(batch=0, count=len(column), started=0.0, seconds=1.0, steps=(step,))
    return Segment(start, start + len(states), key, offset, report, 0)


def unsent(start: int, stop: int, state: StateType) -> Segment:
    """A segment that was never sent."""
    return Segment(start, stop, None, 0, None, 0, state, b"never sent")


@pytest.fixture
def facts() -> NodeFacts:
    """Eight elements that ended out of order in three segments; element 2 failed, 6 and 7 were never sent."""
    found = NodeFacts(node_of(8), level=0)
    found.add(reported(3, [DONE, DONE, DONE], offset=2))
    found.add(unsent(6, 8, BLOCKED))
    found.add(reported(0, [DONE, DONE, FAILED]))
    return found


def test_counts_add_up(facts: NodeFacts) -> None:
    """Every element is counted in its state."""
    assert facts.counts == {DONE: 5, FAILED: 1, BLOCKED: 2}
    assert (facts.done, facts.unsuccessful, facts.ended) == (8, 3, True)


def test_segments_stand_by_index_and_arrivals_in_time(facts: NodeFacts) -> None:
    """The two orders in which facts are read."""
    assert [(s.start, s.stop) for s in facts.segments] == [(0, 3), (3, 6), (6, 8)]
    assert [(s.start, s.stop) for s in facts.arrivals] == [(3, 6), (6, 8), (0, 3)]


def test_an_element_is_found_in_its_segment(facts: NodeFacts) -> None:
    """State and error of each element, whether it was sent or not."""
    segments = [facts.segment_at(index) for index in range(8)]
    states = [segment.state_of(index) for index, segment in enumerate(segments) if segment]
    errors = [segment.error_of(index) for index, segment in enumerate(segments) if segment]
    assert states == [DONE, DONE, FAILED, DONE, DONE, DONE, BLOCKED, BLOCKED]
    assert errors == [None, None, b"error 2", None, None, None, b"never sent", b"never sent"]
    assert facts.segment_at(8) is None


def test_an_element_that_has_not_ended_is_in_no_segment() -> None:
    """Gaps are gaps."""
    facts = NodeFacts(node_of(10), level=0)
    facts.add(reported(5, [DONE]))
    assert [facts.segment_at(index) is not None for index in (0, 4, 5, 6)] == [False, False, True, False]
    assert list(facts.ended_indices()) == [(5, 6)]


def test_a_part_knows_its_place_in_the_column() -> None:
    """Cutting a segment moves the offset with the start."""
    part = reported(10, [DONE, FAILED, DONE, DONE], offset=3).part(11, 13)
    assert (part.start, part.stop, part.offset) == (11, 13, 4)
    assert (part.state_of(11), part.state_of(12), part.error_of(11)) == (FAILED, DONE, b"error 11")
    assert (part.count(DONE), part.count(FAILED), part.all_completed()) == (1, 1, False)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, 8, [(0, 3), (3, 6), (6, 8)]),
        (2, 4, [(2, 3), (3, 4)]),
        (3, 6, [(3, 6)]),
        (7, 8, [(7, 8)]),
        (4, 4, []),
        (8, 20, []),
    ],
)
def test_overlapping_gives_the_parts_that_are_meant(
    facts: NodeFacts, start: int, stop: int, expected: list[tuple[int, int]]
) -> None:
    """From any index to any other, cut at both ends."""
    assert [(low, high) for _, low, high in facts.overlapping(start, stop)] == expected


@pytest.mark.parametrize(
    ("states", "mapped", "plain"),
    [
        ([DONE], DONE, DONE),
        ([FAILED], FAILED, FAILED),
        ([CRASHED], FAILED, CRASHED),
        ([BLOCKED], BLOCKED, BLOCKED),
        ([CANCELLED], CANCELLED, CANCELLED),
    ],
)
def test_the_state_of_a_node_comes_from_its_elements(
    states: list[StateType], mapped: StateType, plain: StateType
) -> None:
    """A mapped node with a crashed element is Failed, a plain one is Crashed; all else is the same."""
    for length, expected in ((1, mapped), (None, plain)):
        facts = NodeFacts(node_of(length), level=0)
        assert facts.state_type() is StateType.PENDING
        facts.add(reported(0, states))
        assert facts.state_type() is expected


def test_the_worst_element_decides() -> None:
    """Failed before not run, not run before cancelled; until the last one ends it is running."""
    facts = NodeFacts(node_of(4), level=0)
    facts.add(reported(0, [CANCELLED, DONE]))
    assert facts.state_type() is StateType.RUNNING
    facts.add(unsent(2, 3, BLOCKED))
    facts.add(unsent(3, 4, FAILED))
    assert facts.state_type() is FAILED


def test_the_first_failure_is_the_lowest_index(facts: NodeFacts) -> None:
    """Not the one that ended first."""
    found = facts.first_failure()
    assert found is not None
    assert found[0] == 2


def test_a_use_fails_with_what_it_uses(facts: NodeFacts) -> None:
    """The whole node and element 2 have failed; element 0 is whole, and failures can be allowed."""
    whole = Input(facts.node)
    assert facts.failure_of(whole) == (FAILED, b"error 2")
    assert facts.failure_of(replace(whole, index=2)) == (FAILED, b"error 2")
    assert facts.failure_of(replace(whole, index=0)) is None
    assert facts.failure_of(replace(whole, allow_failure=True)) is None


def test_a_use_of_a_slice_fails_with_its_elements_only(facts: NodeFacts) -> None:
    """Elements 3 to 5 are whole, whatever became of the others."""
    assert facts.failure_of(Input(facts.node, range(3, 6))) is None
