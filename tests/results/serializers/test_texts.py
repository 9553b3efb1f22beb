"""Text, bytes and JSON: equal, or refused."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results.errors import CorruptResult, Unserializable
from dataflow_results.serializers import BytesSerializer, JsonSerializer, TextSerializer
from tests.results.serializers.round_trips import again, written

atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(atoms, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
Colour = enum.IntEnum("Colour", "RED")


class Pair(NamedTuple):
    a: int
    b: int


class Name(str):
    """A text with a class of its own."""

    __slots__ = ()


@given(st.text())
def test_text_is_its_utf8(text: str) -> None:
    """Any text comes back, and the file holds nothing else."""
    assert again(TextSerializer(), text) == text
    assert written(TextSerializer(), text) == text.encode()


@given(st.binary())
def test_bytes_are_as_they_are(data: bytes) -> None:
    """Any bytes come back as bytes, and the file holds nothing else."""
    assert written(BytesSerializer(), data) == data
    assert again(BytesSerializer(), data) == data
    assert type(again(BytesSerializer(), data)) is bytes


@pytest.mark.parametrize("value", [b"x", 1, Name("x"), "\ud800", None], ids=repr)
def test_text_takes_text_only(value: object) -> None:
    """Neither bytes, nor a subclass of str, nor half a character."""
    with pytest.raises(Unserializable):
        TextSerializer().dump(value)
    assert not TextSerializer().accepts(value)


@pytest.mark.parametrize(
    "value", ["x", bytearray(b"x"), memoryview(b"x"), None], ids=lambda value: type(value).__name__
)
def test_bytes_takes_bytes_only(value: object) -> None:
    """A bytearray would come back as bytes, so it is refused."""
    with pytest.raises(Unserializable):
        BytesSerializer().dump(value)
    assert not BytesSerializer().accepts(value)


def test_text_that_is_no_utf8_is_corrupt() -> None:
    """Latin-1 written by somebody else is not guessed at."""
    with pytest.raises(CorruptResult):
        TextSerializer().load(memoryview("é".encode("latin-1")))


@given(json_values)
def test_json_values_come_back_equal_and_of_the_same_type(value: object) -> None:
    """Equal with all types inside (repr tells 1 from 1.0 and from True), and readable by any parser of JSON."""
    assert repr(again(JsonSerializer(), value)) == repr(value)
    assert repr(json.loads(written(JsonSerializer(), value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, (2, 3)]}, "value['a'][1]"),
        ({"a": {1: "x"}}, "key 1 of value['a']"),
        ([Colour.RED], "value[0]"),
        ([Pair(1, 2)], "value[0]"),
        ([OrderedDict()], "value[0]"),
        ({Name("n"): 1}, "key 'n' of value"),
        ({1, 2}, "value"),
        ([b"x"], "value[0]"),
        ([np.float64(1.0)], "value[0]"),
        (Path("x"), "value"),
    ],
    ids=lambda value: str(value),
)
def test_json_refuses_what_would_come_back_as_something_else(value: object, where: str) -> None:
    """The error names the place inside of the value."""
    with pytest.raises(Unserializable) as caught:
        JsonSerializer().dump(value)
    assert caught.value.where == where


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}], ids=repr)
def test_nan_in_json_is_a_choice(value: object) -> None:
    """Refused unless asked for; then it comes back."""
    with pytest.raises(Unserializable):
        JsonSerializer().dump(value)
    assert repr(again(JsonSerializer(allow_nan=True), value)) == repr(value)


def test_json_refuses_cycles_and_half_characters() -> None:
    """A list that holds itself, and a text that UTF-8 cannot express."""
    cycle: list[object] = []
    cycle.append(cycle)
    for value in (cycle, ["\ud83d\ude00"], 10**5000):
        with pytest.raises(Unserializable):
            JsonSerializer().dump(value)


@pytest.mark.parametrize("data", [b"", b"{", b"[1", b"\xff", b"[" * 100_000], ids=lambda data: repr(data[:5]))
def test_bytes_that_are_no_json_are_corrupt(data: bytes) -> None:
    """Cut off, foreign or nested without end."""
    with pytest.raises(CorruptResult):
        JsonSerializer().load(memoryview(data))
