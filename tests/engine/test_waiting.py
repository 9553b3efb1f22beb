"""Elements whose results another run computes: they hold no thread, and are looked for again after a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataflow.engine.events import BatchReported, Release, TimerFired
from tests.engine.rehearsal import Rehearsal, report_of, spans_of


def add_one(x: int) -> int:
    """A task."""
    return x + 1


@pytest.fixture
def run() -> Rehearsal:
    """A machine with one thread."""
    return Rehearsal(threads=1)


def answer_waiting(run: Rehearsal, waiting: tuple[int, ...]) -> list[object]:
    """The batch that was sent first ends, but for some elements that wait."""
    batch = run.next()
    del run.waiting[batch.number]
    run.made.update(batch.output_keys())
    return list(run.tell(BatchReported(replace(report_of(batch), waiting=waiting, delays=(0.5,) * len(waiting)))))


def test_waiting_elements_are_sent_again_after_a_while(run: Rehearsal) -> None:
    """Of four elements two wait: the others end at once, those two are sent when time has passed, and end then."""
    node = run.map(add_one, [1, 2, 3, 4], batch_size=4)
    run.start(kept=[node])
    answer_waiting(run, (1, 2))
    assert run.segments(node) == [(0, 1), (3, 4)]
    assert not run.waiting, "nothing is sent before the time"
    run.tell(TimerFired(100.0))
    assert not run.waiting, "the clock begins now"
    run.tell(TimerFired(100.4))
    assert not run.waiting
    run.tell(TimerFired(100.6))
    assert [spans_of(batch) for batch in run.waiting.values()] == [[("add_one", 1, 3)]]
    run.finish()
    assert sorted(run.segments(node)) == [(0, 1), (1, 3), (3, 4)]
    assert run.states(node) == ["COMPLETED"] * 4


def test_other_work_goes_on_meanwhile(run: Rehearsal) -> None:
    """While elements wait, the one thread gets the next work."""
    first = run.map(add_one, [1, 2], batch_size=2)
    second = run.map(add_one, [3, 4, 5], batch_size=3)
    run.start(kept=[first, second])
    answer_waiting(run, (0, 1))
    assert [spans_of(batch) for batch in run.waiting.values()] == [[("add_one-2", 0, 3)]]
    assert run.machine.dispatcher.due_in(0.0) == 0.0


def test_columns_of_a_batch_that_only_waits_are_dropped(run: Rehearsal) -> None:
    """A batch of which every element waits leaves nothing on the cluster."""
    node = run.map(add_one, [1, 2], batch_size=2)
    run.start(kept=[node])
    keys = run.next().output_keys()
    wanted = answer_waiting(run, (0, 1))
    assert [instruction.key for instruction in wanted if isinstance(instruction, Release)] == keys
    assert run.segments(node) == []


def test_waiting_elements_can_be_cancelled(run: Rehearsal) -> None:
    """Cancelling ends what waits."""
    node = run.map(add_one, [1, 2], batch_size=2)
    run.start(kept=[node])
    answer_waiting(run, (1,))
    run.cancel()
    assert run.states(node) == ["COMPLETED", "CANCELLED"]
