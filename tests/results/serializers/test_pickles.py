"""Pickle: everything goes, large buffers are not copied, and values of __main__ are readable elsewhere."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results.errors import CorruptResult, ReadingError, Unserializable
from dataflow_results.serializers import PickleSerializer, dump_each, load_each
from dataflow_results.serializers.pickles import ALIGNMENT_BYTES, MAGIC, OUT_OF_BAND_BYTES
from tests.results.serializers.round_trips import again, written

SERIALIZER = PickleSerializer()
LARGE = OUT_OF_BAND_BYTES // 8
"""Numbers of an array that stays outside of the pickle."""
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=20,
)


class Refusing:
    """A value whose class does not want to be stored."""

    def __reduce__(self) -> Any:
        raise ValueError("not me")


@given(values)
def test_plain_values_come_back_equal_and_of_the_same_type(value: object) -> None:
    """Round trip of nested plain values, also through the ways for many at once."""
    loaded = again(SERIALIZER, value)
    assert (loaded, type(loaded)) == (value, type(value))
    [dumped] = dump_each(SERIALIZER, [value])
    assert isinstance(dumped, bytes)
    assert load_each(SERIALIZER, [memoryview(dumped)]) == [value]


def test_a_value_without_large_buffers_is_one_plain_pickle() -> None:
    """Anybody can read small values with pickle.loads, without this package."""
    [data] = SERIALIZER.dump({"a": np.arange(3)})
    assert pickle.loads(data)["a"].tolist() == [0, 1, 2]


def test_large_arrays_are_written_from_their_own_memory() -> None:
    """The buffers given to the store are the memory of the arrays, not copies."""
    first, second = np.zeros(LARGE), np.asfortranarray(np.zeros((LARGE, 2)))
    addresses = {
        np.frombuffer(part, np.uint8).ctypes.data for part in SERIALIZER.dump([first, {"b": second}]) if len(part)
    }
    assert {first.ctypes.data, second.ctypes.data} <= addresses


def test_large_arrays_stand_on_the_given_memory_aligned_and_writable() -> None:
    """Loading copies nothing: a change of the array is a change of the memory."""
    value = {"small": np.arange(5), "large": np.arange(LARGE), "odd": b"x", "fortran": np.ones((2, LARGE), order="F")}
    data = bytearray(written(SERIALIZER, value))
    base = np.frombuffer(data, np.uint8).ctypes.data
    loaded = SERIALIZER.load(memoryview(data))
    large = loaded["large"]
    assert (large.ctypes.data - base) % ALIGNMENT_BYTES == 0
    assert 0 < large.ctypes.data - base < len(data)
    assert loaded["fortran"].flags.f_contiguous
    for name, array in value.items():
        assert np.array_equal(loaded[name], array)
    before = bytes(data)
    large[:] = -1
    assert bytes(data) != before


def test_of_read_only_memory_a_copy_is_made() -> None:
    """Arrays are writable even if the memory belongs to a cache of packs."""
    data = written(SERIALIZER, np.arange(LARGE))
    array = SERIALIZER.load(memoryview(data))
    array[0] = 7
    assert SERIALIZER.load(memoryview(data))[0] == 0


def test_a_read_only_array_comes_back_read_only() -> None:
    """What could not be written to before cannot be after."""
    array = np.arange(LARGE)
    array.flags.writeable = False
    assert not again(SERIALIZER, array).flags.writeable


def test_frames_hold_values_that_share_memory_and_tables() -> None:
    """A DataFrame, and one array twice in a value, survive with their identities."""
    frame = pd.DataFrame({"a": np.arange(LARGE * 2.0), "b": ["x"] * (LARGE * 2)})
    left, right = again(SERIALIZER, (frame, frame))
    assert left is right
    pd.testing.assert_frame_equal(left, frame)


def test_functions_and_closures_go_by_value() -> None:
    """A lambda with a closure, which pickle refuses, is stored."""
    factor = 3
    assert again(SERIALIZER, {"f": lambda x: x * factor})["f"](2) == 6
    [dumped] = dump_each(SERIALIZER, [lambda: factor])
    assert load_each(SERIALIZER, [memoryview(dumped)])[0]() == 3


def test_values_of_main_can_be_read_where_main_is_another_module(tmp_path: Path) -> None:
    """An instance of a class of a script is stored with its class: both ways of writing care for it."""
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from dataclasses import dataclass
        from dataflow_results.serializers import PickleSerializer, dump_each

        @dataclass
        class Point:
            x: int

        one, [many] = b"".join(PickleSerializer().dump(Point(1))), dump_each(PickleSerializer(), [Point(2)])
        Path({str(tmp_path / "one")!r}).write_bytes(one)
        Path({str(tmp_path / "many")!r}).write_bytes(many)
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env={"PYTHONPATH": ":".join(sys.path)})
    loaded = load_each(SERIALIZER, [memoryview((tmp_path / name).read_bytes()) for name in ("one", "many")])
    assert [point.x for point in loaded] == [1, 2]


def test_modules_registered_by_value_go_by_value() -> None:
    """What the user told cloudpickle to send along is sent along, though pickle could name it."""
    module = sys.modules[__name__]
    sys.modules.setdefault(__name__, module)
    cloudpickle.register_pickle_by_value(module)
    try:
        [dumped] = dump_each(SERIALIZER, [Refusing])
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert b"not me" in dumped


@pytest.mark.parametrize(
    "value", [threading.Lock(), (i for i in range(3)), Refusing()], ids=["lock", "generator", "refusing"]
)
def test_what_cannot_be_pickled_is_refused_alone(value: object) -> None:
    """Of many values, the bad one has its error in its place, and the others are stored."""
    first, error, last = dump_each(SERIALIZER, [1, value, 3])
    assert (first, last) == (pickle.dumps(1, 5), pickle.dumps(3, 5))
    assert isinstance(error, Unserializable)
    assert type(value).__qualname__ in str(error)
    assert "instead:" in str(error)


def test_values_of_many_kinds_can_be_mixed() -> None:
    """Small ones are bytes, large ones are frames, in the order they came."""
    dumped = dump_each(SERIALIZER, [1, np.zeros(LARGE), OrderedDict(a=1)])
    assert [type(part) for part in dumped] == [bytes, list, bytes]
    loaded = load_each(
        SERIALIZER, [memoryview(b"".join([part] if isinstance(part, bytes) else part)) for part in dumped]
    )
    assert [type(value) for value in loaded] == [int, np.ndarray, OrderedDict]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        pickle.dumps([1, 2, 3])[:-3],
        MAGIC,
        MAGIC[:3],
        MAGIC + bytes(7),
        MAGIC + b"\xff" * 8,
        MAGIC + b"\x01" + bytes(7),
    ],
    ids=["empty", "one byte", "cut pickle", "bare head", "cut magic", "cut count", "absurd count", "no lengths"],
)
def test_bytes_that_are_no_pickle_are_corrupt(data: bytes) -> None:
    """One error for all that is cut off or foreign, in both ways of reading."""
    with pytest.raises(CorruptResult):
        SERIALIZER.load(memoryview(data))
    [error] = load_each(SERIALIZER, [memoryview(data)])
    assert isinstance(error, CorruptResult)


@given(st.integers(min_value=0, max_value=OUT_OF_BAND_BYTES + 200))
def test_frames_that_are_cut_anywhere_are_corrupt(length: int) -> None:
    """A large value that lost its end is never given back, wherever it was cut."""
    data = written(SERIALIZER, np.arange(LARGE, dtype=np.int64))
    with pytest.raises(CorruptResult):
        SERIALIZER.load(memoryview(bytearray(data[: min(length, len(data) - 1)])))


def test_missing_code_is_told_as_such() -> None:
    """A value whose module is not installed is no corrupt value."""
    with pytest.raises(
        ReadingError, match="needs code that is not here: No module named 'nowhere_to_be_found'"
    ) as caught:
        SERIALIZER.load(memoryview(b"\x80\x05cnowhere_to_be_found\nThing\n."))
    assert not isinstance(caught.value, CorruptResult)
