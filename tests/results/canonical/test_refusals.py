"""What has no canonical form is refused, with the path to it and what to do."""

from __future__ import annotations

import dataclasses
import io
import socket
import threading
from pathlib import Path
from typing import Any

import dask.array
import polars as pl
import pytest

from dataflow_results.canonical import CanonicalWarning, encode, encode_many
from dataflow_results.errors import UnknownType


class Opaque:
    """A class that says nothing about itself."""


class Stubborn:
    """A class that cannot even be pickled."""

    def __reduce__(self) -> Any:
        raise ValueError("no")


@dataclasses.dataclass
class Config:
    model: Any


REASONS: list[tuple[Any, str]] = [
    ((x for x in [1]), "a generator can be read once only"),
    (iter([1]), "an iterator can be read once only"),
    (map(str, [1]), "an iterator can be read once only"),
    (io.StringIO("a"), "an open file belongs to this process"),
    (threading.Lock(), "a lock belongs to this process"),
    (threading.Thread(), "a thread belongs to this process"),
    (dask.array.zeros(3), "dask.array.core.Array is a Dask collection"),
    (pl.LazyFrame({"a": [1]}), "a polars LazyFrame is a plan"),
    (object(), "object has no canonical form"),
    (Opaque(), "Opaque has no canonical form"),
]


@pytest.mark.parametrize(("value", "reason"), REASONS, ids=[reason for _, reason in REASONS])
def test_each_kind_is_refused_with_its_reason(value: Any, reason: str) -> None:
    """The message says what is wrong with this kind of value."""
    with pytest.raises(UnknownType, match=reason):
        encode(value)


def test_the_path_and_the_fixes_are_named() -> None:
    """The message leads from the argument through containers and fields to the value, and says three ways out."""
    with socket.socket() as client, pytest.raises(UnknownType) as caught:
        encode({"items": [1, Config({"client": client})]}, "argument 'config'")
    assert caught.value.where == "argument 'config'['items'][1].model['client']"
    assert "socket.socket belongs to this process" in caught.value.problem
    assert 'INPUTS - "config"' in caught.value.fix


def test_the_fix_of_a_class_names_register() -> None:
    """A class of the user's is to be registered, or to say itself what it consists of."""
    with pytest.raises(UnknownType) as caught:
        encode(Config(Opaque()), "model")
    for advice in ("register(", "__dataflow_key__", 'unknown="pickle"', 'INPUTS - "model"'):
        assert advice in caught.value.fix


def test_the_index_in_a_column_is_named() -> None:
    """Of many elements the message says which one."""
    with pytest.raises(UnknownType) as caught:
        encode_many([1, "a", [Opaque()]], "rows")
    assert caught.value.where == "rows[2][0]"


def test_open_files_are_refused(tmp_path: Path) -> None:
    """A file object says nothing lasting about its content."""
    with (tmp_path / "a").open("w") as file, pytest.raises(UnknownType, match="pass its path"):
        encode(file)


def test_pickle_by_explicit_choice() -> None:
    """A class without form counts by its pickle if the user says so, and hears what that means."""
    with pytest.warns(CanonicalWarning, match=r"value\[0\]: .*Opaque has no canonical form and counts by its pickle"):
        first = encode([Opaque()], unknown="pickle")
    with pytest.warns(CanonicalWarning):
        assert encode([Opaque()], unknown="pickle") == first


@pytest.mark.parametrize("value", [Stubborn(), threading.Lock(), (x for x in [1])], ids=["class", "lock", "generator"])
def test_pickle_does_not_help_everything(value: Any) -> None:
    """What cannot be pickled, or is of this process only, is refused even then."""
    with pytest.raises(UnknownType):
        encode(value, unknown="pickle")


def test_too_deep_is_refused() -> None:
    """A list nested ten thousand deep is refused in words, not by a broken interpreter."""
    value: list[Any] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(UnknownType, match="nested too deeply"):
        encode(value)
