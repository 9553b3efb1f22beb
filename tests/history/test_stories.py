"""Stories of past runs: told from rows they are those that the runs themselves tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dataflow import allow_failure, flatten, task, unmapped
from dataflow.cache_policies import INPUTS, LINEAGE
from dataflow.errors import UsageError
from dataflow.history.stories import story_of
from dataflow.session import Run
from dataflow.states import Completed, Failed
from dataflow.triggers import any_successful, manual_only, not_all_skipped
from tests.fates import even, half, hang, leave, parse, patient, power, slow_to_come, told, total
from tests.history.remembered import ran, remember, remembered_text

STORE = "memory://stories-of-the-past"
ELEMENTS = 9
"""So many elements of each map are compared."""


@task
def add(x: float, y: float = 0) -> float:
    return x + y


@task
def several(count: int) -> list[int]:
    if count < 0:
        raise ValueError(f"{count} numbers")
    return list(range(count))


@task(trigger=any_successful)
def some(numbers: list[float]) -> int:
    return len(numbers)


@task(trigger=not_all_skipped, skip_on_upstream_skip=False)
def first_of(*values: int) -> int:
    return values[0]


@task(trigger=manual_only)
def publish(number: int) -> int:
    return number


cached = parse.with_options(cache_policy=INPUTS, result_storage=STORE)
by_lineage = half.with_options(cache_policy=LINEAGE, result_storage=STORE)
by_place = add.with_options(persist_result=True, result_storage=STORE)


def failures_and_what_rests_on_them() -> None:
    halves = half.map(parse.map(["1", "two", "3"]))
    total.submit(halves)
    some.submit(parse.map(["one", "two"]))
    add.submit(halves[1], y=halves[0])
    total.submit([parse.submit("x"), {"a": halves[2]}])
    add.map([halves[1], 2, parse.submit("y")], unmapped(1))
    half.submit(1, wait_for=[parse.submit("z")])
    total.submit(allow_failure(halves))
    add.submit(allow_failure(halves[1]), y=parse.submit("w"))
    total.submit(several.map([2, -1])[1:])


def retries() -> None:
    patient.map([0, 1, 4])
    patient.submit(2)
    half.map(slow_to_come.map([0, 0, 1, 0, 3, 0]))
    slow_to_come.submit(1)


def loops_skips_and_words_of_their_own() -> None:
    power.map([3, 30])
    halves = half.map(even.map([0, 1]))
    first_of.submit(half.submit(halves[1]))
    total.submit(even.map([1, 3]))
    told.map([Completed("fine", name="Splendid"), Failed("bad")])


def crashes_and_time_limits() -> None:
    leave.submit()
    half.map(hang.map([0, 1, 0]))


def kept_results() -> None:
    half.map(cached.map(["1", "2", "two"]))
    by_place.map([1, 2])
    total.submit(by_lineage.map([4, 6]))


def lengths_known_late() -> None:
    half.map(several.submit(3))
    half.map(several.submit(0))
    add.map(several.submit(2), several.submit(3))
    half.map(total.submit(parse.submit("no")))
    half.map(several.map([2, 1]))
    half.map(flatten(several.map([2, -1, 1])))


def many_plain_nodes() -> None:
    numbers = [parse.submit(text) for text in ("1", "two", "3", "4")]
    for number in numbers:
        half.submit(number)
    total.submit(numbers)


FLOWS: list[Callable[[], None]] = [
    crashes_and_time_limits,
    failures_and_what_rests_on_them,
    kept_results,
    lengths_known_late,
    loops_skips_and_words_of_their_own,
    many_plain_nodes,
    retries,
]


def places(run: Run) -> Iterator[Any]:
    """Every node of a run, and the first elements of its maps."""
    for node in run.nodes:
        yield node.slug
        if node.space is not None:
            facts = run.facts_of(node)
            length = facts.length if facts is not None else None
            yield from (f"{node.slug}[{index}]" for index in range(min(ELEMENTS, length or 0)))


def assert_same_stories(run: Run) -> None:
    """The rows of a run tell what the run tells."""
    past = remember(run)
    for place in places(run):
        story, live = story_of(past.reader, past.execution, place), run.story(place)
        assert str(story) == str(live), remembered_text(past)
        assert story == live


@pytest.mark.parametrize("cluster", ["inline", "threads"])
@pytest.mark.parametrize("body", FLOWS, ids=lambda body: body.__name__)
def test_are_those_that_the_run_tells(body: Callable[[], None], cluster: str) -> None:
    """Text, times, attempts and reasons of each element and map are equal, whatever became of it."""
    if body is kept_results:
        ran(body)  # so that the next one finds them
    assert_same_stories(ran(body, cluster))


def test_of_work_that_was_cancelled() -> None:
    """What was approved by nobody and then cancelled says so."""

    def body() -> None:
        future = half.submit(publish.submit(1))
        future.wait(timeout=0.05)
        future.run.cancel()

    assert_same_stories(ran(body, "threads"))


def test_of_a_map_that_never_came_to_be() -> None:
    """Each element of a map whose length was never known is told of, whatever its index; of other maps not."""
    run = ran(lambda: add.map(several.submit(2), several.submit(3)))
    past = remember(run)
    assert story_of(past.reader, past.execution, "add[5]") == run.story("add[5]")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("prse[1]", r"no node of this run is called 'prse'\n  instead: parse\[1\]"),
        ("parse[2]", r"there is no element 2; the number of elements is 2"),
    ],
)
def test_of_what_is_not_there(place: Any, said: str) -> None:
    """A wrong name or index is the same error as in the run."""
    past = remember(ran(lambda: parse.map(["1", "2"])))
    with pytest.raises(UsageError, match=said):
        story_of(past.reader, past.execution, place)
    assert story_of(past.reader, past.execution, ("parse", -1)).of == "parse[1]"


def test_of_rows_that_were_lost() -> None:
    """A story is told as far as it is known: without the row of a batch, or of the nodes that are used."""
    past = remember(ran(lambda: half.map(parse.map(["1", "two"]))))
    without = replace(past, batch_rows=[], node_rows=past.node_rows[1:])
    assert [step.name for step in story_of(without.reader, past.execution, "half[0]")][-1] == "Completed"
    assert "could not convert" in story_of(without.reader, past.execution, "half[1]")[-1].reason
