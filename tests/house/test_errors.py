"""The tree of errors is drawn as it is, and every error crosses a process with all it knows."""

from __future__ import annotations

import inspect
import pickle
import re
import sys
from types import ModuleType

import pytest

import dataflow.errors
import dataflow_results.errors
from dataflow.errors import ArgumentError, DataflowError, FlowValidationError
from dataflow_results.errors import ExplainedError, ResultsError

ROOTS = {dataflow.errors: DataflowError, dataflow_results.errors: ResultsError}
"""The root of the tree that each module draws."""


def classes_of(module: ModuleType) -> list[type[ExplainedError]]:
    """The errors of a module's tree."""
    return [value for _, value in inspect.getmembers(module, inspect.isclass) if issubclass(value, ROOTS[module])]


CLASSES = [cls for module in ROOTS for cls in classes_of(module)]
BRANCH = re.compile(r"^(?P<bars>(?:│   |    )*)(?:[├└]── )?(?P<name>[A-Z]\w+)")


def drawn_tree(module: ModuleType) -> dict[str, str]:
    """Child to parent, as the module's docstring draws it."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.cleandoc(module.__doc__ or "").splitlines():
        text = line.removeprefix("    ") if line.startswith("    ") else ""
        found = BRANCH.match(text)
        if found is None:
            continue
        depth = len(found["bars"]) // 4 + (text[len(found["bars"])] in "├└")
        above[depth:] = [found["name"]]
        parents[found["name"]] = above[depth - 1] if depth else "ExplainedError"
    return parents


def build(cls: type[ExplainedError]) -> ExplainedError:
    """One error of a class, with every field filled."""
    if issubclass(cls, FlowValidationError):
        return cls("etl", [ArgumentError("x is missing", where="load", fix="load(x=1)")])
    return cls("it went wrong", where="load[3]", fix="write something else")


@pytest.mark.parametrize("module", ROOTS, ids=lambda module: module.__name__)
def test_the_drawn_tree_is_the_real_tree(module: ModuleType) -> None:
    """The picture in the docstring names every class at its true place."""
    assert drawn_tree(module) == {cls.__name__: cls.__bases__[0].__name__ for cls in classes_of(module)}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_pickle_with_their_fields(cls: type[ExplainedError]) -> None:
    """An error that travelled between processes has the same class, text and fields."""
    error = build(cls)
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is cls
    assert str(arrived) == str(error)
    assert (arrived.problem, arrived.where, arrived.fix) == (error.problem, error.where, error.fix)


def test_complaints_travel_too() -> None:
    """The single complaints of a flow are still errors of their own on the other side."""
    arrived = pickle.loads(pickle.dumps(build(FlowValidationError)))
    assert [(type(c), c.where) for c in arrived.complaints] == [(ArgumentError, "load")]


def test_text_says_what_where_and_instead() -> None:
    """The printed error has its three parts in a fixed order."""
    error = DataflowError("x cannot be iterated", where="load", fix="unmapped(x)")
    assert str(error) == "load: x cannot be iterated\n  instead: unmapped(x)"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_is_exported_and_explained(cls: type[ExplainedError]) -> None:
    """Each class is public and has one sentence that says when it is raised."""
    assert cls.__name__ in sys.modules[cls.__module__].__all__
    assert (cls.__doc__ or "").strip().endswith(".")
