"""Caching through the front doors: what asks for it, what a policy counts, what states and references then say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dataflow import Flow, Parameter, Task, flow, task
from dataflow.cache_policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, CacheKeyFnPolicy
from dataflow.cache_validators import (
    all_inputs,
    all_parameters,
    duration_only,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
)
from dataflow.errors import TaskDefinitionError, UsageError
from dataflow.results import LocalResult, ResultReference, ResultStore, load
from dataflow.settings import settings

ROOT = Path(__file__).parents[2]
ran: list[Any] = []
"""The arguments of calls that were made; everything here runs in this process."""


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A folder that does not exist yet."""
    return str(tmp_path / "store")


@pytest.fixture
def default_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the setting names; nothing is there yet."""
    folder = tmp_path / "default"
    monkeypatch.setenv("DATAFLOW_RESULT_STORAGE", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@task(cache_policy=INPUTS)
def double(x: Any) -> Any:
    ran.append(x)
    return 2 * x


def files_in(folder: str | Path) -> set[str]:
    """Names of all files below a folder, relative to it."""
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def packs_in(folder: str | Path) -> list[str]:
    """Names of all packs of a store."""
    return sorted(name for name in files_in(folder) if name.endswith(".pack"))


def calls_of(work: Task[..., Any], store: str, times: int = 2, **options: Any) -> list[list[Any]]:
    """What runs when a flow that maps a task over 1 and 2 is run some times."""

    @flow(cluster="inline", result_storage=store, **options)
    def main() -> list[Any]:
        return work.map([1, 2]).result()

    made = []
    for _ in range(times):
        ran.clear()
        main()
        made.append(list(ran))
    return made


# What asks for a cache


def record(x: int, y: int = 0) -> int:
    ran.append(x)
    return x + y


def test_a_policy_is_enough(store: str) -> None:
    """Two equal runs of a task with a policy: the second runs nothing."""
    assert calls_of(task(record, cache_policy=INPUTS), store) == [[1, 2], []]


def test_without_a_policy_a_kept_result_is_of_its_run(store: str) -> None:
    """Results that are kept without a cache are no answer for another run."""
    assert calls_of(task(record, persist_result=True), store) == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    "options",
    [
        {"cache_key_fn": lambda context, arguments: f"all-{arguments['x']}"},
        {"cache_policy": CacheKeyFnPolicy(lambda context, arguments: f"all-{arguments['x']}")},
        {"cache_policy": INPUTS + FLOW_PARAMETERS},
        {"cache_for": timedelta(hours=1), "cache_validator": all_inputs()},
        {"cache_for": timedelta(hours=1), "cache_validator": duration_only()},
        {"cache_for": timedelta(hours=1), "cache_validator": all_parameters()},
        {"cache_for": timedelta(hours=1), "cache_validator": partial_inputs_only(["x"])},
        {"cache_for": timedelta(hours=1), "cache_validator": partial_parameters_only([])},
        {"result_storage_key": "{task_name}-{index}.json", "cache_policy": INPUTS},
    ],
    ids=lambda options: "+".join(options),
)
def test_every_way_to_ask_for_a_cache_gives_one(store: str, options: dict[str, Any]) -> None:
    """Each of these is enough for the second run to run nothing."""
    assert calls_of(task(record, **options), store) == [[1, 2], []]


@pytest.mark.parametrize(
    "options", [{"cache_policy": NO_CACHE}, {"cache_validator": never_use()}, {"cache_policy": RUN_ID + INPUTS}]
)
def test_these_are_no_answer_for_another_run(store: str, options: dict[str, Any]) -> None:
    """NO_CACHE finds nothing, and RUN_ID only what the run itself has kept."""
    assert calls_of(task(record, **options), store) == [[1, 2], [1, 2]]


def test_no_cache_keeps_nothing(default_store: Path) -> None:
    """A task with NO_CACHE alone does not touch the store."""

    @flow(cluster="inline")
    def main() -> int:
        return task(record, cache_policy=NO_CACHE)(3)

    assert main() == 3
    assert not default_store.exists()


def test_the_default_policy_looks_at_the_source(store: str) -> None:
    """DEFAULT is INPUTS + TASK_SOURCE: another body under the same name is another key."""

    def made(factor: int) -> Task[..., Any]:
        text = f"def scaled(x):\n    ran.append(x)\n    return {factor} * x\n"
        space: dict[str, Any] = {"ran": ran, "__name__": "not_of_a_project"}
        exec(text, space)
        return task(space["scaled"], cache_policy=DEFAULT)

    assert repr(DEFAULT) == "INPUTS + TASK_SOURCE"
    assert calls_of(made(2), store) == [[1, 2], []]
    assert calls_of(made(3), store) == [[1, 2], []]


def test_persist_result_false_switches_the_cache_off_and_says_so(store: str) -> None:
    """The two options contradict each other: a warning, and nothing is kept."""
    with pytest.warns(UserWarning, match="persist_result=False switches its cache off"):
        off = task(record, cache_policy=INPUTS, persist_result=False)
    assert calls_of(off, store) == [[1, 2], [1, 2]]
    assert not Path(store).exists()


def test_a_key_function_decides_alone(store: str) -> None:
    """With a key function and a policy the function wins, which a warning says; None means: not this one."""
    with pytest.warns(UserWarning, match="cache_key_fn decides alone"):
        odd_only = task(
            record,
            cache_policy=INPUTS,
            cache_key_fn=lambda context, arguments: None if arguments["x"] % 2 == 0 else str(arguments["x"]),
        )
    assert calls_of(odd_only, store) == [[1, 2], [2]]


def test_a_key_function_is_told_what_it_may_need(store: str) -> None:
    """It gets the task, the run and the element; arguments that were not given have their defaults."""
    seen: list[Any] = []

    def key(context: Any, arguments: Any) -> str:
        seen.append((context.task.name, context.node, context.index, dict(arguments), context.task_run.name))
        return str(arguments)

    calls_of(task(record, name="load", cache_key_fn=key), store, times=1)
    assert seen == [
        ("load", "load", 0, {"x": 1, "y": 0}, "load-0"),
        ("load", "load", 1, {"x": 2, "y": 0}, "load-1"),
    ]


def test_a_key_function_that_fails_fails_its_element_only(store: str) -> None:
    """Element 1 has no key, and says why; element 0 is run."""

    def key(context: Any, arguments: Any) -> Any:
        return "one" if arguments["x"] == 1 else 2

    @flow(cluster="inline", result_storage=store)
    def main() -> None:
        elements = task(record, cache_key_fn=key).map([1, 2])
        assert elements[0].result() == 1
        elements[1].wait()
        assert elements[1].state.message.startswith(
            "UnstableKey: cache_key_fn of task 'record', element 1: it gave int, which is neither text nor None"
        )

    main()


# Expiration and refresh


@pytest.mark.parametrize(
    ("expiration", "second"),
    [(timedelta(microseconds=1), [1, 2]), (1e-6, [1, 2]), (timedelta(hours=1), []), (3600, [])],
)
def test_expiration(store: str, expiration: Any, second: list[int]) -> None:
    """A result is good until it expires; as a timedelta or in seconds."""
    assert calls_of(task(record, cache_policy=INPUTS, cache_expiration=expiration), store) == [[1, 2], second]


def test_a_refreshed_result_replaces_the_old_one(store: str) -> None:
    """refresh_cache runs although there is a result; afterwards the new one is found."""
    answers = iter([10, 20, 30])

    def ask(x: int) -> int:
        return next(answers)

    @flow(cluster="inline", result_storage=store)
    def main(refresh: bool) -> int:
        return task(ask, cache_policy=INPUTS, refresh_cache=refresh)(1)

    assert [main(False), main(False), main(True), main(False)] == [10, 10, 20, 20]


# Where


def test_the_nearest_place_wins(default_store: Path, tmp_path: Path) -> None:
    """Where results lie is said by the task, else by the flow, else by the setting."""
    of_task, of_flow = tmp_path / "of-task", tmp_path / "of-flow"

    @flow(cluster="inline", result_storage=LocalResult(of_flow))
    def with_place() -> None:
        double(1)
        double.with_options(result_storage=of_task)(2)

    @flow(cluster="inline")
    def without_place() -> None:
        double(3)

    with_place()
    assert (len(packs_in(of_flow)), len(packs_in(of_task))) == (1, 1)
    assert not default_store.exists()
    without_place()
    assert len(packs_in(default_store)) == 1


@pytest.mark.parametrize("kind", [str, Path, LocalResult, ResultStore, lambda path: f"file://{path}"])
def test_a_place_is_said_in_several_ways(store: str, kind: Any) -> None:
    """A path, a URL, a location and a store mean one place, and find each other's results."""
    assert calls_of(double, store, times=1) == [[1, 2]]
    assert calls_of(double, kind(store), times=1) == [[]]


