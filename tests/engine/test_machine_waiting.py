"""The machine waits for nodes, elements, lengths, runtime lists and generators, and lets go of what nobody needs."""

from __future__ import annotations

from typing import Any

from dataflow.annotations import allow_failure, flatten, unmapped
from dataflow.engine.events import ItemsPulled, Pull, Release
from dataflow.engine.failures import unpack_error
from dataflow.errors import MapLengthError
from dataflow.graph.nodes import Reference
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal, error_bytes, spans_of


def load(x: Any = None) -> Any: ...


def work(x: Any, y: Any = None) -> Any: ...


def refine(x: Any, y: Any = None) -> Any: ...


def gather(xs: Any, ys: Any = None) -> Any: ...


def first_error(run: Rehearsal, node: Any) -> BaseException:
    """The exception of the first element."""
    return unpack_error(run.facts(node).segments[0].error_of(0) or b"")


# Waiting for nodes and elements


def test_a_gather_waits_for_every_element(run: Rehearsal) -> None:
    """A node that takes a map whole is sent when the last element has ended."""
    numbers = run.map(work, range(4), batch_size=2)
    run.call(gather, numbers)
    run.start()
    assert run.answer(run.next()) == []
    run.answer(run.next())
    assert run.under_way() == [[("gather", 0, 1)]]


def test_a_map_of_another_batch_size_follows_element_by_element(run: Rehearsal) -> None:
    """Elements of a second map are ready as soon as those they are made from have ended."""
    numbers = run.map(work, range(4), batch_size=2)
    run.map(refine, numbers, batch_size=1)
    run.start()
    run.answer(list(run.waiting.values())[1])
    assert run.under_way() == [[("work", 0, 2)], [("refine", 2, 3)], [("refine", 3, 4)]]


def test_one_element_is_enough_for_who_uses_one(run: Rehearsal) -> None:
    """A node that uses element 3 does not wait for the others."""
    numbers = run.map(work, range(6), batch_size=2)
    run.call(gather, Reference(numbers, 3))
    run.start()
    run.answer(list(run.waiting.values())[1])
    assert run.under_way() == [[("work", 0, 2)], [("work", 4, 6)], [("gather", 0, 1)]]


def test_rows_are_ready_one_by_one(run: Rehearsal) -> None:
    """A list of futures is iterated as they end, not when all have."""
    slow, fast = run.call(load), run.call(load, batch_size=1)
    node = run.map(work, [Reference(slow), Reference(fast), 5], batch_size=1)
    run.start()
    assert sorted(run.under_way()) == [[("load", 0, 1)], [("load-2", 0, 1)], [("work", 2, 3)]]
    run.answer(next(batch for batch in run.waiting.values() if spans_of(batch)[0][0] == "load-2"))
    assert sorted(run.under_way()) == [[("load", 0, 1)], [("work", 1, 2)], [("work", 2, 3)]]
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 3


# Failed inputs


def test_a_stage_without_hope_is_never_sent(run: Rehearsal) -> None:
    """If the value that all elements share failed, none of them is sent, nor what is made of them."""
    shared = run.call(load)
    numbers = run.map(work, range(1000), unmapped(Reference(shared)))
    last = run.call(gather, numbers)
    run.start()
    run.answer(run.next(), failed=[0])
    assert len(run.sent) == 1
    assert run.facts(numbers).counts == {StateType.UPSTREAM_FAILED: 1000}
    assert run.states(last) == ["UPSTREAM_FAILED"]
    assert str(first_error(run, last)) == "element 0"


def test_a_stage_with_some_hope_is_sent(run: Rehearsal) -> None:
    """Where only the second of two fused steps rests on what failed, the first still runs."""
    shared, fine = run.call(load, 1, batch_size=1), run.call(load, 2, batch_size=1)
    numbers = run.map(work, range(4), unmapped(Reference(fine)), batch_size=4)
    rest = run.map(refine, numbers, unmapped(Reference(shared)), batch_size=4)
    run.start()
    run.answer(run.next(), failed=[0])
    run.answer(run.next())
    assert run.under_way() == [[("refine", 0, 4)]]
    assert run.facts(rest).node is run.next().spans[0].stage.facts[1].node
    run.finish()
    assert run.states(numbers) == ["COMPLETED"] * 4


