"""Permits: batches of limited tasks are sent when places were granted, and give them back when they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataflow.engine.events import AskPlaces, BatchAway, FreePlaces, Instruction, PlacesGranted, Submit
from dataflow.engine.limits.permits import limits_of
from dataflow.known_limits import Place, define, limit_of
from dataflow.rules import Rules
from tests.engine.rehearsal import Rehearsal


def add(x: int) -> int:
    return x + 1


def double(x: int) -> int:
    return 2 * x


async def fetch(x: int) -> int:
    return x


def limited(run: Rehearsal, function: Callable[..., Any], *limits: tuple[str, int | None], **options: Any) -> Any:
    """A map of ten elements of a task with limits."""
    node = run.map(function, list(range(10)), **options)
    node.task = replace(node.task, rules=Rules(limits=limits))
    return node


def asked(instructions: list[Instruction]) -> list[AskPlaces]:
    return [one for one in instructions if isinstance(one, AskPlaces)]


def freed(instructions: list[Instruction]) -> list[int]:
    return [number for one in instructions if isinstance(one, FreePlaces) for number in one.numbers]


def sent(instructions: list[Instruction]) -> int:
    return sum(isinstance(one, Submit) for one in instructions)


def test_a_batch_is_sent_when_its_place_is_granted(run: Rehearsal) -> None:
    """Two threads and a limit of 2: two places are asked for, and each that is granted sends one batch."""
    limited(run, add, ("task:add", 2))
    instructions = run.start()
    assert [ask.places for ask in asked(instructions)] == [(Place("task:add", 1, 2),)] * 2
    assert sent(instructions) == 0
    first, second = asked(instructions)
    assert sent(run.tell(PlacesGranted(first.number, 1))) == 1
    assert sent(run.tell(PlacesGranted(second.number, 1))) == 1


def test_places_are_given_back_with_the_report_and_all_in_the_end(run: Rehearsal) -> None:
    """Every batch gives its place back; when nothing is left to do, nothing is held or asked for."""
    limited(run, add, ("task:add", 1), batch_size=3)
    instructions = run.start()
    requests: list[int] = []
    returned: list[int] = []
    while True:
        requests += [ask.number for ask in asked(instructions)]
        returned += freed(instructions)
        if run.waiting:
            assert len(run.waiting) == 1
            instructions = run.answer(run.next())
        elif set(requests) - set(returned):
            instructions = run.tell(PlacesGranted(min(set(requests) - set(returned)), 1))
        else:
            break
    assert sorted(returned) == requests
    assert len(run.sent) == 4


def test_other_work_goes_on_while_places_are_waited_for(run: Rehearsal) -> None:
    """A lane without limits is sent as ever, beside one that waits."""
    limited(run, add, ("task:add", 1))
    run.map(double, list(range(10)))
    instructions = run.start()
    assert {batch.lane.program.name for batch in run.sent} == {"double"}
    assert len(asked(instructions)) == 1
    run.finish()
    run.tell(PlacesGranted(asked(instructions)[0].number, 1))
    run.finish()


def test_a_lost_batch_frees_its_places_and_asks_again(run: Rehearsal) -> None:
    """The pieces of a lost batch need permits of their own."""
    limited(run, add, ("task:add", 1), batch_size=10)
    (ask,) = asked(run.start())
    run.tell(PlacesGranted(ask.number, 1))
    instructions = run.lose(run.next())
    assert freed(instructions) == [ask.number]
    assert len(asked(instructions)) == 1
    assert sent(instructions) == 0


def test_a_cancelled_run_wants_nothing_more(run: Rehearsal) -> None:
    """Places that are waited for are given up at once, those of a batch under way when it has told how far it came."""
    limited(run, add, ("task:add", 2))
    first, second = asked(run.start())
    run.tell(PlacesGranted(first.number, 1))
    batch = run.next()
    assert freed(run.cancel()) == [second.number]
    assert freed(run.answer(batch)) == [first.number]


def test_without_the_limit_nothing_is_asked_any_more(run: Rehearsal) -> None:
    """A limit that somebody has taken away: the lane goes on as one without."""
    define("tag-x", limit_of(1, "tag-x"))
    try:
        limited(run, add, ("tag:tag-x", None))
        first, *_ = asked(run.start())
    finally:
        define("tag-x", None)
    assert sent(run.tell(PlacesGranted(first.number, 0))) > 0
    run.finish()


def test_async_batches_run_as_many_at_once_as_they_have_places(run: Rehearsal) -> None:
    """Up to the limit is asked for; the batch is told how many were granted."""
    limited(run, fetch, ("task:fetch", 3))
    (ask,) = asked(run.start())
    assert ask.places == (Place("task:fetch", 3, 3),)
    run.tell(PlacesGranted(ask.number, 2))
    batch = run.assembled[run.next().number].batch
    assert (batch.most_at_once, batch.limits) == (2, ("task:fetch",))


def test_steps_with_other_limits_are_stages_of_their_own(run: Rehearsal) -> None:
    """A place is held for the step it is for: the next step, without it, runs in another batch."""
    first = limited(run, add, ("task:add", 1))
    run.map(double, first)
    run.start()
    assert limits_of([first]) is not None
    assert len(run.machine.wiring.stage_of) == 2
    assert len({id(stage) for stage in run.machine.wiring.stage_of.values()}) == 2


@pytest.mark.parametrize("count", [1, 6])
def test_batches_that_wait_without_a_thread_make_room(run: Rehearsal, count: int) -> None:
    """A batch that gave its thread to others does not count; but of its own kind no more are sent than usual."""
    run.map(add, list(range(10_000)))
    run.start()
    assert len(run.waiting) == 6
    waiting = list(run.waiting)[:count]
    for number in waiting:
        assert sent(run.tell(BatchAway(number))) == 0
    run.map(double, list(range(10_000)))
    run.start()
    assert sum(batch.lane.program.name == "double" for batch in run.waiting.values()) == count