def test_a_relative_path_is_of_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder of the process that starts the flow, also in references."""
    monkeypatch.chdir(tmp_path)

    @flow(cluster="inline", result_storage="here")
    def main() -> str:
        return str(double.submit(1).reference())

    reference = main()
    assert len(packs_in(tmp_path / "here")) == 1
    assert reference.startswith(f"file://{tmp_path}/here#double-")


def test_a_flow_keeps_all_results_and_its_subflows_do_too(store: str) -> None:
    """persist_result on a flow is for tasks that say nothing, and for flows that it calls; a task may say no."""

    @task
    def quiet(x: int) -> int:
        return x

    @flow
    def inner() -> tuple[bool, bool]:
        return kept(quiet.submit(1)), kept(quiet.with_options(persist_result=False).submit(1))

    @flow(persist_result=False)
    def inner_without() -> bool:
        return kept(quiet.submit(1))

    @flow(cluster="inline", persist_result=True, result_storage=store)
    def main() -> Any:
        return kept(quiet.submit(1)), inner(), inner_without()

    def kept(future: Any) -> bool:
        return future.reference() is not None

    assert main() == (True, (True, False), False)


def test_the_setting_keeps_all_results(default_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With DATAFLOW_PERSIST_RESULTS=true tasks that say nothing keep theirs."""
    monkeypatch.setenv("DATAFLOW_PERSIST_RESULTS", "true")
    settings.cache_clear()

    @flow(cluster="inline")
    def main() -> Any:
        return task(record).submit(3).reference()

    assert load(main()) == 3
    assert len(packs_in(default_store)) == 1


