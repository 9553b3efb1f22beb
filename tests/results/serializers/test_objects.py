"""Large objects: named by content, shared when equal, verified when read."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.digests import digest
from dataflow_results.errors import CorruptResult, ResultMissing, StoreFull
from dataflow_results.files import open_files
from dataflow_results.packs import objects
from dataflow_results.packs.objects import object_digest, object_name, read_object, write_object
from dataflow_results.serializers import find_serializer

PIECE = 1000


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that a test has many."""
    monkeypatch.setattr(objects, "PARALLEL_BYTES", PIECE)
    monkeypatch.setattr(objects, "PIECE_BYTES", {True: PIECE, False: 3 * PIECE})


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store that renames, and one that does not."""
    return open_files(str(tmp_path) if request.param == "local" else f"memory://{tmp_path.name}-{id(tmp_path)}")


class Counting:
    """Files that say what was written to them."""

    def __init__(self, files: Any) -> None:
        self._files = files
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def write(self, name: str, parts: Any) -> None:
        self.written.append(name)
        self._files.write(name, parts)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 63, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 7 * PIECE + 5]), max_size=4))
def test_any_parts_come_back_under_the_digest_of_their_content(tmp_path_factory: Any, sizes: list[int]) -> None:
    """However the content is cut into parts: one name, one size, equal bytes, in writable aligned memory."""
    parts = [np.random.default_rng(i).bytes(size) for i, size in enumerate(sizes)]
    whole = b"".join(parts)
    for files in (open_files(tmp_path_factory.mktemp("store")), open_files("memory://objects")):
        named, size_bytes = write_object(files, parts)
        assert (named, size_bytes) == (digest(b"object", whole), len(whole))
        assert write_object(files, [whole]) == (named, size_bytes)
        memory = read_object(files, named, size_bytes)
        assert memory == whole
        assert not memory.readonly
        assert np.frombuffer(memory, np.uint8).ctypes.data % 64 == 0 or not whole


def test_equal_values_share_one_file(files: Any) -> None:
    """The second write of the same content adds nothing to the store."""
    data = bytes(range(256)) * 20
    named, _ = write_object(files, [data[:100], memoryview(data)[100:]])
    before = files.list("objects")
    assert write_object(files, [bytearray(data)])[0] == named
    assert [entry.name for entry in files.list("objects")] == [entry.name for entry in before] == [object_name(named)]
    assert object_digest(object_name(named)) == named


def test_nothing_is_sent_if_an_equal_object_is_there() -> None:
    """On a store without renames the second write costs two questions, about size and age."""
    files = Counting(open_files("memory://sharing"))
    for _ in range(2):
        named, _ = write_object(files, [b"x" * (5 * PIECE)])
    assert files.written == [object_name(named)]


def test_an_old_object_is_written_again_before_it_is_named_anew() -> None:
    """One that collection may take soon gets a new age; one of half an hour is as good as new."""
    files = Counting(open_files("memory://old-objects"))
    now = time.time()
    for later in (0.0, 1_790.0, 1_810.0):
        named, _ = write_object(files, [b"x" * (5 * PIECE)], now=now + later)
    assert files.written == [object_name(named)] * 2


def test_an_equal_object_on_a_disk_becomes_young(tmp_path: Path) -> None:
    """Small ones too, which are not written if they are there."""
    files = open_files(tmp_path)
    named, _ = write_object(files, [b"small"])
    os.utime(tmp_path / object_name(named), (1e9, 1e9))
    write_object(files, [b"small"])
    assert [entry.modified_seconds > 1.7e9 for entry in files.list("objects")] == [True]


def test_an_object_that_was_cut_is_written_again(files: Any) -> None:
    """Sharing asks for the size, so that a torn upload of a name is not taken for the object."""
    data = b"x" * (PIECE // 2)
    named, size_bytes = write_object(files, [data])
    files.write(object_name(named), [data[:10]])
    write_object(files, [data])
    assert read_object(files, named, size_bytes) == data


@pytest.mark.parametrize("place", [0, PIECE, 3 * PIECE, 6 * PIECE + 4])
def test_one_changed_bit_is_corrupt(files: Any, place: int) -> None:
    """Wherever it is, the first, a middle or the last piece."""
    data = bytearray(np.random.default_rng(0).bytes(6 * PIECE + 5))
    named, size_bytes = write_object(files, [bytes(data)])
    data[place] ^= 1
    files.write(object_name(named), [data])
    with pytest.raises(CorruptResult, match="not what was written"):
        read_object(files, named, size_bytes)


def test_cut_and_missing_objects_are_told_apart(files: Any) -> None:
    """An object that lost its end is corrupt; one that has gone is missing."""
    data = b"x" * (5 * PIECE)
    named, size_bytes = write_object(files, [data])
    files.write(object_name(named), [data[:-1]])
    with pytest.raises(CorruptResult):
        read_object(files, named, size_bytes)
    files.remove([object_name(named)])
    with pytest.raises(ResultMissing):
        read_object(files, named, size_bytes)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """The error of the store is the error, and no object appears under any name."""
    inner = open_files(tmp_path)

    class Full:
        url = inner.url

        def write_from(self, pieces: Any, name_when_done: Any) -> str:
            def failing() -> Any:
                yield next(pieces)
                raise StoreFull("no space is left")

            return inner.write_from(failing(), name_when_done)

    with pytest.raises(StoreFull):
        write_object(Full(), [b"x" * (5 * PIECE)])  # type: ignore[arg-type]
    assert inner.list() == []
    assert inner.leftovers() == []


def test_a_serialized_array_stands_on_the_memory_of_its_object(files: Any) -> None:
    """From the store to the array no byte is copied: the array's memory is the object's memory."""
    array = np.arange(2000.0)
    serializer = find_serializer("numpy")
    named, size_bytes = write_object(files, serializer.dump(array))
    memory = read_object(files, named, size_bytes)
    loaded = serializer.load(memory)
    assert np.array_equal(loaded, array)
    assert loaded.ctypes.data - np.frombuffer(memory, np.uint8).ctypes.data == size_bytes - array.nbytes
