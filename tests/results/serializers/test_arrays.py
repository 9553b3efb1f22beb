"""Arrays of numpy: .npy files that come back with dtype, shape, order and content."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dataflow_results.errors import CorruptResult, Unserializable
from dataflow_results.serializers import NumpySerializer
from tests.results.serializers.round_trips import again, written

SERIALIZER = NumpySerializer()
dtypes = arrays.scalar_dtypes() | arrays.unicode_string_dtypes() | arrays.byte_string_dtypes()


@given(
    dtypes.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))),
    st.booleans(),
)
def test_arrays_come_back_exactly(array: np.ndarray, fortran: bool) -> None:
    """Bit for bit, for every dtype, shape (also empty ones) and order; and numpy itself reads the file."""
    array = np.asfortranarray(array) if fortran and array.ndim else array
    loaded = again(SERIALIZER, array)
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert (type(loaded), loaded.flags.writeable) == (np.ndarray, True)
    if array.size:
        assert (loaded.flags.c_contiguous, loaded.flags.f_contiguous) == (
            array.flags.c_contiguous,
            array.flags.f_contiguous,
        )
    read = np.load(io.BytesIO(written(SERIALIZER, array)), allow_pickle=False)
    assert (read.dtype, read.tobytes()) == (array.dtype, array.tobytes())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(4, 6)[::2, ::-1],
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.broadcast_to(np.arange(3), (2, 3)),
        np.array(["2000-01-01", "NaT"], "M8[D]"),
        np.array([1, 2], ">i4"),
        np.zeros(2, [("a", "i1"), ("b", "f8", (2,)), ("c", [("d", "M8[ns]")])]),
        np.array(5.0),
    ],
    ids=["strided", "transposed", "broadcast", "times", "big-endian", "records", "scalar"],
)
def test_arrays_of_any_layout_come_back(array: np.ndarray) -> None:
    """What does not lie in one piece is copied once, and equal."""
    loaded = again(SERIALIZER, array)
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_is_copied_on_either_way(order: str) -> None:
    """What is written is the array's memory, and what is read stands on the given memory."""
    array = np.ones((300, 400), order=order)
    head, body = SERIALIZER.dump(array)
    assert np.frombuffer(body, np.uint8).ctypes.data == array.ctypes.data
    memory = bytearray(head) + body
    loaded = SERIALIZER.load(memoryview(memory))
    assert loaded.ctypes.data == np.frombuffer(memory, np.uint8).ctypes.data + len(head)
    assert len(head) % 64 == 0


def test_of_read_only_memory_a_copy_is_made() -> None:
    """The array is writable even if the memory belongs to somebody else."""
    data = written(SERIALIZER, np.arange(3))
    SERIALIZER.load(memoryview(data))[0] = 9
    assert SERIALIZER.load(memoryview(data))[0] == 0


@pytest.mark.parametrize(
    "value",
    [
        np.array([None, 1], object),
        np.zeros(2, [("a", object)]),
        np.ma.masked_array([1, 2], [True, False]),
        np.zeros(2, np.dtype("i4", metadata={"unit": "m"})),
        np.zeros(2, np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"]}, align=True)),
        np.zeros(2, [("größe", "i4"), ("名", "i4")]),
        np.float64(1.0),
        [1, 2],
    ],
    ids=["object", "object field", "masked", "metadata", "aligned", "field names", "scalar", "list"],
)
def test_what_would_change_is_refused_with_a_fix(value: object) -> None:
    """Objects, subclasses, and dtypes that the format does not give back equal."""
    assert not SERIALIZER.accepts(value)
    with pytest.raises(Unserializable, match="instead: "):
        SERIALIZER.dump(value)


def test_new_strings_of_numpy_are_refused() -> None:
    """StringDType keeps its texts elsewhere, so the memory of the array is not the value."""
    string = getattr(np.dtypes, "StringDType", None)
    if string is None:
        pytest.skip("needs numpy 2")
    assert not SERIALIZER.accepts(np.array(["a"], dtype=string()))


@given(st.data())
def test_cut_files_are_corrupt(data: st.DataObject) -> None:
    """Wherever a file was cut, nothing is given back."""
    whole = written(SERIALIZER, np.arange(20))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(CorruptResult):
        SERIALIZER.load(memoryview(whole[:cut]))


@given(st.integers(0, 127), st.integers(0, 255))
def test_a_changed_head_is_corrupt_or_harmless(place: int, byte: int) -> None:
    """One changed byte of the head never raises anything but CorruptResult."""
    whole = bytearray(written(SERIALIZER, np.arange(4.0)))
    whole[place] = byte
    try:
        loaded = SERIALIZER.load(memoryview(whole))
    except CorruptResult:
        return
    assert loaded.nbytes == 32


def test_files_with_objects_are_never_opened() -> None:
    """A .npy of pickled objects, which somebody put there, is corrupt: reading it could run code."""
    stream = io.BytesIO()
    np.save(stream, np.array([None], object), allow_pickle=True)
    with pytest.raises(CorruptResult, match="Python objects"):
        SERIALIZER.load(memoryview(stream.getvalue()))


def test_longer_files_are_corrupt() -> None:
    """Bytes after the last element are not ours."""
    with pytest.raises(CorruptResult, match="161 bytes where 160 are needed"):
        SERIALIZER.load(memoryview(written(SERIALIZER, np.arange(4)) + b"x"))