def test_the_graph_door_caches_too(store: str) -> None:
    """In a Flow block: the second run finds both elements, and the state of the handle is Cached."""
    with Flow("numbers", result_storage=store) as numbers:
        doubled = double.map(Parameter("xs"))
    first, second = numbers.run(xs=[1, 2], cluster="inline"), numbers.run(xs=[1, 2], cluster="inline")
    assert ran == [1, 2]
    assert (first.result[doubled].state.name, second.result[doubled].state.name) == ("Completed", "Cached")
    states = second.result[doubled]
    assert (states.is_cached(), states.name, [element.name for element in states.map_states]) == (
        True,
        "Cached",
        ["Cached", "Cached"],
    )
    assert (second.is_cached(), second.name) == (False, "Completed")
    assert second.result[doubled].result == [2, 4]


def test_a_store_is_used_as_it_was_opened(store: str) -> None:
    """What a ResultStore says besides its place counts: its serializer, and that it takes safe formats only."""

    @flow(cluster="inline", result_storage=ResultStore(store, serializer="json", safe=True))
    def main() -> list[str]:
        elements = task(lambda x: {1} if x else [1], name="made", cache_policy=INPUTS).map([0, 1])
        elements.wait()
        return [element.state.name for element in elements]

    assert main() == ["Completed", "Failed"]


