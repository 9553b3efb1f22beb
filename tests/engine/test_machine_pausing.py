"""A machine that is held sends nothing, takes back what was not begun, and goes on where it stood."""

from __future__ import annotations

from typing import Any

from dataflow.engine.events import Release, SendingHeld, Withdraw
from tests.engine.rehearsal import Rehearsal


def load(x: Any = None) -> Any: ...


def work(x: Any, y: Any = None) -> Any: ...


def test_what_is_held_is_not_sent(run: Rehearsal) -> None:
    """Batches under way are asked for their rest once; what they gave back, and what follows, is sent afterwards."""
    node = run.map(work, range(4), batch_size=2)
    run.call(load, node)
    run.start()
    assert run.under_way() == [[("work", 0, 2)], [("work", 2, 4)]]
    assert run.tell(SendingHeld(True)) == [Withdraw(1)]
    run.answer(run.next(), count=1)
    run.answer(run.next(), count=0)
    assert (run.under_way(), run.states(node)) == ([], ["COMPLETED"])
    run.tell(SendingHeld(False))
    assert run.under_way() == [[("work", 1, 2), ("work", 2, 3)], [("work", 3, 4)]]
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 4


def test_what_is_added_while_held_waits(run: Rehearsal) -> None:
    """New nodes are wired and queued; holding with nothing under way asks nobody."""
    assert run.tell(SendingHeld(True)) == []
    node = run.map(work, range(3))
    run.start()
    assert run.under_way() == []
    run.tell(SendingHeld(False))
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 3


def test_a_count_that_was_taken_back_is_made_again(run: Rehearsal) -> None:
    """A batch that counts the items of a list and was not begun tells of no items: that is not the length."""
    items = run.call(load)
    items.holders = 1
    run.start()
    run.answer(run.next())
    node = run.map(work, items)
    run.start()
    counting = run.next()
    run.tell(SendingHeld(True))
    assert run.answer(counting, totals=[0]) == [Release(counting.key)]
    assert run.facts(node).length is None
    run.tell(SendingHeld(False))
    run.answer(run.next(), totals=[2])
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 2


def test_a_held_run_can_be_cancelled(run: Rehearsal) -> None:
    """What was not sent ends Cancelled at once."""
    run.tell(SendingHeld(True))
    node = run.map(work, range(3))
    run.start()
    run.cancel()
    assert run.states(node) == ["CANCELLED"] * 3