def test_failures_that_are_allowed_doom_nothing(run: Rehearsal) -> None:
    """A node that allows the failure of its input is sent."""
    shared = run.call(load)
    node = run.call(gather, allow_failure(Reference(shared)))
    run.start()
    run.answer(run.next(), failed=[0])
    assert run.under_way() == [[("gather", 0, 1)]]
    run.finish()
    assert run.states(node) == ["COMPLETED"]


# Runtime lists


def test_a_runtime_list_is_iterated_by_its_reported_length(run: Rehearsal) -> None:
    """The length of a list that a task gives comes with its report; nothing else is sent to learn it."""
    items = run.call(load)
    node = run.map(work, items, batch_size=2)
    run.start()
    assert run.facts(node).length is None
    run.answer(run.next(), totals=[5])
    assert run.facts(node).length == 5
    assert run.under_way() == [[("work", 0, 2)], [("work", 2, 4)], [("work", 4, 5)]]


def test_an_empty_runtime_list_ends_its_map(run: Rehearsal) -> None:
    """A list of length 0 leaves nothing to do."""
    node = run.map(work, run.call(load))
    last = run.call(gather, node)
    run.start()
    run.answer(run.next(), totals=[0])
    assert (run.facts(node).length, run.facts(node).state_type()) == (0, StateType.COMPLETED)
    assert run.under_way() == [[("gather", 0, 1)]]
    run.finish()
    assert run.states(last) == ["COMPLETED"]


def test_flattened_elements_get_their_places_in_order(run: Rehearsal) -> None:
    """Element lists that come out of order are placed when all before them are."""
    lists = run.map(load, range(3), batch_size=1)
    node = run.map(work, flatten(Reference(lists)), batch_size=10)
    run.start()
    zero, one, two = run.waiting.values()
    run.answer(two, totals=[4])
    run.answer(one, totals=[1])
    assert run.under_way() == [[("load", 0, 1)]]
    run.answer(zero, totals=[2])
    assert (run.under_way(), run.facts(node).length) == ([[("work", 0, 7)]], 7)


def test_a_map_that_comes_late_measures_the_list_first(run: Rehearsal) -> None:
    """If nobody knew that a list would be iterated, a batch on a worker counts it."""
    items = run.call(load)
    items.holders = 1
    run.start()
    run.answer(run.next())
    node = run.map(work, items, batch_size=2)
    run.start()
    measuring = run.next()
    assert (measuring.lane.program.name, measuring.spans) == ("measure", ())
    assert run.answer(measuring, totals=[3])[0] == Release(measuring.key)
    assert (run.under_way(), run.facts(node).length) == ([[("work", 0, 2)], [("work", 2, 3)]], 3)


def test_a_lost_measuring_batch_is_sent_again(run: Rehearsal) -> None:
    """Counting is repeated when its batch is lost."""
    items = run.call(load)
    items.holders = 1
    run.start()
    run.answer(run.next())
    node = run.map(work, items)
    run.start()
    run.lose(run.next())
    assert run.next().lane.program.name == "measure"
    run.answer(run.next(), totals=[1])
    run.finish()
    assert run.states(node) == ["COMPLETED"]


def test_a_failed_list_is_one_failed_element(run: Rehearsal) -> None:
    """A map over a list that never came has one element, which was not run."""
    node = run.map(work, run.call(load))
    run.start()
    run.answer(run.next(), failed=[0], totals=[1])
    run.finish(failed=[0])
    assert run.facts(node).length == 1


def test_a_late_map_over_what_was_not_run_is_queued_once(run: Rehearsal) -> None:
    """A map that is added when the list it iterates over is known to have failed has one element, sent at most once."""
    items = run.call(load, run.call(load, batch_size=1))
    items.holders = 1
    run.start()
    run.answer(run.next(), failed=[0])
    assert run.states(items) == ["UPSTREAM_FAILED"]
    node = run.map(work, items, batch_size=1)
    run.start()
    run.finish(failed=[0])
    assert len(run.states(node)) == 1


# Lengths


