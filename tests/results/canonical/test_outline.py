"""The outline of a value: enough to say which part of it changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest

from dataflow_results.canonical import outline


@dataclasses.dataclass
class Config:
    rate: float
    names: list[str]


def differences(one: Any, other: Any) -> set[str]:
    """The paths at which two values differ."""
    before, after = outline(one), outline(other)
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


CASES: list[tuple[Any, Any, set[str]]] = [
    (1, 2, {"value"}),
    ({"a": [1, 2]}, {"a": [1, 3]}, {"value['a'][1]"}),
    (Config(0.1, ["a"]), Config(0.2, ["a"]), {"value.rate"}),
    (Config(0.1, ["a"]), Config(0.1, ["a", "b"]), {"value.names[1]"}),
    ("x" * 1000, "x" * 999 + "y", {"value"}),
    (np.zeros(3), np.ones(3), {"value"}),
    (pd.DataFrame({"a": [1.0], "b": [1.0]}), pd.DataFrame({"a": [1.0], "b": [2.0]}), {"value.iloc[:, 1].values"}),
    ([], {}, {"value"}),
    (int, str, {"value"}),
    ({1, 2}, {2, 1}, set()),
]


@pytest.mark.parametrize(("one", "other", "paths"), CASES)
def test_differences_are_found_at_their_path(one: Any, other: Any, paths: set[str]) -> None:
    """Two outlines differ exactly where the values do."""
    assert differences(one, other) == paths


def test_small_values_are_shown() -> None:
    """Short leaves are shown as text."""
    assert outline(Config(0.5, ["a"]), "argument 'c'") == {"argument 'c'.rate": "0.5", "argument 'c'.names[0]": "'a'"}


def test_the_number_of_leaves_is_bounded() -> None:
    """What is beyond the limit stands as one digest that still differs."""
    one, other = outline(list(range(1000)), limit=5), outline([*range(999), 0], limit=5)
    assert len(one) == 6
    assert {path for path in one if one[path] != other[path]} == {"..."}


def test_unknown_values_and_cycles_do_not_stop_it() -> None:
    """An outline is for explaining; it is given for every value."""
    value: list[Any] = [object()]
    value.append(value)
    assert outline(value) == {"value[0]": "object without canonical form", "value[1]": "the value 1 levels above"}


def test_secrets_are_not_shown() -> None:
    """A secret is shown by its digest only."""
    shown = outline({"password": pydantic.SecretStr("hunter2")})
    assert "hunter2" not in str(shown)
    assert shown != outline({"password": pydantic.SecretStr("hunter3")})


def test_functions_show_their_parts() -> None:
    """A function is shown by the parts of its source."""

    def helper(x: int) -> int:
        return x

    def f(x: int) -> int:
        return helper(x)

    prefix = "value source of tests.results.canonical.test_outline.test_functions_show_their_parts.<locals>."
    assert {f"{prefix}f", f"{prefix}helper"} <= set(outline(f))
