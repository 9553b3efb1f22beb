"""The parts that pausing is made of: types of input, their schemas, entry points, and what an approval says."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import pytest
from distributed import Client
from pydantic import Field

from dataflow import Flow, context, flow, task
from dataflow.errors import InputError, UsageError
from dataflow.input import InputType, RunInput
from dataflow.input_schemas import complaints
from dataflow.limits import concurrency
from dataflow.pauses import PAUSE, Pauses
from dataflow.recording.entrypoints import entrypoint_of, load_entrypoint
from dataflow.triggers import manual_only


class Place(RunInput):
    """Where."""

    city: str
    street: str | None = None


class Order(RunInput):
    """Fields of many kinds."""

    place: Place
    sizes: list[int] = Field(default_factory=list)
    colour: Literal["red", "blue"] = "red"
    is_urgent: bool = False


GOOD = {"place": {"city": "Rome"}, "sizes": [1, "2"], "colour": "blue", "is_urgent": "yes"}


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (Order, GOOD, []),
        (Order, {}, ["place: is missing"]),
        (Order, {**GOOD, "place": "Rome"}, ["place: 'Rome' is no object"]),
        (Order, {**GOOD, "place": {"city": 3}}, ["place.city: 3 is no string"]),
        (Order, {**GOOD, "sizes": [1, "two"]}, ["sizes[1]: 'two' is no integer"]),
        (Order, {**GOOD, "colour": "green"}, ["colour: 'green' is none of 'red', 'blue'"]),
        (Order, {**GOOD, "colur": "red"}, ["colur: there is no such field, only place, sizes, colour, is_urgent"]),
        (Place, {"city": "Rome", "street": 3}, ["street: 3 is no string and 3 is no null"]),
        (int, {"value": "3"}, []),
        (float, "1e3", []),
        (int | None, None, []),
        (int | None, {"value": 3}, []),
        (int, "nan", ["'nan' is no integer"]),
        (bool, "True", []),
        (timedelta, 5, []),
        (Place, Place(city="Rome"), []),
        (dict[str, int], {"value": 3}, []),
    ],
)
def test_a_schema_refuses_what_cannot_fit(kind: Any, value: Any, found: list[str]) -> None:
    """All that does not fit is named with its place; what pydantic would convert passes, as it does in the run."""
    schema = InputType(kind, where="pause-1").schema
    assert schema is not None
    assert complaints(schema, value) == found
    if not found:
        InputType(kind, where="pause-1").validate(value)


def test_a_type_that_cannot_be_checked_is_refused() -> None:
    """Before anybody waits for it."""
    with pytest.raises(UsageError, match="cannot be checked\n  instead: a builtin type"):
        InputType(threading.Lock, where="pause-1")


def test_initial_data_must_be_fields() -> None:
    """A misspelt field is an error that names the others; constraints stay."""
    with pytest.raises(UsageError, match=r"there is no field citi\n  instead: its fields are: city, street"):
        Place.with_initial_data(citi="Rome")
    described = Place.with_initial_data(description="Where to?", city="Rome")
    assert InputType(described, where="pause-1").description == "Where to?"
    with pytest.raises(InputError, match="city: Input should be a valid string"):
        InputType(described, where="pause-1").validate({"city": 3})


# Entry points


@flow(cluster="inline")
def findable() -> int:
    """A flow at the top level of a module."""
    return 1


with Flow("graph") as graph_flow:
    pass


@pytest.fixture
def as_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script with a flow, and this process as if it ran another one."""
    script = tmp_path / "entrypoint_script.py"
    script.write_text("from dataflow import flow\n@flow(cluster='inline')\ndef work():\n    return 3\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield script
    module = sys.modules.pop("entrypoint_script", None)
    if module is not None:
        sys.modules["entrypoint_script"] = module
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules["entrypoint_script"]


def test_a_flow_of_a_module_is_found_again() -> None:
    """By the name of the module and its own; flows without a name at the top level have none."""
    assert entrypoint_of(findable) == f"{__name__}:findable"
    assert load_entrypoint(f"{__name__}:findable") is findable
    assert entrypoint_of(graph_flow) == f"{__name__}:graph_flow"
    assert entrypoint_of(findable.with_options(name="other")) == ""


def test_a_flow_of_a_script_is_found_by_its_file(as_script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as ``__main__`` is known by its file; loaded, it is a module of the name of the file."""
    main = types.ModuleType("__main__")
    main.__file__ = str(as_script)
    exec(compile(as_script.read_text(), str(as_script), "exec"), main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert entrypoint_of(main.work) == f"{as_script}:work"
    assert load_entrypoint(f"{as_script}:work") is main.work
    monkeypatch.undo()
    found = load_entrypoint(f"{as_script}:work")
    assert (found(), found.fn.__module__) == (3, "entrypoint_script")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no_such_module:work", "it cannot be imported"),
        ("/no/such/file.py:work", "there is no such file"),
        (f"{__name__}:nothing", "there is no 'nothing' in it"),
        (f"{__name__}:GOOD", "it is no flow, but a dict"),
        ("work", "it names no module"),
    ],
)
def test_what_is_not_found_says_why(text: str, problem: str) -> None:
    """Each part of an entry point can be wrong."""
    with pytest.raises(UsageError, match=problem):
        load_entrypoint(text)


# Approvals with input, limits


@task(trigger=manual_only, retries=1, retry_delay_seconds=0.01)
def release(x: int) -> str:
    """Fails at first; says what it was told by who approved it."""
    if context.get("attempt") == 1:
        raise ConnectionError("not now")
    return f"{x}: {context.get('approval')}"


@task
def plus(x: int) -> Any:
    """What stands before."""
    return x + 1


def check_approval(cluster: Any) -> None:
    """Approve a map with input; each element, also in its second attempt, is told."""
    with Flow("releases") as releases:
        released = release.map(plus.map([0, 1]))
    state = releases.run(cluster=cluster)
    assert state.name == "Paused"
    assert state.approve(released, run_input={"by": "Ada"}).name == "Completed"
    assert state.result[released].result == ["1: {'by': 'Ada'}", "2: {'by': 'Ada'}"]


def test_an_approval_tells_the_task_something() -> None:
    """What was given with it is found in the context of the task."""
    check_approval("inline")


def test_an_approval_reaches_the_workers(client: Client) -> None:
    """The same on a cluster of processes."""
    check_approval(client)


@task(concurrency_limit=1)
def guarded(seconds: float) -> float:
    """One at a time."""
    with concurrency("pausing-test", limit=5):
        threading.Event().wait(seconds)
    return seconds


def test_a_paused_run_holds_no_place_of_a_limit() -> None:
    """Another flow gets the place while a run that waits for it is paused."""

    @flow(cluster="threads")
    def limited(count: int) -> list[float]:
        return guarded.map([0.001] * count).result()

    run = limited.start(200)
    assert run.run.wait_for_news(0, timeout=20)
    run.pause()
    other = limited.start(3)
    try:
        assert other.result(timeout=10) == [0.001] * 3
        assert run.state.is_paused()
    finally:
        run.resume()
    assert run.result(timeout=20) == [0.001] * 200


def test_an_answer_is_noted_after_its_question() -> None:
    """Whoever answers as soon as the pause is seen is not overwritten by the question: what is noted last counts."""
    noted: list[Any] = []
    pauses = Pauses(
        "5d2c1f0a9b3e",
        hold=lambda held: None,
        tell=lambda state: pauses.resume(3) if state.is_paused() else None,
        note=lambda question, answer: noted.append(getattr(answer, "value", None)),
        earlier=dict,
    )
    assert pauses.wait(pauses.question(PAUSE, int, 5.0, None)) == 3
    assert noted == [None, 3]