def test_runtime_lists_of_different_lengths_fail_the_map(run: Rehearsal) -> None:
    """The one element that stands for all has an error which names both lengths; what follows is not run."""
    left, right = run.call(load, 1), run.call(load, 2, batch_size=1)
    node = run.map(work, left, right)
    last = run.call(gather, node)
    run.start()
    run.answer(run.next(), totals=[2])
    run.answer(run.next(), totals=[3])
    assert run.waiting == {}
    assert (run.states(node), run.states(last)) == (["FAILED"], ["UPSTREAM_FAILED"])
    error = first_error(run, node)
    assert isinstance(error, MapLengthError)
    assert "2, 3" in str(error)


def test_strict_false_takes_the_shortest(run: Rehearsal) -> None:
    """Without strictness a runtime list of 5 and a literal of 3 give 3 elements."""
    node = run.map(work, run.call(load), [1, 2, 3], strict=False, batch_size=9)
    run.start()
    run.answer(run.next(), totals=[5])
    assert (run.under_way(), run.facts(node).length) == ([[("work", 0, 3)]], 3)


def test_a_map_over_a_map_of_different_lengths_ends_once(run: Rehearsal) -> None:
    """The first map fails, the second is not run because of it: each has one element, which is never sent."""
    first = run.map(work, [1, 2], run.call(load))
    second = run.map(refine, [1, 2], first)
    run.start()
    run.answer(run.next(), totals=[3])
    run.finish()
    assert (run.states(first), run.states(second)) == (["FAILED"], ["UPSTREAM_FAILED"])


def test_a_runtime_list_beside_a_list_of_futures_ends_once(run: Rehearsal) -> None:
    """A runtime list of 2 beside one future: the map fails, and nothing is sent."""
    items = run.call(load)
    node = run.map(work, items, [Reference(items)])
    run.start()
    run.answer(run.next(), totals=[2])
    run.finish()
    assert run.states(node) == ["FAILED"]


def test_different_lengths_of_what_failed_are_not_the_fault_of_the_map(run: Rehearsal) -> None:
    """Where a runtime list failed, so that it is one failed element, the map was not run because of that."""
    node = run.map(work, [1, 2], run.call(load))
    run.start()
    run.answer(run.next(), failed=[0], totals=[1])
    assert run.states(node) == ["UPSTREAM_FAILED"]
    assert str(first_error(run, node)) == "element 0"


# Elements that do not exist


def test_an_element_beyond_the_end_fails_who_uses_it(run: Rehearsal) -> None:
    """If a runtime list turns out to be shorter than the index that is used, the user of it is not run."""
    numbers = run.map(work, run.call(load), batch_size=9)
    node = run.call(gather, Reference(numbers, 7))
    run.start()
    run.answer(run.next(), totals=[3])
    run.finish()
    assert run.states(node) == ["UPSTREAM_FAILED"]
    assert isinstance(first_error(run, node), IndexError)


def test_an_element_beyond_the_end_fails_who_iterates_over_it(run: Rehearsal) -> None:
    """If a runtime list turns out to be shorter than the index that is used, a map over that element has one element,
    which gets a failed input.
    """
    numbers = run.map(work, run.call(load), batch_size=9)
    node = run.map(refine, Reference(numbers, 7))
    run.start()
    run.answer(run.next(), totals=[3])
    run.answer(run.next())
    ((broken,), _) = run.assembled[run.next().number].batch.columns[0]
    assert isinstance(unpack_error(broken.error), IndexError)
    run.finish(failed=[0])
    assert run.facts(node).length == 1


# Generators


def test_a_generator_is_pulled_as_needed(run: Rehearsal) -> None:
    """1,024 items per thread are asked for first; while they wait, no more are."""
    node = run.map(work, iter(range(10_000)))
    (pull,) = run.start()
    assert isinstance(pull, Pull)
    assert (pull.count, run.facts(node).length) == (2048, None)
    assert [i for i in run.tell(ItemsPulled(pull.stage, 2048, exhausted=False)) if isinstance(i, Pull)] == []


def test_items_of_a_generator_under_way_are_bounded(run: Rehearsal) -> None:
    """Of 100 items in batches of 10, four batches per thread are sent; as 80 items should wait, 60 more are taken."""
    run.map(work, iter(range(10_000)), batch_size=10)
    (pull,) = run.start()
    pulls = [i for i in run.tell(ItemsPulled(pull.stage, 100, exhausted=False)) if isinstance(i, Pull)]
    assert len(run.waiting) == 8
    assert [pull.count for pull in pulls] == [60]
    assert [i for i in run.answer(run.next()) if isinstance(i, Pull)] == [], "one pull at a time"


