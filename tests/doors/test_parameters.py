"""Parameters: those of the graph door, and arguments of a ``@flow``, checked by annotation before anything runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pydantic
import pytest

from dataflow.errors import FlowValidationError, HandleError, ParameterError
from dataflow.flows import Flow, flow
from dataflow.parameters import Parameter
from dataflow.tasks import task

ran: list[Any] = []


@task
def add(x: Any, y: Any = 1) -> Any:
    return x + y


def test_values_come_with_the_run() -> None:
    """A parameter takes its value from the run, by dict or keyword, or its default."""
    with Flow("values") as graph:
        n = Parameter("n", default=1)
        plus = add(n)
    assert graph.run(cluster="inline").result[plus].result == 2
    assert graph.run({"n": 5}, cluster="inline").result[plus].result == 6
    assert graph.run(n=7, cluster="inline").result[plus].result == 8
    assert graph.run(n=7, cluster="inline").result[n].result == 7


def test_parameter_is_mapped_over() -> None:
    """A list that comes as a parameter is iterated at run time."""
    with Flow("mapped") as graph:
        sums = add.map(Parameter("numbers"), 10)
    assert graph.run(numbers=[1, 2], cluster="inline").result[sums].result == [11, 12]
    assert graph.run(numbers=[], cluster="inline").result[sums].result == []


def test_parameter_made_outside_joins_the_flow_that_uses_it() -> None:
    """One parameter object may serve several flows, nested in containers too."""
    n = Parameter("n", default=2)
    with Flow("one") as one:
        first = add(n)
    with Flow("two") as two:
        second = task(lambda pair: pair["n"][0] * 10)({"n": [n]})
    assert one.run(cluster="inline").result[first].result == 3
    assert two.run(n=4, cluster="inline").result[second].result == 40
    assert two.run(n=4, cluster="inline").result[n].result == 4
    with pytest.raises(HandleError, match="belongs to no flow"):
        n + 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "no value for the parameters: a"),
        ({"a": 1, "z": 1}, "unknown parameters: z"),
        ({"a": "x"}, "a='x': Input should be a valid integer"),
    ],
)
def test_wrong_parameters_start_nothing(given: dict[str, Any], problem: str) -> None:
    """A missing, unknown or wrong parameter is told before anything runs."""
    ran.clear()
    with Flow("checked") as graph:
        task(ran.append)(Parameter("a", annotation=int))
        Parameter("b", default=1)
    with pytest.raises(ParameterError, match=problem):
        graph.run(given, cluster="inline")
    assert ran == []


def test_annotation_converts() -> None:
    """A value that can be read as the annotated type arrives as that type."""
    with Flow("converted") as graph:
        plus = add(Parameter("n", annotation=int))
    assert graph.run(n="41", cluster="inline").result[plus].result == 42


def test_default_must_fit() -> None:
    """A default that does not fit its annotation is refused where it is written."""
    with pytest.raises(ParameterError, match="valid integer"):
        Parameter("n", default="x", annotation=int)


@pytest.mark.parametrize("name", ["", "a b", "1"])
def test_name_of_a_parameter(name: str) -> None:
    """A parameter can be given as a keyword, so its name is a word."""
    with pytest.raises(ParameterError, match="no name for a parameter"):
        Parameter(name)


def test_two_parameters_of_one_name() -> None:
    """Two parameters of one name in one flow are a complaint."""
    with pytest.raises(FlowValidationError, match="two parameters are called 'n'"), Flow("twice"):
        Parameter("n")
        Parameter("n")


class Settings(pydantic.BaseModel):
    rate: float


@dataclasses.dataclass
class Place:
    name: str


@flow(cluster="inline")
def typed(
    n: int, /, names: list[str], settings: Settings | None = None, *more: float, array: Any = None, **rest: int
) -> Any:
    return n, names, settings, more, array, rest


def test_arguments_arrive_as_annotated() -> None:
    """Every kind of parameter is converted by its annotation, models and collected arguments too."""
    result = typed("5", ("a",), {"rate": "0.5"}, "1", 2, array="x", k="3")  # type: ignore[arg-type]
    assert result == (5, ["a"], Settings(rate=0.5), (1.0, 2.0), "x", {"k": 3})


def test_defaults_are_left_alone() -> None:
    """A default is the author's and is not converted."""

    @flow(cluster="inline")
    def late(n: int = "7") -> Any:  # type: ignore[assignment]
        return n

    assert late() == "7"


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "missing a required argument: 'n'"),
    ((1,), {}, "missing a required argument: 'names'"),
    ((1, "abc"), {}, "names='abc': Input should be a valid list"),
    ((1, [2]), {}, "names[0]=2: Input should be a valid string"),
    ((1, [], {"rate": "x"}), {}, "settings['rate']='x'"),
    ((1, []), {"k": "x"}, "rest['k']='x'"),
    (("x", []), {}, "n='x': Input should be a valid integer"),
]


@pytest.mark.parametrize(("arguments", "keywords", "problem"), WRONG)
def test_wrong_arguments_start_no_run(arguments: Any, keywords: Any, problem: str) -> None:
    """A wrong argument is told with its path before any run starts."""
    ran.clear()
    watched = flow(lambda *a, **k: ran.append(a))
    watched.signature, watched._validator = typed.signature, typed._validator
    with pytest.raises(ParameterError) as caught:
        watched(*arguments, **keywords)
    assert problem in caught.value.problem
    assert ran == []


def test_all_wrong_arguments_are_told_at_once() -> None:
    """Two wrong arguments give one error with both."""
    with pytest.raises(ParameterError, match=r"n='x'.*names='y'"):
        typed("x", "y")  # type: ignore[arg-type]


def test_arbitrary_types() -> None:
    """A class that pydantic does not know is checked by isinstance; an array is passed on as the same object."""

    @flow(cluster="inline")
    def measure(array: np.ndarray, place: Place, copy: int, _hidden: int = 0) -> Any:
        return array, place, copy, _hidden

    array = np.zeros(3)
    result = measure(array, Place("x"), copy="1", _hidden="2")  # type: ignore[arg-type]
    assert result[0] is array
    assert result[1:] == (Place("x"), 1, 2)
    with pytest.raises(ParameterError, match="instance of ndarray"):
        measure([1], Place("x"), 1)


def test_local_types() -> None:
    """An annotation that names a class of the surrounding function is resolved."""

    @dataclasses.dataclass
    class Local:
        x: int

    @flow(cluster="inline")
    def use(local: Local) -> int:
        return local.x

    assert use(Local(3)) == 3


def test_unresolvable_annotation() -> None:
    """A name that nobody defined is told, with the way around."""

    @flow(cluster="inline")
    def lost(x: Nowhere) -> Any:  # type: ignore[name-defined]  # noqa: F821
        return x

    with pytest.raises(ParameterError, match=r"Nowhere.*[\s\S]*validate_parameters=False"):
        lost(1)
    assert lost.with_options(validate_parameters=False)(1) == 1


def test_validation_can_be_left_out() -> None:
    """validate_parameters=False passes arguments on as they are; a missing one is still an error."""
    loose = typed.with_options(validate_parameters=False)
    assert loose("5", "abc")[:2] == ("5", "abc")  # type: ignore[arg-type]
    with pytest.raises(ParameterError):
        loose()  # type: ignore[call-arg]


def test_long_values_are_shortened_in_messages() -> None:
    """A large wrong argument does not flood the message."""
    with pytest.raises(ParameterError) as caught:
        typed("x" * 10_000, [])  # type: ignore[arg-type]
    assert len(str(caught.value)) < 500
