"""The machine cuts, sends, takes back and repeats batches: events in, instructions and facts out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataflow.engine.events import (
    BatchLost,
    BatchReported,
    CancelKeys,
    CancelOverdue,
    NodesCancelled,
    Recall,
    RestReturned,
    Stop,
    Submit,
    ThreadsChanged,
    TimerFired,
)
from dataflow.engine.failures import unpack_error
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal, error_bytes, report_of, spans_of


def load(x: Any = None) -> Any: ...


def work(x: Any, y: Any = None) -> Any: ...


def refine(x: Any) -> Any: ...


def gather(xs: Any) -> Any: ...


# Batches


def test_a_map_is_covered_once(run: Rehearsal) -> None:
    """Batches of the chosen size follow each other without gap or overlap; the last is what remains."""
    node = run.map(work, range(10), batch_size=4)
    run.start()
    run.finish()
    assert [spans_of(batch) for batch in run.sent] == [[("work", 0, 4)], [("work", 4, 8)], [("work", 8, 10)]]
    assert run.segments(node) == [(0, 4), (4, 8), (8, 10)]
    assert run.facts(node).counts == {StateType.COMPLETED: 10}


def test_batches_may_end_in_any_order(run: Rehearsal) -> None:
    """Segments stand in the order of elements, arrivals in the order in which they ended."""
    node = run.map(work, range(6), batch_size=2)
    run.start()
    first, second, third = run.waiting.values()
    for batch in (third, first, second):
        run.answer(batch)
    assert run.segments(node) == [(0, 2), (2, 4), (4, 6)]
    assert [segment.start for segment in run.facts(node).arrivals] == [4, 0, 2]


def test_an_empty_map_ends_without_a_batch(run: Rehearsal) -> None:
    """A map over nothing has completed as soon as it is added."""
    node = run.map(work, [])
    assert run.start() == []
    assert (run.facts(node).ended, run.facts(node).state_type()) == (True, StateType.COMPLETED)


def test_nodes_of_one_space_run_in_one_batch(run: Rehearsal) -> None:
    """Two maps of which one feeds the other are one stage: one batch reports both."""
    first = run.map(work, range(4), batch_size=4)
    second = run.map(refine, first, batch_size=4)
    run.start(kept=[second])
    run.answer(run.next(), failed=[1])
    assert len(run.sent) == 1
    assert run.states(first) == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED"]
    assert run.states(second) == ["COMPLETED", "UPSTREAM_FAILED", "COMPLETED", "COMPLETED"]
    assert run.facts(second).state_type() is StateType.UPSTREAM_FAILED


def test_plain_nodes_of_one_task_share_batches(run: Rehearsal) -> None:
    """A loop of 20 plain calls is sent as a map would be, in a few batches of several nodes each."""
    nodes = [run.call(work, position) for position in range(20)]
    run.start()
    run.finish(seconds=0.001)
    assert [len(spans_of(batch)) for batch in run.sent] == [2, 2, 1, 1, 1, 1, 12]
    assert all(run.facts(node).ended for node in nodes)


def test_plain_nodes_of_two_tasks_do_not_share_a_batch(run: Rehearsal) -> None:
    """A batch has one program, so nodes of another task stand in another."""
    run.call(work, 1, batch_size=9)
    run.call(refine, 1, batch_size=9)
    run.call(work, 2, batch_size=9)
    run.start()
    assert sorted(run.under_way()) == [[("refine", 0, 1)], [("work", 0, 1), ("work-2", 0, 1)]]


# What is sent first, and how much


def test_deeper_work_goes_first() -> None:
    """With one thread, elements that can be finished are sent before new ones are begun."""
    run = Rehearsal(threads=1)
    first = run.map(work, range(8))
    run.map(refine, first, batch_size=2)
    run.start()
    assert run.under_way() == [[("work", 0, 1)], [("work", 1, 2)], [("work", 2, 3)]]
    instructions = run.answer(run.next())
    sent = [spans_of(i.batch) for i in instructions if isinstance(i, Submit)]
    assert sent == [[("refine", 0, 1)], [("work", 3, 4)]]
    run.finish()
    run.check()


@pytest.mark.parametrize(("threads", "ahead"), [(1, 3), (2, 6), (5, 15)])
def test_batches_ahead_are_bounded(threads: int, ahead: int) -> None:
    """Before anything was measured, three batches per thread are sent, however long the map is."""
    run = Rehearsal(threads=threads)
    run.map(work, range(1_000_000))
    run.start()
    assert len(run.waiting) == ahead
    run.check()


def test_short_batches_are_sent_further_ahead() -> None:
    """Batches of a chosen size count 2 ms until measured, so that up to a second of work per thread is 500 of them."""
    run = Rehearsal(threads=1)
    run.map(work, range(10_000), batch_size=16)
    run.start()
    assert 490 < len(run.waiting) <= 500


def test_work_is_sent_again_when_threads_come() -> None:
    """A cluster that grows gets more batches at once."""
    run = Rehearsal(threads=1)
    run.map(work, range(100_000))
    run.start()
    before = len(run.waiting)
    run.tell(ThreadsChanged(4))
    assert (before, len(run.waiting)) == (3, 12)
    run.check()


# Rests


def test_a_rest_that_was_given_back_runs_next(run: Rehearsal) -> None:
    """A batch that ran 3 of its elements gives the others back, and they are the next to be sent."""
    node = run.map(work, range(160))
    run.start()
    assert [spans_of(batch) for batch in run.sent[:2]] == [[("work", 0, 10)], [("work", 10, 20)]]
    instructions = run.answer(run.next(), count=3, seconds=0.003)
    sent = next(spans_of(i.batch) for i in instructions if isinstance(i, Submit))
    assert sent == [("work", 3, 10), ("work", 54, 104)]  # beside new ones
    assert run.segments(node) == [(0, 3)]
    run.finish(seconds=0.001)
    assert run.facts(node).ended


def test_plain_nodes_give_back_too(run: Rehearsal) -> None:
    """Of three plain nodes in a batch that ran one, the other two are sent again."""
    nodes = [run.call(work, position, batch_size=3) for position in range(3)]
    run.start()
    run.answer(run.next(), count=1)
    assert run.under_way() == [[("work-2", 0, 1), ("work-3", 0, 1)]]
    run.finish()
    assert [run.states(node) for node in nodes] == [["COMPLETED"]] * 3


def long_batch() -> tuple[Rehearsal, Any]:
    """A machine with an idle thread and one batch under way: the elements 6 to 16."""
    run = Rehearsal(threads=1)
    node = run.map(work, range(16))
    run.start()
    for batch in list(run.waiting.values()):
        run.answer(batch, seconds=0.001)
    run.tell(ThreadsChanged(2))
    assert run.under_way() == [[("work", 6, 16)]]
    return run, node


def test_a_batch_that_takes_long_is_recalled() -> None:
    """While a thread is idle, a batch seen for longer than patience allows is asked for its rest."""
    run, _ = long_batch()
    assert run.machine.dispatcher.wants_timer
    assert run.tell(TimerFired(100.0)) == []
    assert run.tell(TimerFired(100.1)) == []
    assert run.tell(TimerFired(100.2)) == [Recall((run.next(),))]


def test_a_rest_that_was_returned_runs_before_the_report() -> None:
    """As soon as it is certain that a batch ends after 4 elements, its 6 others are sent."""
    run, node = long_batch()
    recalled = run.next()
    instructions = run.tell(RestReturned(recalled.number, 4))
    assert [spans_of(i.batch) for i in instructions if isinstance(i, Submit)] == [[("work", 10, 16)]]
    run.answer(recalled, count=4)
    run.finish()
    assert run.segments(node) == [(0, 2), (2, 4), (4, 6), (6, 10), (10, 16)]
    run.check()


def test_nothing_is_recalled_while_all_threads_are_busy(run: Rehearsal) -> None:
    """With as many batches as threads, or with work that waits, a rest would find no place."""
    run.map(work, range(160))
    run.start()
    assert not run.machine.dispatcher.wants_timer
    assert run.tell(TimerFired(0.0)) == []
    assert run.tell(TimerFired(1000.0)) == []


# Losses


def test_a_lost_batch_is_sent_again_in_pieces(run: Rehearsal) -> None:
    """Sixteen elements that were lost together come again in eight batches of two."""
    node = run.map(work, range(16), batch_size=16)
    run.start()
    run.lose(run.next())
    run.tell(ThreadsChanged(8))
    assert run.under_way() == [[("work", start, start + 2)] for start in range(0, 16, 2)]
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 16


def lose_where(run: Rehearsal, culprit: int, *, again: bool = True) -> list[int]:
    """Lose every batch that holds the element, answer the others; gives the sizes of those that were lost."""
    lost = []
    while run.waiting:
        batch = run.next()
        if any(span.start <= culprit < span.stop for span in batch.spans):
            lost.append(batch.count)
            run.lose(batch, again=again)
        else:
            run.answer(batch)
    return lost


def test_an_element_that_kills_its_worker_crashes_alone(run: Rehearsal) -> None:
    """It is tried until it stands alone and was lost often enough; the others of its batch complete."""
    node = run.map(work, range(16), batch_size=16)
    run.start()
    assert lose_where(run, culprit=5) == [16, 2, 1, 1]
    assert run.states(node) == ["COMPLETED"] * 5 + ["CRASHED"] + ["COMPLETED"] * 10
    assert str(unpack_error(run.facts(node).segment_at(5).error_of(5))) == "lost"


def test_an_element_of_a_large_batch_crashes_alone(run: Rehearsal) -> None:
    """Of 1,000 elements in one batch, the one that kills workers crashes and 999 complete."""
    node = run.map(work, range(1000), batch_size=1000)
    run.start()
    lose_where(run, culprit=500)
    assert run.facts(node).counts == {StateType.COMPLETED: 999, StateType.CRASHED: 1}


def test_lost_plain_nodes_are_told_apart(run: Rehearsal) -> None:
    """Plain nodes of a lost batch come again each in a batch of its own."""
    nodes = [run.call(work, position, batch_size=3) for position in range(3)]
    run.start()
    run.lose(run.next())
    assert run.under_way() == [[("work", 0, 1)], [("work-2", 0, 1)], [("work-3", 0, 1)]]
    run.finish()
    assert [run.states(node) for node in nodes] == [["COMPLETED"]] * 3


def test_an_element_to_blame_ends_and_the_others_go_on(run: Rehearsal) -> None:
    """If it is known which element could not travel, it alone ends; the others are sent again."""
    node = run.map(work, range(6), batch_size=6)
    run.start()
    run.lose(run.next(), again=False, element=2)
    assert run.states(node) == ["CRASHED"]
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 2 + ["CRASHED"] + ["COMPLETED"] * 3


def test_a_plain_node_to_blame_ends_alone(run: Rehearsal) -> None:
    """Of three plain nodes in a batch, the second could not travel."""
    nodes = [run.call(work, position, batch_size=3) for position in range(3)]
    run.start()
    run.lose(run.next(), again=False, element=1)
    run.finish()
    assert [run.states(node) for node in nodes] == [["COMPLETED"], ["CRASHED"], ["COMPLETED"]]


def test_a_worker_that_was_killed_often_enough_is_not_tried_again(run: Rehearsal) -> None:
    """Where the cluster has tried by itself, a batch is only taken apart; the element that stands alone has crashed."""
    node = run.map(work, range(16), batch_size=16)
    run.start()
    assert lose_where(run, culprit=5, again=False) == [16, 2, 1]
    assert run.facts(node).counts == {StateType.COMPLETED: 15, StateType.CRASHED: 1}


def test_a_loss_that_is_not_worth_trying_again_is_final(run: Rehearsal) -> None:
    """A batch that can never be sent ends with the state and error that were given."""
    node = run.map(work, range(3), batch_size=3)
    run.start()
    run.lose(run.next(), again=False, state=StateType.FAILED)
    assert run.states(node) == ["FAILED"] * 3


def test_a_batch_that_could_not_be_loaded_fails(run: Rehearsal) -> None:
    """A worker that cannot unpickle program or inputs reports that: all elements of the batch failed with it."""
    node = run.map(work, range(3), batch_size=3)
    run.start()
    batch = run.next()
    del run.waiting[batch.number]
    run.tell(BatchReported(replace(report_of(batch), count=0, steps=(), crashed=error_bytes("import"))))
    assert run.states(node) == ["FAILED"] * 3
    assert str(unpack_error(run.facts(node).segments[0].error_of(2) or b"")) == "import"


def test_an_answer_of_a_batch_that_is_not_under_way_is_ignored(run: Rehearsal) -> None:
    """A report, loss or rest that comes a second time changes nothing."""
    node = run.map(work, range(2), batch_size=2)
    run.start()
    batch = run.next()
    run.answer(batch)
    assert run.tell(BatchReported(report_of(batch))) == []
    assert run.tell(BatchLost(batch.number, error_bytes(), True, int(StateType.CRASHED))) == []
    assert run.tell(RestReturned(batch.number, 1)) == []
    assert run.facts(node).done == 2


# Cancelling


def test_cancel_ends_everything(run: Rehearsal) -> None:
    """What has ended stays, what waits is cancelled, what is under way ends as it says, and nothing more is sent."""
    first = run.map(work, range(20), batch_size=2)
    last = run.call(gather, first)
    run.start()
    run.answer(run.next())
    under_way = list(run.waiting.values())
    assert run.cancel() == [Stop(tuple(under_way))]
    assert run.states(last) == ["CANCELLED"]
    assert not run.facts(first).ended
    answered, lost, *others = under_way
    run.waiting = {batch.number: batch for batch in others}
    assert not [i for i in run.tell(BatchReported(report_of(answered, count=1))) if isinstance(i, Submit)]
    assert run.tell(BatchLost(lost.number, error_bytes("not begun"), again=False, state=StateType.CANCELLED)) == []
    assert run.tell(CancelOverdue(error_bytes("still running"))) == [CancelKeys(tuple(others))]
    assert run.facts(first).counts == {StateType.COMPLETED: 3, StateType.CANCELLED: 17}
    assert run.facts(last).state_type() is StateType.CANCELLED
    assert run.tell(BatchReported(report_of(others[0]))) == []
    assert run.cancel() == []


def test_cancelling_a_node_leaves_what_it_uses(run: Rehearsal) -> None:
    """Of two tasks in one batch the second is cancelled: the first goes on, and later batches say what not to run."""
    first = run.map(work, range(1000))
    second = run.map(work, first)
    run.start()
    under_way = list(run.waiting.values())
    assert run.tell(NodesCancelled((second,), error_bytes("cancelled"))) == [Recall(tuple(under_way))]
    run.answer(run.next())
    assert [run.assembled[batch.number].batch.cancelled for batch in list(run.waiting.values())[-1:]] == [(1,)]
    assert not run.facts(first).ended


def test_cancelling_a_node_that_has_not_begun_ends_it_at_once(run: Rehearsal) -> None:
    """Its elements are cancelled, what uses it is upstream failed, and what it waits for goes on."""
    first = run.map(work, range(4))
    second = run.call(gather, first)
    third = run.call(gather, second)
    run.start()
    run.tell(NodesCancelled((second,), error_bytes("cancelled")))
    assert (run.states(second), run.states(third)) == (["CANCELLED"], ["UPSTREAM_FAILED"])
    assert not run.facts(first).ended
    run.finish()
    assert run.states(first) == ["COMPLETED"] * 4


def test_cancel_ends_what_is_added_later(run: Rehearsal) -> None:
    """Nodes that come after the cancel end as cancelled too."""
    run.cancel()
    node = run.map(work, range(3))
    assert run.start() == []
    assert run.states(node) == ["CANCELLED"] * 3


def test_cancel_ends_a_map_of_unknown_length(run: Rehearsal) -> None:
    """A map that still waits for its length ends with one cancelled element that stands for all."""
    node = run.map(work, run.call(load))
    run.start()
    run.cancel()
    assert (run.states(node), run.facts(node).length) == (["CANCELLED"], 1)
