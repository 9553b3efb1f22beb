"""Assembling: where the inputs of a batch stand becomes recipes and keys; what cannot travel is named."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pytest

from dataflow.annotations import allow_failure, flatten, unmapped
from dataflow.compiler.program import Program, Step
from dataflow.compiler.recipes import Batch, Broken, Direct, Each, Fill, Gather, Literal, Part, Parts, Pick, Values
from dataflow.engine.assemble import Assembled, pickled_batch, pickled_program
from dataflow.engine.events import ItemsPulled
from dataflow.engine.pickles import dumps
from dataflow.engine.records import BatchRecord, Lane
from dataflow.errors import UnpicklableArgument
from dataflow.graph.nodes import Node, Reference, Slot
from dataflow.states import StateType
from tests.engine.rehearsal import Rehearsal


def load(x: Any = None) -> Any: ...


def work(x: Any, y: Any = None) -> Any: ...


def gather(xs: Any, ys: Any = None) -> Any: ...


def last(run: Rehearsal) -> tuple[Batch, list[str]]:
    """What was assembled for the batch that was sent last, and the keys it depends on."""
    assembled = run.assembled[run.sent[-1].number]
    return assembled.batch, list(assembled.keys)


# Recipes


def test_literals_travel_as_slices(run: Rehearsal) -> None:
    """A batch carries its own items of the list and nothing else."""
    run.map(work, list(range(100, 110)), batch_size=4)
    run.start()
    columns = [run.assembled[batch.number].batch.columns for batch in run.sent]
    assert columns == [
        (Values([100, 101, 102, 103]),),
        (Values([104, 105, 106, 107]),),
        (Values([108, 109]),),
    ]
    assert [run.assembled[batch.number].keys for batch in run.sent] == [(), (), ()]


def test_an_array_stays_an_array(run: Rehearsal) -> None:
    """Its slice travels as a view of it."""
    source = np.arange(6.0)
    run.map(work, source, batch_size=4)
    run.start()
    ((values,),) = [run.assembled[run.sent[0].number].batch.columns]
    assert isinstance(values.values, np.ndarray)
    assert np.shares_memory(values.values, source)


def test_plain_nodes_stand_in_a_column_each(run: Rehearsal) -> None:
    """Three plain calls of one task are three elements of one batch."""
    for position in range(3):
        run.call(work, position, batch_size=3)
    run.start()
    batch, keys = last(run)
    assert (batch.count, batch.columns, keys) == (3, (Values([0, 1, 2]),), [])


def test_elements_are_taken_from_the_columns_they_stand_in(run: Rehearsal) -> None:
    """A batch of 3 elements made of batches of 2 depends on two columns and takes a part of each."""
    numbers = run.map(load, range(4), batch_size=2)
    run.map(work, numbers, batch_size=3)
    run.start()
    for batch in list(run.waiting.values())[:2]:
        run.answer(batch)
    batches = [run.assembled[batch.number] for batch in run.sent[2:]]
    assert [each.batch.columns for each in batches] == [
        (Parts((Part(0, 0, 2),)),),
        (Parts((Part(0, 0, 2),)),),
    ]
    assert [each.keys for each in batches] == [("load-run-0",), ("load-run-1",)]


def test_a_gather_takes_all_columns_in_the_order_of_elements(run: Rehearsal) -> None:
    """Whatever ended first."""
    numbers = run.map(load, range(4), batch_size=2)
    run.call(gather, numbers)
    run.start()
    for batch in reversed(list(run.waiting.values())):
        run.answer(batch)
    batch, keys = last(run)
    assert batch.columns == (Each((Gather((Part(0, 0, 2), Part(1, 0, 2))),)),)
    assert keys == ["load-run-0", "load-run-1"]


def test_a_slice_takes_what_it_needs(run: Rehearsal) -> None:
    """Elements 1 and 2 of four in batches of two are one of each column."""
    numbers = run.map(load, range(4), batch_size=2)
    run.call(gather, Reference(numbers, range(1, 3)))
    run.start()
    for batch in list(run.waiting.values()):
        run.answer(batch)
    batch, _ = last(run)
    assert batch.columns == (Each((Gather((Part(0, 1, 2), Part(1, 0, 1))),)),)


def test_one_element_is_picked(run: Rehearsal) -> None:
    """Element 3 stands at place 1 of the second column; the first is no dependency."""
    numbers = run.map(load, range(4), batch_size=2)
    run.call(gather, Reference(numbers, 3))
    run.start()
    for batch in list(run.waiting.values()):
        run.answer(batch)
    batch, keys = last(run)
    assert (batch.columns, keys) == ((Each((Pick(Part(0, 1, 2)),)),), ["load-run-1"])


def test_shared_values_are_broadcast_once(run: Rehearsal) -> None:
    """An unmapped value is a broadcast of the batch, not a column."""
    shared = run.call(load, batch_size=1)
    run.map(work, range(4), unmapped(Reference(shared)), batch_size=4)
    run.start()
    run.answer(run.next())
    batch, keys = last(run)
    assert (batch.broadcasts, batch.columns) == ((Pick(Part(0, 0, 1)),), (Values(range(4)),))
    assert keys == ["load-run-0"]


def test_a_column_is_one_dependency_however_often_it_is_used(run: Rehearsal) -> None:
    """Two uses of one node share a position."""
    shared = run.call(load, batch_size=1)
    run.call(gather, shared, {"again": Reference(shared)})
    run.start()
    run.answer(run.next())
    batch, keys = last(run)
    pick = Pick(Part(0, 0, 1))
    assert batch.columns == (Each((pick,)), Each((Fill({"again": Slot(0)}, (pick,)),)))
    assert keys == ["load-run-0"]


def test_opened_lists_are_parts_of_parts(run: Rehearsal) -> None:
    """Batches of two over lists of 3 and 1: items 0 and 1 of the first, then its item 2 and the other list."""
    lists = run.map(load, range(2), batch_size=1)
    run.map(work, flatten(Reference(lists)), batch_size=2)
    run.start()
    zero, one = run.waiting.values()
    run.answer(one, totals=[1])
    run.answer(zero, totals=[3])
    found = [run.assembled[batch.number].batch.columns[0] for batch in run.sent[2:]]
    assert found == [
        Parts((Part(0, 0, 1, 1, 0, 2),)),
        Parts((Part(0, 0, 1, 1, 2, 3), Part(1, 0, 1, 1, 0, 1))),
    ]


def test_what_was_never_run_moves_no_data(run: Rehearsal) -> None:
    """An element that has no column is told as its state and error."""
    bad = run.call(load, 1, batch_size=1)
    blocked = run.call(load, bad, batch_size=2)
    run.call(gather, allow_failure(Reference(blocked)))
    run.start()
    run.answer(run.next(), failed=[0])
    batch, keys = last(run)
    ((each,),) = [batch.columns]
    (pick,) = each.recipes
    assert (type(pick.part), pick.part.state, pick.allow_failure) == (Broken, StateType.UPSTREAM_FAILED, True)
    assert keys == []


def test_large_values_travel_by_key(run: Rehearsal) -> None:
    """A large constant is no part of the batch; it stands under a key of its own."""
    run.compiler._is_large = lambda value: isinstance(value, list)
    run.call(work, [1, 2, 3], 5)
    run.start()
    batch, keys = last(run)
    assert batch.columns == (Each((Direct(0),)), Values([5]))
    assert [run.objects[key] for key in keys] == [[1, 2, 3]]


def test_recipes_are_small_when_they_travel(run: Rehearsal) -> None:
    """A gather of 1,000 columns takes a few bytes for each."""
    numbers = run.map(load, range(1000), batch_size=1)
    run.call(gather, numbers)
    run.start()
    run.finish()
    batch, keys = last(run)
    assert len(keys) == 1000
    assert len(pickle.dumps(batch, protocol=5)) < 30_000


# What cannot travel


def assembled(program: Program, *columns: Any) -> Assembled:
    """A batch of this program with these columns."""
    lane = Lane(program, 0, None, 1)
    record = BatchRecord(number=0, lane=lane, spans=(), count=2, budget_seconds=None, expected_seconds=0.0, key="k")
    batch = Batch(number=0, count=2, broadcasts=(), columns=tuple(columns))
    return Assembled(record=record, batch=batch, keys=())


def program_of(function: Any, *constants: Any) -> Program:
    """A program of one step."""
    step = Step(name="open", function=function, positional=(), keywords=(), guards=())
    return Program(name="open", constants=constants, broadcasts=0, columns=0, steps=(step,), outputs=())


LOCK = threading.Lock()


def test_a_batch_that_travels_is_bytes() -> None:
    """Pickled once, read again on a worker."""
    data = pickled_batch(assembled(program_of(load), Values([1, 2])))
    assert isinstance(data, bytes)
    assert pickle.loads(data).columns == (Values([1, 2]),)


@pytest.mark.parametrize(
    "column", [Values([1, 2, LOCK, 4]), Each((Literal(1), Literal(2), Literal(LOCK)))], ids=["items", "plain nodes"]
)
def test_the_element_that_cannot_be_pickled_is_named(column: Any) -> None:
    """Its offset in the batch, its value, the task, the reason, and what to do instead."""
    found = pickled_batch(assembled(program_of(load), Values([0, 0, 0, 0]), column))
    assert isinstance(found, tuple)
    offset, error = found
    assert offset == 2
    assert isinstance(error, UnpicklableArgument)
    assert error.problem.startswith("argument <unlocked _thread.lock object at")
    assert "cannot pickle '_thread.lock' object" in error.problem
    assert (error.where, isinstance(error.__cause__, TypeError)) == ("task 'open'", True)
    assert 'cluster="threads"' in error.fix


def test_a_constant_that_cannot_be_pickled_is_named() -> None:
    """It is shared by all elements, so the program cannot travel."""
    error = pickled_program(program_of(load, 1, LOCK))
    assert isinstance(error, UnpicklableArgument)
    assert error.problem.startswith("argument <unlocked _thread.lock object at")


def test_a_function_that_cannot_be_pickled_is_named() -> None:
    """A closure over what cannot travel."""
    own = threading.Lock()
    error = pickled_program(program_of(lambda: own))
    assert isinstance(error, UnpicklableArgument)
    assert error.problem.startswith("the function, or something it refers to, cannot be pickled")


def test_what_belongs_to_main_travels_by_value() -> None:
    """A function that a worker could not import by name is pickled with its code."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def of_main(x):\n    return x + 1\n", namespace)
    data = dumps(namespace["of_main"])
    del namespace["of_main"]
    assert pickle.loads(data)(1) == 2


def test_generator_items_are_forgotten_when_their_elements_ended(run: Rehearsal) -> None:
    """Of items in memory only those of elements under way or ready stay."""
    node: Node = run.map(work, iter(range(10)), batch_size=2)
    (pull,) = run.start()
    items = run.assembler.generator_of(pull.stage)
    count, exhausted, _ = items.pull(4)
    run.tell(ItemsPulled(pull.stage, count, exhausted))
    first, second = run.waiting.values()
    for batch in (first, second):
        assert items.slice(0, 4) == [0, 1, 2, 3]
        run.answer(batch)
        run.assembler.forget(batch)
    assert items.slice(0, 4) == []
    assert run.states(node) == ["COMPLETED"] * 4
