"""Compression around other serializers."""

from __future__ import annotations

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dataflow_results.errors import CorruptResult, Unserializable
from dataflow_results.serializers import CompressedSerializer, find_serializer
from dataflow_results.serializers.compressed import PIECE_BYTES
from tests.results.serializers.round_trips import again, written

NAMES = ("zstd", "lz4")


@pytest.mark.parametrize("name", NAMES)
@given(value=st.binary() | st.lists(st.integers()))
def test_values_come_back(name: str, value: object) -> None:
    """Any value of the inner serializer, also an empty one."""
    assert again(find_serializer(f"{name}(pickle)"), value) == value
    if isinstance(value, bytes):
        assert again(find_serializer(f"{name}(bytes)"), value) == value


@pytest.mark.parametrize("name", NAMES)
def test_large_values_pass_in_pieces(name: str) -> None:
    """An array of several pieces, half of it noise, comes back writable."""
    array = np.zeros(PIECE_BYTES // 4)
    array[::2] = np.random.default_rng(0).random(len(array) // 2)
    loaded = again(find_serializer(f"{name}(numpy)"), array)
    assert np.array_equal(loaded, array)
    loaded[0] = 1


@pytest.mark.parametrize("name", NAMES)
def test_well_compressed_values_come_back(name: str) -> None:
    """64 MiB of zeros, which are a few thousand bytes."""
    serializer = find_serializer(f"{name}(numpy)")
    data = written(serializer, np.zeros(8 * 1024 * 1024))
    assert len(data) < 300_000
    assert not serializer.load(memoryview(data)).any()


def test_the_files_are_what_the_usual_tools_read() -> None:
    """Plain frames: the package of each format opens them without us."""
    assert (
        zstandard.ZstdDecompressor().decompress(written(find_serializer("zstd(text)"), "größe" * 9)).decode()
        == "größe" * 9
    )
    assert lz4.frame.decompress(written(find_serializer("lz4(text)"), "größe" * 9)).decode() == "größe" * 9


def test_wrappers_are_as_safe_as_what_they_wrap() -> None:
    """Reading a compressed pickle can run code."""
    assert [find_serializer(f"zstd({inner})").safe for inner in ("pickle", "json", "lz4(pickle)", "lz4(numpy)")] == [
        False,
        True,
        False,
        True,
    ]


def test_what_the_inner_one_refuses_is_refused() -> None:
    """The inner serializer's error is the error."""
    serializer = CompressedSerializer(find_serializer("json"))
    assert not serializer.accepts(object())
    with pytest.raises(Unserializable, match="'json'"):
        serializer.dump([object()])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_cut_files_are_corrupt(name: str, data: st.DataObject) -> None:
    """Wherever a file was cut, also within the checksum at its end."""
    serializer = find_serializer(f"{name}(numpy)")
    whole = written(serializer, np.random.default_rng(0).random(50))
    with pytest.raises(CorruptResult):
        serializer.load(memoryview(whole[: data.draw(st.integers(0, len(whole) - 1))]))


@pytest.mark.parametrize("name", NAMES)
@given(place=st.integers(0, 400), bit=st.integers(0, 7))
def test_one_changed_bit_is_noticed_or_harmless(name: str, place: int, bit: int) -> None:
    """Whatever bit is changed: the error is CorruptResult, or the value is still equal."""
    serializer = find_serializer(f"{name}(bytes)")
    value = np.random.default_rng(0).bytes(300)
    whole = bytearray(written(serializer, value))
    whole[place % len(whole)] ^= 1 << bit
    try:
        assert serializer.load(memoryview(whole)) == value
    except CorruptResult:
        return


@pytest.mark.parametrize("name", NAMES)
def test_foreign_bytes_are_corrupt(name: str) -> None:
    """Neither nothing nor text is opened."""
    for data in (b"", b"hello world, this is no frame"):
        with pytest.raises(CorruptResult):
            find_serializer(f"{name}(bytes)").load(memoryview(data))
