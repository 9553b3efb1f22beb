"""What the package offers by name is sorted, real, documented, and complete."""

from __future__ import annotations

import importlib
import pkgutil
import types

import pytest

import dataflow

PROMISED = {
    "Flow",
    "Parameter",
    "allow_failure",
    "as_completed",
    "flatten",
    "flow",
    "mapped",
    "task",
    "unmapped",
    "wait",
}
MODULES = sorted(module.name for module in pkgutil.walk_packages(dataflow.__path__, prefix="dataflow."))


def in_order(names: list[str]) -> list[str]:
    """Constants, then classes, then functions, each by name: the order that ruff keeps in files too."""
    return sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_the_promised_names_are_there() -> None:
    """Everything the documentation imports from the package root can be imported from it."""
    assert set(dataflow.__all__) >= PROMISED


@pytest.mark.parametrize("name", ["dataflow", *MODULES])
def test_all_is_sorted_and_true(name: str) -> None:
    """``__all__`` of every module is sorted, has no doubles, and names only what exists."""
    module = importlib.import_module(name)
    names = list(getattr(module, "__all__", ()))
    assert names == in_order(names)
    assert [missing for missing in names if not hasattr(module, missing)] == []


def test_nothing_leaks_from_the_root() -> None:
    """Public names of the root are its ``__all__`` and its modules, not what it happened to import."""
    public = {name for name, value in vars(dataflow).items() if not name.startswith("_")}
    modules = {name for name in public if isinstance(getattr(dataflow, name), types.ModuleType)}
    leaked = public - modules - set(dataflow.__all__) - {"annotations"}  # `from __future__ import annotations`
    assert leaked == set()


def test_every_public_name_says_what_it_is() -> None:
    """Each name of the root has a docstring of its own."""
    assert [name for name in dataflow.__all__ if not (getattr(dataflow, name).__doc__ or "").strip()] == []
