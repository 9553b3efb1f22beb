"""The laws of the canonical form of plain values, for values that nobody thought of."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.canonical import encode, encode_many

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0]),
    st.text(max_size=80),
    st.binary(max_size=80),
    st.complex_numbers(allow_nan=False),
)
KEYS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.binary(max_size=8), st.floats(allow_nan=False)
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers of what is given."""
    sets = st.sets(KEYS, max_size=4)
    return st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        sets,
        sets.map(frozenset),
    )


VALUES = st.recursive(LEAVES, nested, max_leaves=12)


def told_apart(value: Any) -> Any:
    """A value in a form whose Python equality is ours: types count, NaN equals itself, -0.0 is not 0.0."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else struct.pack(">d", value))
    if isinstance(value, complex):
        return ("complex", told_apart(value.real), told_apart(value.imag))
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(map(told_apart, value)))
    if isinstance(value, set | frozenset):
        return (type(value).__name__, frozenset(map(told_apart, value)))
    if isinstance(value, dict):
        return ("dict", frozenset((told_apart(key), told_apart(item)) for key, item in value.items()))
    return (type(value).__name__, value)


def shuffled(value: Any, luck: random.Random) -> Any:
    """An equal value whose dicts and sets were filled in another order."""
    if isinstance(value, list | tuple):
        return type(value)(shuffled(item, luck) for item in value)
    if isinstance(value, set | frozenset):
        return type(value)(luck.sample(sorted(value, key=repr), len(value)))
    if isinstance(value, dict):
        return {key: shuffled(value[key], luck) for key in luck.sample(list(value), len(value))}
    return value


@settings(max_examples=400, deadline=None)
@given(VALUES, VALUES)
def test_equal_bytes_mean_equal_values(one: Any, other: Any) -> None:
    """Two values have the same form exactly if they are equal and of the same types."""
    assert (encode(one) == encode(other)) == (told_apart(one) == told_apart(other))


@settings(max_examples=200, deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_order_of_filling_does_not_matter(value: Any, luck: random.Random) -> None:
    """Dicts and sets filled in another order have the same form."""
    assert encode(shuffled(value, luck)) == encode(value)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_no_form_begins_another(one: Any, other: Any) -> None:
    """Forms can follow each other without separators."""
    first, second = encode(one), encode(other)
    assert first == second or not (first.startswith(second) or second.startswith(first))


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_forms_are_short(value: Any) -> None:
    """Whatever the value, its form has at most 67 bytes."""
    assert 2 <= len(encode(value)) <= 67


COLUMNS = st.one_of(
    st.lists(VALUES, max_size=30),
    st.lists(st.integers(), max_size=30),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30).map(tuple),
    st.lists(st.floats(), max_size=30),
    st.lists(st.text(max_size=70), max_size=30),
    st.lists(st.sampled_from(["a", "\ud800", "\udfff"]), max_size=30),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-2, 1, 3])),
    st.lists(st.integers(-99, 99), max_size=9).map(lambda held: np.array(held, dtype=np.int16)),
    st.lists(st.floats(), max_size=9).map(lambda held: np.array(held, dtype=">f8")),
    st.lists(st.booleans(), max_size=9).map(np.array),
    st.lists(st.integers(0, 10**6), max_size=9).map(lambda held: np.array(held, dtype="datetime64[s]")),
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=9).map(np.array),
    st.lists(st.integers(), max_size=9).map(lambda held: np.array(held, dtype=object)),
    st.integers(1, 4).map(lambda rows: np.zeros((rows, 2))),
)


@settings(max_examples=300, deadline=None)
@given(COLUMNS)
def test_many_at_once_is_one_by_one(column: Any) -> None:
    """A column gives what its elements give one by one."""
    assert encode_many(column) == [encode(element) for element in column]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(), min_size=14, max_size=20))
def test_long_lists_take_the_same_form_as_short_ones(values: list[int]) -> None:
    """The way that is fast for long lists of one type is not seen in the result."""
    mixed = [*values, "end"]
    walked = encode(mixed)
    assert walked == encode([*mixed])
    assert encode(values) != walked
    assert encode([[value] for value in values]) != encode([values])
