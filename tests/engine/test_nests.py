"""Runs inside of runs, and the thread's place that is given back meanwhile: the rules, without any cluster."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import pytest

from dataflow.engine.nests import Nest, batches, cancel_begun, cancel_nested, current_nest, nest_depth, on_worker
from dataflow.engine.slots import Slot, leave_slot, patiently, slot_release, woken_by, yield_if_wanted
from dataflow.errors import Cancelled


class Run:
    """Something with the two methods that a nest calls."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.told = threading.Event()

    def cancel(self) -> None:
        self.heard.append("cancel")
        self.told.set()

    def close(self) -> None:
        self.heard.append("close")


class Place:
    """What becomes of a thread's place, in words."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.slot = Slot(lambda: self.told.append("leaves"), lambda: self.told.append("comes back"))


def in_another_thread(function: Any) -> None:
    """Call it in a thread with a copy of this context, as the watched walks do, and wait."""
    thread = threading.Thread(target=copy_context().run, args=(function,))
    thread.start()
    thread.join()


def test_a_place_is_given_back_once() -> None:
    """Waiting within a wait does not leave twice, and each outermost wait comes back."""
    place = Place()
    for _ in range(2):
        with place.slot.released(), place.slot.released():
            place.told.append("waits")
    assert place.told == ["leaves", "waits", "comes back"] * 2


def test_a_place_is_taken_again_after_an_error() -> None:
    """What is raised while the place is given back does not lose it."""
    place = Place()
    with pytest.raises(KeyError), place.slot.released():
        raise KeyError
    assert place.told == ["leaves", "comes back"]


def test_a_place_left_for_good() -> None:
    """A batch on an event loop leaves once; later waits find nothing to give back."""
    place = Place()
    with on_worker("run", 1, depth=1, slot=place.slot):
        leave_slot()
        leave_slot()
        with slot_release.get()():
            place.told.append("waits")
    assert place.told == ["leaves", "waits"]


def test_another_thread_asks_for_the_place() -> None:
    """A thread that works for the batch cannot leave itself: it wakes the batch's thread, which does."""
    place = Place()

    def works() -> None:
        with slot_release.get()():
            place.told.append("waits")

    with on_worker("run", 1, depth=1, slot=place.slot), woken_by(lambda: place.told.append("wakes")):
        yield_if_wanted()
        in_another_thread(works)
        yield_if_wanted()
        in_another_thread(leave_slot)
    assert place.told == ["wakes", "waits", "leaves"]


def test_outside_of_tasks_there_is_no_place() -> None:
    """Waiting elsewhere gives nothing back, and takes nothing."""
    leave_slot()
    yield_if_wanted()
    with slot_release.get()(), woken_by(lambda: None):
        assert current_nest.get() is None


def test_a_lock_is_waited_for_without_the_place() -> None:
    """Only a lock that is taken makes the batch leave."""
    place, lock, waiting = Place(), threading.Lock(), threading.Event()

    @contextmanager
    def released() -> Any:
        waiting.set()
        with place.slot.released():
            yield

    def give_back() -> None:
        waiting.wait(10)
        lock.release()

    token = slot_release.set(released)
    try:
        with patiently(lock):
            place.told.append("has it")
        lock.acquire()
        threading.Thread(target=give_back).start()
        with patiently(lock):
            place.told.append("has it again")
    finally:
        slot_release.reset(token)
    assert place.told == ["has it", "leaves", "comes back", "has it again"]


def test_a_cancelled_nest_cancels_what_is_in_it_and_takes_no_more() -> None:
    """Runs that have left are not bothered; a run that begins later is closed and says why."""
    outer, there, gone, late = Nest(), Run(), Run(), Run()
    inner = Nest(outer=outer)
    inner.begin(there)
    inner.begin(gone)
    inner.end(gone)
    outer.cancel()
    with pytest.raises(Cancelled, match="what began this run was cancelled"):
        inner.begin(late)
    assert (there.heard, gone.heard, late.heard) == (["cancel"], [], ["close"])


def test_an_attempt_that_is_given_up_cancels_its_runs() -> None:
    """The batch goes on: its next element may begin runs again."""
    run = Run()
    with on_worker("run", 3, depth=1, slot=Place().slot):
        nest = Nest(outer=current_nest.get())
        nest.begin(run)
        cancel_begun()
        assert run.told.wait(5)
        nest.begin(Run())
    assert run.heard == ["cancel"]


def test_batches_are_cancelled_by_number() -> None:
    """Of the batches of a process only those that are meant hear of it; afterwards none is known."""
    meant, other = Run(), Run()
    with on_worker("run", 1, depth=2, slot=Place().slot):
        assert nest_depth() == 2
        Nest(outer=current_nest.get()).begin(meant)
        with on_worker("run", 2, depth=1, slot=Place().slot):
            Nest(outer=current_nest.get()).begin(other)
            cancel_nested("run", {1})
            cancel_nested("another run", {2})
            assert meant.told.wait(5)
    assert (meant.heard, other.heard) == (["cancel"], [])
    assert not batches


class Held(Run):
    """A run that somebody lets go on while it is told to wait."""

    def __init__(self, nest: Nest) -> None:
        super().__init__()
        self.lets_go = threading.Thread(target=nest.hold, args=(False,))

    def hold_sending(self, reason: str, *, held: bool) -> None:
        if held:
            self.lets_go.start()
            self.lets_go.join(0.05)
        self.heard.append("waits" if held else "goes on")

    def put_down(self) -> None:
        self.heard.append("put down")


def test_a_run_that_begins_while_its_nest_is_let_go_on_is_told_so_last() -> None:
    """Whoever holds a nest and lets it go on does not leave a run behind that has just begun in it."""
    nest = Nest()
    nest.hold(True)
    run = Held(nest)
    nest.add(run)
    run.lets_go.join()
    assert run.heard == ["waits", "goes on"]