def test_a_location_may_hold_the_template(tmp_path: Path) -> None:
    """LocalResult(..., location="...") is result_storage_key under its classic name."""

    @flow(cluster="inline")
    def main() -> None:
        double.with_options(result=LocalResult(tmp_path, location="{task_name}-{index}.json")).map([1, 2]).wait()

    main()
    assert {"double-0.json", "double-1.json"} <= files_in(tmp_path)


def test_an_expiration_alone_is_a_cache(store: str) -> None:
    """cache_for, or cache_expiration, without a policy means DEFAULT: the second run runs nothing."""
    assert calls_of(task(record, cache_for=timedelta(hours=1)), store) == [[1, 2], []]
    assert calls_of(task(record, cache_expiration=1e-6, name="other"), store) == [[1, 2], [1, 2]]


def test_a_refresh_alone_is_a_cache(store: str) -> None:
    """refresh_cache=True runs each time and keeps what it gives, as DEFAULT would find it; False asks for nothing."""
    assert calls_of(task(record, refresh_cache=True), store) == [[1, 2], [1, 2]]
    assert calls_of(task(record, cache_policy=DEFAULT), store, times=1) == [[]]
    assert task(record, refresh_cache=False).spec.persistence.asked_for is None  # type: ignore[union-attr]


# How


def test_a_serializer_is_chosen_by_name(store: str) -> None:
    """With "json" the result lies in the store as JSON, the flow's choice yields to the task's."""

    @flow(cluster="inline", result_storage=store, result_serializer="json")
    def main() -> None:
        task(lambda: {"a": [1, None]}, name="made", cache_policy=INPUTS)()
        double.with_options(result_serializer="pickle")(5)

    main()
    contents = {name.split("/")[1].rpartition("-")[0]: Path(store, name).read_bytes() for name in packs_in(store)}
    assert b'{"a":[1,null]}' in contents["made"].replace(b" ", b"")
    assert b"json" in contents["made"]
    assert b"json" not in contents["double"]


def test_a_serializer_that_does_not_exist_is_refused_before_the_run(store: str) -> None:
    """A misspelled name must not cost the work, wherever it stands; the error lists those there are."""
    told = r"result_serializer of task 'record': no serializer is called 'jsn'\n  instead: one of arrow, bytes, json"
    with pytest.raises(TaskDefinitionError, match=told):
        calls_of(task(record, cache_policy=INPUTS, result_serializer="jsn"), store)
    with pytest.raises(TaskDefinitionError, match=told):
        calls_of(task(record, cache_policy=INPUTS), store, result_serializer="jsn")
    assert ran == []


def test_what_the_serializer_does_not_take_fails_the_element(store: str) -> None:
    """A set is no JSON: that element fails and says what to do; the other is kept."""

    @flow(cluster="inline", result_storage=store, result_serializer="json")
    def main() -> None:
        made = task(lambda x: {1} if x else [1], name="made", cache_policy=INPUTS).map([0, 1])
        made.wait()
        assert [element.state.name for element in made] == ["Completed", "Failed"]
        assert made[1].state.message.startswith("Unserializable: ")
        assert "use serializer 'pickle'" in made[1].state.message
        assert made[0].reference() is not None
        assert made[1].reference() is None

    main()


# What the states say


def test_states_of_found_results(store: str) -> None:
    """Found elements are Cached, which counts as completed; a map is Cached if all its elements are."""

    @flow(cluster="inline", result_storage=store)
    def main(xs: list[int]) -> list[str]:
        elements = double.map(xs)
        elements.wait()
        states = [elements.state, *(element.state for element in elements)]
        assert all(state.is_completed() and state.is_final() and not state.is_failed() for state in states)
        assert [state.is_cached() for state in states] == [state.name == "Cached" for state in states]
        assert elements.result() == [2 * x for x in xs]
        return [state.name for state in states]

    assert main([1, 2]) == ["Completed", "Completed", "Completed"]
    assert main([1, 2]) == ["Cached", "Cached", "Cached"]
    assert main([1, 2, 3]) == ["Completed", "Cached", "Cached", "Completed"]


