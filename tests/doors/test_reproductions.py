"""Reproductions: an element of a run is run again here with exactly its inputs, from wherever these can be had."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, allow_failure, flatten, flow, task, unmapped
from dataflow.cache_policies import INPUTS
from dataflow.engine.inputs_of_failures import InputsOfFailures, note_inputs, within_bounds
from dataflow.errors import UsageError
from dataflow.flow_runs import FlowRun
from dataflow.reproductions import Reproduction

CLUSTERS = ("inline", "threads", "processes")


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Any:
    """Each kind of cluster; processes are those of the shared one."""
    return request.getfixturevalue("client") if request.param == "processes" else request.param


@task
def rows(n: int) -> list[int]:
    """A list of some numbers."""
    return list(range(n))


@task
def total(numbers: list[int], scale: int = 1, *, sign: int = 1) -> int:
    """Fails for two numbers."""
    if len(numbers) == 2:
        raise ValueError("two")
    return sum(numbers) * scale * sign


@task
def show(*things: Any) -> list[Any]:
    """Whatever it is given."""
    return list(things)


def ended(run: FlowRun[Any]) -> FlowRun[Any]:
    """A run that has ended, well or not."""
    run.wait()
    return run


def test_a_failed_element_is_run_again_here(cluster: Client | str) -> None:
    """After the flow has ended, with the inputs that came from another task, as Python that can be copied."""

    @flow(cluster=cluster)
    def main() -> Any:
        return total.map(rows.map([1, 2, 3]), 10, sign=-1)

    again = ended(main.start()).reproduce("total[1]")
    assert repr(again) == "total(numbers=[0, 1], scale=10, sign=-1)"
    assert (again.task, again.node, again.index, again.function) == ("total", "total", 1, total.fn)
    assert (again.arguments, again.keywords, again.recomputed) == (([0, 1], 10), {"sign": -1}, ())
    assert repr(again.error) == "ValueError('two')"
    with pytest.raises(ValueError, match="two"):
        again()


def test_an_element_that_did_not_fail_too(cluster: Client | str) -> None:
    """What ran with it in one batch is run again for its inputs, and the reproduction says so."""

    @flow(cluster=cluster)
    def main() -> Any:
        return total.map(rows.map([1, 2, 3]), 10)

    again = ended(main.start()).reproduce("total[2]")
    assert (again(), again.error, again.recomputed) == (30, None, ("rows[2]",))


def test_a_plain_node_and_its_chain() -> None:
    """A plain node has no index, and chains of them are run again from their start."""

    @flow(cluster="inline")
    def main() -> Any:
        return total.submit(rows.submit(4))

    again = ended(main.start()).reproduce("total")
    assert (again(), again.index, again.recomputed) == (6, None, ("rows",))


def test_the_graph_door_keeps_the_values(cluster: Client | str) -> None:
    """While the state is in use, inputs of every kind come from the cluster and from the graph."""
    with Flow("shown") as shown:
        made = rows.map([2, 1, 3])
        show(made, {"a": [made[0]]}, unmapped(5))
        show.map(made, [made[1], 7, [made[0]]], range(3), unmapped(made[2]))
        show.map(flatten(made))
        show(flatten(made))
    state = shown.run(cluster=cluster)
    assert state.is_successful()
    found = [state.run.reproduce(place) for place in ("show", "show-2[2]", "show-3[4]", "show-4")]
    assert [again.recomputed for again in found] == [()] * 4
    assert [again() for again in found] == [
        [[[0, 1], [0], [0, 1, 2]], {"a": [[0, 1]]}, 5],
        [[0, 1, 2], [[0, 1]], 2, [0, 1, 2]],
        [1],
        [[0, 1, 0, 0, 1, 2]],
    ]


def test_a_future_or_a_pair_is_a_place_too() -> None:
    """Whatever names the element."""

    @flow(cluster="inline")
    def main() -> list[str]:
        made = rows.map([2, 1])
        made.wait()
        run = made.run
        return [repr(run.reproduce(place)) for place in (made[1], ("rows", 1), (made.node, 1), " rows[1] ")]

    assert main() == ["rows(n=1)"] * 4


@task
def large(n: int) -> bytes:
    """Too large to ride with a report."""
    return bytes(100_000 * n)


@task(batch_size=1)
def refuse(data: bytes) -> None:
    """Fails."""
    raise ValueError(len(data))


def test_inputs_that_are_gone_are_told(cluster: Client | str) -> None:
    """Large inputs go with the run; the error says of what, and that functions before may be called again."""

    @flow(cluster=cluster)
    def main() -> Any:
        return refuse.map(large.map([1, 2]))

    run = ended(main.start())
    with pytest.raises(UsageError, match=r"^large\[1\]: its value, which is an input, is not on the cluster any more"):
        run.reproduce("refuse[1]")
    again = run.reproduce("refuse[1]", recompute=True)
    assert (len(again.arguments[0]), again.recomputed) == (200_000, ("large[1]",))


def test_kept_results_are_loaded(tmp_path: Path) -> None:
    """What a store has need not be computed again, however large."""
    kept = large.with_options(cache_policy=INPUTS)

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> Any:
        return refuse.map(kept.map([1, 2]))

    again = ended(main.start()).reproduce("refuse[1]")
    assert (len(again.arguments[0]), again.recomputed) == (200_000, ())


def test_exceptions_stand_in_the_places_of_failures() -> None:
    """With ``allow_failure`` the function is given what it was given."""

    @flow(cluster="inline")
    def main() -> Any:
        return show.submit(allow_failure(total.map([[1], [1, 2]])), 3)

    things, number = ended(main.start()).reproduce("show", recompute=True)()
    assert (things[0], repr(things[1]), number) == (1, "ValueError('two')", 3)


def test_an_element_that_was_not_run_names_its_input() -> None:
    """There is nothing to reproduce, but at what it failed."""

    @flow(cluster="inline")
    def main() -> Any:
        sums = total.map([[1], [1, 2]])
        return show.map(sums), show.submit(sums)

    run = ended(main.start())
    for place in ("show[1]", "show-2"):
        with pytest.raises(UsageError) as told:
            run.reproduce(place)
        assert (told.value.where, told.value.problem, told.value.fix) == (
            place, "it was not run, because total[1] is Failed", 'reproduce("total[1]")',
        )  # fmt: skip


UNKNOWN = {
    "totl[3]": "no node of this run is called 'totl'\n  instead: total[3]",
    "something": "no node of this run is called 'something'\n  instead: one of total, total-2",
    "total": 'it is a map, and one element is reproduced\n  instead: reproduce("total[1]")',
    "total[9]": "there is no such element\n  instead: 0 to 1",
    "total-2[0]": "its inputs came from a generator, which has given them away\n  instead: map over a list to",
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_what_cannot_be_reproduced_is_explained(place: str) -> None:
    """Unknown names are answered by near ones, maps by one of their failures."""

    @flow(cluster="inline")
    def main() -> Any:
        return total.map([[1], [1, 2]]), total.map([n] for n in range(3))

    with pytest.raises(UsageError) as told:
        ended(main.start()).reproduce(place)
    assert str(told.value).startswith(f"{place}: {UNKNOWN[place]}")


@task
async def fetch(url: str) -> str:
    """A coroutine."""
    await asyncio.sleep(0)
    raise OSError(url)


def test_an_async_function_runs_to_its_end() -> None:
    """Without a running loop on one of its own; with one, as something to await."""

    @flow(cluster="inline")
    async def main() -> Any:
        return fetch.submit("a")

    again = ended(main.start()).reproduce("fetch")
    with pytest.raises(OSError, match="a"):
        again()

    async def within() -> None:
        await again()

    with pytest.raises(OSError, match="a"):
        asyncio.run(within())


def test_an_input_that_fails_now_says_what_it_was_for() -> None:
    """A function that is called again may raise this time."""
    answers: Iterator[int] = iter([3])

    @task
    def once() -> int:
        return next(answers)

    @flow(cluster="inline")
    def main() -> Any:
        return rows.submit(once.submit())

    run = ended(main.start())
    with pytest.raises(StopIteration) as told:
        run.reproduce("rows")
    assert told.value.__notes__ == ["raised when once was computed again, to be an input"]


# What is written


def written(function: Any, *arguments: Any, **keywords: Any) -> str:
    """The repr of a reproduction."""
    return repr(
        Reproduction(task="work", node="work", index=None, function=function, arguments=arguments, keywords=keywords)
    )


def positional(x: int, /, y: int, *rest: int, z: int = 0) -> None:
    """All kinds of parameters."""


def test_the_call_is_written_as_python() -> None:
    """With names where there are names; what cannot be written is named by its type."""
    assert written(positional, 1, "a", z=3) == "positional(1, y='a', z=3)"
    assert written(positional, 1, 2, 3, 4) == "positional(1, 2, 3, 4)"
    assert written(total.fn, object(), "x" * 2000) == "total(numbers=<object>, scale=<str>)"
    assert written(lambda x: x, 1) == "work(x=1)"
    assert written(max, 1, 2) == "max(1, 2)"


# What rides with the report


def test_small_inputs_are_noted_and_large_ones_are_not() -> None:
    """Neither one large argument, nor many small ones in a container; what cannot be pickled is left out."""
    inputs = InputsOfFailures()
    for offset, arguments in enumerate([("a", 1), (bytes(20_000),), ([bytes(1000)] * 1 + list(range(20_000)),), (id,)]):
        note_inputs(inputs, offset, arguments)
    note_inputs(inputs, 9, (iter([1]), (n for n in range(3))))
    assert {offset: pickle.loads(data) for offset, data in inputs.items()} == {0: ("a", 1), 3: (id,)}


def test_a_batch_notes_so_much_and_no_more() -> None:
    """256 KB, also where several walks have noted."""
    inputs = InputsOfFailures()
    for offset in range(100):
        note_inputs(inputs, offset, (bytes(9_000),))
    assert len(inputs) == 29
    assert len(within_bounds({**inputs, **{offset + 100: data for offset, data in inputs.items()}})) == 29
