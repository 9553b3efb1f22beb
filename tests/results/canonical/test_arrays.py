"""numpy arrays and scalars: content, shape and dtype count, memory does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow_results.canonical import encode

BASE = np.arange(24.0).reshape(4, 6)
STRUCTURED = np.dtype([("a", "i1"), ("b", "f8")], align=True)


class Labelled(np.ndarray):  # type: ignore[type-arg]
    """An array that carries a unit, as libraries make them."""

    unit: str


def labelled(unit: str) -> Labelled:
    """An array with a unit."""
    made = np.arange(3).view(Labelled)
    made.unit = unit
    return made


def padded(fill: int) -> Any:
    """A structured array between whose fields lies a chosen byte."""
    raw = np.full(2 * STRUCTURED.itemsize, fill, np.uint8)
    held = raw.view(STRUCTURED)
    held["a"], held["b"] = 1, 2.0
    return held


def under_mask(value: float) -> Any:
    """A masked array with a chosen value that nobody sees."""
    return np.ma.array([1.0, value], mask=[False, True])


BIG = np.random.default_rng(1).random((700, 900))

SAME: list[tuple[str, Any, Any]] = [
    ("Fortran order", BASE, np.asfortranarray(BASE)),
    ("a large array in Fortran order", BIG, np.asfortranarray(BIG)),
    ("a transposed copy", BIG.T, BIG.T.copy()),
    ("every second", BIG[::2, ::3], BIG[::2, ::3].copy()),
    ("backwards", BIG[::-1], BIG[::-1].copy()),
    ("byte order", BASE, BASE.astype(">f8")),
    ("large byte order", BIG, BIG.astype(">f8")),
    ("padding", padded(0), padded(255)),
    ("under the mask", under_mask(2), under_mask(3)),
    ("long rows", np.ones((2, 400_000)), np.asfortranarray(np.ones((2, 400_000)))),
]

DIFFERENT: list[tuple[str, Any, Any]] = [
    ("shapes", BASE, BASE.reshape(6, 4)),
    ("dtypes of one content", np.zeros(2, "i4"), np.zeros(2, "u4")),
    ("bits of two dtypes", np.zeros(2, "i8"), np.zeros(2, "f8")),
    ("one value", BASE, np.where(BASE == 5, 6, BASE)),
    ("array and list", np.array([1, 2]), [1, 2]),
    ("scalar and array", np.float64(1), np.array(1.0)),
    ("scalar and number", np.float64(1), 1.0),
    ("empty shapes", np.zeros((0, 2)), np.zeros((0, 3))),
    ("units of dates", np.array([1], "M8[s]"), np.array([1], "M8[ns]")),
    ("date and number", np.array([1], "M8[s]"), np.array([1], "i8")),
    ("object arrays", np.array([1, "a"], object), np.array([1, "b"], object)),
    ("numbers in object arrays", np.array([1], object), np.array([1.0], object)),
    ("field names", np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
    ("masks", under_mask(2), np.ma.array([1.0, 2.0], mask=[True, False])),
    ("units", labelled("m"), labelled("s")),
    ("unit and none", labelled("m"), np.arange(3)),
    ("dtypes", np.dtype("i4"), np.dtype("i8")),
    ("ufuncs", np.sin, np.cos),
    ("text widths", np.array(["a"], "U1"), np.array(["a"], "U2")),
    ("long floats", np.array([1], np.longdouble), np.array([2], np.longdouble)),
    ("records", np.zeros(1, STRUCTURED)[0], np.ones(1, STRUCTURED)[0]),
]


def named(cases: list[tuple[str, Any, Any]]) -> list[Any]:
    """Cases as parameters of a test."""
    return [pytest.param(one, other, id=name) for name, one, other in cases]


@pytest.mark.parametrize(("one", "other"), named(SAME))
def test_these_are_the_same(one: Any, other: Any) -> None:
    """How memory holds the array does not matter."""
    assert encode(one) == encode(other)


@pytest.mark.parametrize(("one", "other"), named(DIFFERENT))
def test_these_differ(one: Any, other: Any) -> None:
    """Arrays that differ to a function differ in their form."""
    assert encode(one) != encode(other)


def test_a_mapped_file_is_its_content(tmp_path: Path) -> None:
    """An array that lies in a file is the array."""
    np.save(tmp_path / "a.npy", BASE)
    assert encode(np.load(tmp_path / "a.npy", mmap_mode="r")) == encode(BASE)


def test_every_position_counts() -> None:
    """A change anywhere in a large array that is not contiguous is seen."""
    array = np.asfortranarray(BIG)
    before = encode(array)
    for place in [(0, 0), (699, 899), (350, 1), (1, 450)]:
        changed = array.copy(order="F")
        changed[place] += 1
        assert encode(changed) != before


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="numpy has them since 2.0")
def test_variable_width_strings_count_by_content() -> None:
    """An array of numpy's strings of any length is told by its strings."""
    kind = np.dtypes.StringDType()
    assert encode(np.array(["a", "bb"], kind)) == encode(np.array(["a", "bb"], kind))
    assert encode(np.array(["a", "bb"], kind)) != encode(np.array(["a", "bc"], kind))