def test_a_call_that_was_found_says_so(store: str) -> None:
    """A plain call with return_state=True gives a Cached state with the value."""

    @flow(cluster="inline", result_storage=store)
    def main() -> tuple[str, int]:
        state = double(4, return_state=True)
        return state.name, state.result()

    assert [main(), main()] == [("Completed", 8), ("Cached", 8)]


def test_none_is_a_result(store: str) -> None:
    """A task that gives None is not run again."""

    def nothing(x: int) -> None:
        ran.append(x)

    assert calls_of(task(nothing, cache_policy=INPUTS), store) == [[1, 2], []]


def test_the_same_call_twice_in_one_run_is_computed_once(store: str) -> None:
    """Asked for again by a call, by submit, by an element of a map, or twice within a map."""

    @flow(cluster="inline", result_storage=store)
    def main() -> list[Any]:
        return [double(1), double(1), double.submit(1).result(), *double.map([1, 2, 2, 1]).result()]

    assert main() == [2, 2, 2, 2, 4, 4, 2]
    assert ran == [1, 2]


def test_a_map_after_a_cached_one_gets_its_values(store: str) -> None:
    """A task without a cache behind one with a cache runs with the values that were found."""

    @flow(cluster="inline", result_storage=store)
    def main() -> list[int]:
        return task(record).map(double.map([1, 2, 3])).result()

    assert main() == [2, 4, 6]
    ran.clear()
    assert main() == [2, 4, 6]
    assert ran == [2, 4, 6]


def test_a_list_that_was_found_is_mapped_over(store: str) -> None:
    """The length of a found list is known to the map over it."""

    @flow(cluster="inline", result_storage=store)
    def main() -> list[int]:
        return double.map(task(lambda: [1, 2, 3], name="made", cache_policy=INPUTS).submit()).result()

    assert [main(), main()] == [[2, 4, 6], [2, 4, 6]]
    assert ran == [1, 2, 3]


# References


def test_a_reference_is_loaded_by_another_process(store: str) -> None:
    """Written down as text, it gives the value where nothing of this process is known."""

    @flow(cluster="inline", result_storage=store)
    def main() -> list[str]:
        elements = double.map([1, 2])
        return [str(elements[1].reference()), str(double.submit(3).reference())]

    texts = main()
    assert [load(text) for text in texts] == [4, 6]
    code = "import json, sys; from dataflow.results import load; print(json.dumps([load(t) for t in sys.argv[1:]]))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "results")])}
    done = subprocess.run(
        [sys.executable, "-c", code, *texts], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [4, 6]


def test_the_reference_of_a_found_result_is_that_of_the_one_who_made_it(store: str) -> None:
    """Two runs, one result, one reference; what is not kept has none, and a whole map has one for each element."""

    @flow(cluster="inline", result_storage=store)
    def main() -> ResultReference | None:
        return double.submit(1).reference()

    assert main() == main()
    assert ran == [1]

    @flow(cluster="inline")
    def without() -> Any:
        assert task(record).submit(1).reference() is None
        return double.map([1]).reference()

    with pytest.raises(UsageError, match=r"a map has a result for each element\n  instead: future\[0\]"):
        without()


def test_results_kept_by_place_have_references_too(store: str) -> None:
    """Without a policy a result is found by its reference all the same."""

    @flow(cluster="inline", result_storage=store)
    def main() -> Any:
        elements = task(record, persist_result=True).map([5, 6])
        return [elements[1].reference(), task(record, persist_result=True).submit(7).reference()]

    assert [load(reference) for reference in main()] == [6, 7]