def test_a_generator_that_ends_gives_its_map_a_length(run: Rehearsal) -> None:
    """With the last item the length is known, and the map ends when its elements have."""
    node = run.map(work, iter(range(3)), batch_size=2)
    (pull,) = run.start()
    run.tell(ItemsPulled(pull.stage, 2, exhausted=False))
    run.tell(ItemsPulled(pull.stage, 1, exhausted=True))
    assert run.facts(node).length == 3
    run.finish()
    assert run.states(node) == ["COMPLETED"] * 3


def test_an_empty_generator_is_an_empty_map(run: Rehearsal) -> None:
    """Nothing to pull leaves nothing to do."""
    node = run.map(work, iter(()))
    (pull,) = run.start()
    assert run.tell(ItemsPulled(pull.stage, 0, exhausted=True)) == []
    assert (run.facts(node).ended, run.facts(node).length) == (True, 0)


def test_a_generator_that_raises_is_one_more_element(run: Rehearsal) -> None:
    """What came before runs; the exception is the outcome of the element at which it was raised."""
    node = run.map(work, iter(range(3)), batch_size=2)
    (pull,) = run.start()
    run.tell(ItemsPulled(pull.stage, 2, exhausted=False))
    run.tell(ItemsPulled(pull.stage, 0, exhausted=True, error=error_bytes("the file ended")))
    run.finish()
    assert run.states(node) == ["COMPLETED", "COMPLETED", "FAILED"]
    assert str(unpack_error(run.facts(node).segment_at(2).error_of(2))) == "the file ended"


# Letting go


def test_a_value_is_released_after_its_last_consumer(run: Rehearsal) -> None:
    """A column goes when both gathers that use it have ended, not before."""
    numbers = run.map(work, range(2), batch_size=2)
    run.call(gather, numbers, batch_size=1)
    run.call(gather, numbers, batch_size=1)
    run.start()
    column = run.next().key
    run.answer(run.next())
    assert Release(column) not in run.answer(run.next())
    assert Release(column) in run.answer(run.next())


def test_a_value_that_is_kept_stays(run: Rehearsal) -> None:
    """What the flow keeps is not released, even if futures of it are dropped."""
    node = run.call(load)
    node.holders = 1
    run.start(kept=[node])
    run.finish()
    assert run.drop(node) == []
    assert run.released == []


def test_a_value_that_is_held_goes_with_its_holder(run: Rehearsal) -> None:
    """A future keeps the value on the cluster; dropping it lets go."""
    node = run.call(load)
    node.holders = 1
    run.start()
    key = run.next().key
    run.finish()
    assert run.released == []
    assert run.drop(node) == [Release(key)]
    assert run.drop(node) == []


def test_a_future_that_is_dropped_early_holds_nothing(run: Rehearsal) -> None:
    """A value whose future is gone before it ends is released when it ends."""
    node = run.call(load)
    node.holders = 1
    run.start()
    assert run.drop(node) == []
    key = run.next().key
    assert run.answer(run.next()) == [Release(key)]


def test_a_column_that_nodes_share_goes_with_the_last_of_them(run: Rehearsal) -> None:
    """Two plain nodes whose values stand in one column: it is released when both are dropped."""
    nodes = [run.call(load, position, batch_size=2) for position in range(2)]
    for node in nodes:
        node.holders = 1
    run.start()
    run.finish()
    assert run.drop(nodes[0]) == []
    assert run.drop(nodes[1]) == [Release(run.sent[0].key)]


def test_an_unsent_consumer_counts(run: Rehearsal) -> None:
    """A value that only a doomed node used is released too."""
    good, bad = run.call(load, 1, batch_size=1), run.call(load, 2, batch_size=1)
    node = run.call(gather, good, bad)
    run.start()
    key = run.next().key
    run.answer(run.next())
    run.answer(run.next(), failed=[0])
    assert run.states(node) == ["UPSTREAM_FAILED"]
    assert key in run.released
