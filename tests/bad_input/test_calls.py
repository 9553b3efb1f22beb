"""Bad calls: not a function, wrong arguments, and what cannot be mapped. All are refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataflow import Flow, flow, task, unmapped
from dataflow.errors import ArgumentError, MapError, MapLengthError, TaskDefinitionError
from tests.bad_input.checks import refused

Door = Callable[[Callable[[], Any]], Any]


@task
def add(x: Any, y: Any) -> Any:
    """Two arguments."""
    return x + y


@task
def increase(x: Any, by: int = 1) -> Any:
    """One argument and a default."""
    return x + by


def in_flow_function(body: Callable[[], Any]) -> None:
    """Run calls in the body of a flow."""
    flow(lambda: body() and None, name="bad", cluster="inline")()


def in_graph(body: Callable[[], Any]) -> None:
    """Add calls to a graph."""
    with Flow("bad"):
        body()


DOORS = pytest.mark.parametrize("door", [in_flow_function, in_graph])


@pytest.mark.parametrize("thing", [3, "load", 2.5, [1]])
def test_only_functions_become_tasks(thing: object) -> None:
    """``task(3)`` names what it got."""
    with refused(TaskDefinitionError, "@task", repr(thing)):
        task(thing)  # type: ignore[call-overload]


@DOORS
def test_a_missing_argument_is_named(door: Door) -> None:
    """``add(1)`` lacks y."""
    with refused(ArgumentError, "add", "for y"):
        door(lambda: add(1))  # type: ignore[call-overload]


@DOORS
def test_an_extra_argument_is_refused(door: Door) -> None:
    """``add(1, 2, 3)`` has one too many; the message shows the signature."""
    with refused(ArgumentError, "add", "(x", "y"):
        door(lambda: add(1, 2, 3))  # type: ignore[call-overload]


@DOORS
def test_an_unknown_keyword_is_named(door: Door) -> None:
    """``add(1, 2, z=3)`` has no z."""
    with refused(ArgumentError, "add", " z"):
        door(lambda: add(1, 2, z=3))  # type: ignore[call-overload]


@DOORS
def test_a_missing_argument_of_a_map_is_named(door: Door) -> None:
    """``add.map([1])`` lacks y."""
    with refused(ArgumentError, "add", "for y"):
        door(lambda: add.map([1]))


@DOORS
def test_unequal_lengths_name_each_argument_and_its_length(door: Door) -> None:
    """Two against three; nothing is cut off in silence."""
    with refused(MapLengthError, "add", "x", "2", "y", "3", "strict=False"):
        door(lambda: add.map([1, 2], [1, 2, 3]))


@DOORS
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": 1}, "dict"),
        ({1, 2}, "set"),
        (frozenset({1}), "frozenset"),
        ({"a": 1}.items(), "dict_items"),
        (pd.DataFrame({"a": [1]}), "DataFrame"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_clear_elements_is_refused(door: Door, value: Any, kind: str) -> None:
    """Keys, items or values? Rows or columns? The user must say."""
    with refused(MapError, "add", "y", kind):
        door(lambda: add.map([1], value))


@DOORS
def test_a_dict_can_be_given_whole_or_as_a_list(door: Door) -> None:
    """The two fixes that the message offers are right."""
    with refused(MapError, "unmapped(", "list("):
        door(lambda: increase.map({"a": 1}))
    door(lambda: add.map([(), ()], unmapped((1, 2))))
    door(lambda: increase.map(list({1: 2}.keys())))


@DOORS
@pytest.mark.parametrize("value", [1, "text", b"bytes", None, np.array(5), unmapped([1, 2])], ids=repr)
def test_nothing_to_map_is_refused(door: Door, value: Any) -> None:
    """A map without any iterated argument is a mistake, also when a string looks like a sequence."""
    with refused(MapError, "increase"):
        door(lambda: increase.map(value))


def test_a_default_is_not_iterated() -> None:
    """``[1, 2]`` as a default goes whole to each element."""

    def count(x: int, weights: Any = (1, 2)) -> int:
        return x + len(weights)

    @flow(cluster="inline")
    def main() -> list[int]:
        return task(count).map([10, 20, 30]).result()

    assert main() == [12, 22, 32]
