"""The files of a store behave the same on local disk, in memory and on every real server."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from dataflow_results.errors import (
    CorruptResult,
    ResultMissing,
    ResultsError,
    StoreDenied,
    StoreUrlError,
    TemplateError,
)
from dataflow_results.files import Files, open_files
from dataflow_results.files.address import address_of
from dataflow_results.files.protocol import PARTIAL_PREFIX, partial_name
from dataflow_results.files.remote import RemoteFiles
from dataflow_results.files.trouble import Patience
from dataflow_results.files.uploads import PART_BYTES, upload
from tests.results.servers import Place

pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
"""The libraries of Google and Azure hand large parts to aiohttp as they are, which it calls a waste of resources."""

WITH_SECRETS = {"moto", "radosgw", "azurite"}

LARGE = bytes(range(256)) * (2 * PART_BYTES // 256) + b"the end"
"""Two parts of an upload and a bit."""


@pytest.fixture
def files(place: Place) -> Files:
    """The files of an empty place."""
    return open_files(place.url, place.storage_options)


def names(files: Files, folder: str = "") -> list[str]:
    return [entry.name for entry in files.list(folder)]


def error_of(found: bytes | ResultsError) -> type:
    return type(found)


def test_what_is_written_is_read(files: Files) -> None:
    """Parts of every kind of buffer follow each other in the file."""
    files.write("tasks/load/packs/1.pack", [b"he", bytearray(b"ll"), memoryview(b"o"), b""])
    assert files.read("tasks/load/packs/1.pack") == b"hello"


def test_a_write_replaces(files: Files) -> None:
    """The second write of a name is what is read, even if it is shorter."""
    files.write("a", [b"the first"])
    files.write("a", [b"second"])
    assert files.read("a") == b"second"


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (8, 99, b"89"),
        (10, None, b""),
        (99, 200, b""),
        (4, 4, b""),
    ],
)
def test_ranges(files: Files, start: int, stop: int | None, expected: bytes) -> None:
    """A range ends where the file does."""
    files.write("a", [b"0123456789"])
    assert files.read("a", start, stop) == expected


def test_an_empty_file_is_a_file(files: Files) -> None:
    """A file without bytes exists, is listed, and reads as nothing."""
    files.write("empty", [])
    assert (files.read("empty"), files.size("empty"), names(files)) == (b"", 0, ["empty"])


def test_missing(files: Files) -> None:
    """What is not there is told as missing, with its name."""
    with pytest.raises(ResultMissing) as raised:
        files.read("not/there")
    assert raised.value.where == f"{files.url}/not/there"
    assert (files.exists("not/there"), files.size("not/there"), files.list("not")) == (False, None, [])
    with pytest.raises(ResultMissing):
        files.read_into("not/there", 0, memoryview(bytearray(1)))


def test_read_many_gives_errors_in_their_places(files: Files) -> None:
    """One absent file of many does not hide the others."""
    files.write("a", [b"aaa"])
    files.write("b", [b"bbb"])
    first, absent, last = files.read_many([("a", 0, None), ("x", 0, 4), ("b", 1, 2)])
    assert (first, error_of(absent), last) == (b"aaa", ResultMissing, b"b")


def test_read_into_fills_exactly(files: Files) -> None:
    """The target is filled from the offset on, and a file that ends too early is told as corrupt."""
    files.write("a", [b"0123456789"])
    target = bytearray(4)
    files.read_into("a", 2, memoryview(target))
    assert target == b"2345"
    with pytest.raises(CorruptResult, match="2 bytes too early"):
        files.read_into("a", 8, memoryview(target))


def test_large_files(files: Files) -> None:
    """A file longer than a part of an upload arrives whole, and is read by ranges into one buffer."""
    files.write("large", [LARGE[:1000], memoryview(LARGE)[1000:]])
    assert files.size("large") == len(LARGE)
    target = bytearray(len(LARGE) - 5)
    files.read_into("large", 5, memoryview(target))
    assert target == LARGE[5:]


@pytest.mark.parametrize("size", [0, 10, len(LARGE)])
def test_a_stream_is_named_at_its_end(files: Files, size: int) -> None:
    """The name is asked for when all pieces have passed, whose buffer may be used again; nothing else is left."""
    passed: list[int] = []

    def pieces() -> Iterator[memoryview]:
        buffer = bytearray(1_000_003)
        for begin in range(0, size, len(buffer)):
            piece = LARGE[begin : min(begin + len(buffer), size)]
            buffer[: len(piece)] = piece
            passed.append(len(piece))
            yield memoryview(buffer)[: len(piece)]

    name = files.write_from(pieces(), lambda: f"objects/{sum(passed)}")
    assert name == f"objects/{size}"
    assert files.read(name) == LARGE[:size]
    assert (names(files), files.leftovers()) == ([name], [])


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_stream_that_breaks_leaves_no_file(files: Files, size: int) -> None:
    """If the pieces end in an error, no file appears, and the error is the caller's own."""

    def pieces() -> Iterator[bytes]:
        yield LARGE[:size]
        raise ZeroDivisionError("in the middle")

    with pytest.raises(ZeroDivisionError):
        files.write_from(pieces(), lambda: "objects/broken")
    assert (names(files), files.leftovers()) == ([], [])


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_stream_without_a_name_leaves_no_file(files: Files, size: int) -> None:
    """If no name can be given at the end, or a wrong one is, nothing stays behind."""
    with pytest.raises(ZeroDivisionError):
        files.write_from(iter([LARGE[:size]]), lambda: str(1 // 0))
    with pytest.raises(TemplateError):
        files.write_from(iter([LARGE[:size]]), lambda: "../outside")
    assert (names(files), files.leftovers()) == ([], [])


def test_create_once(files: Files) -> None:
    """The first create makes the file, the second leaves it as it is."""
    assert files.creates_safely()
    assert files.create("leases/load/1", b"mine") is True
    assert files.create("leases/load/1", b"yours") is False
    assert files.read("leases/load/1") == b"mine"
    assert names(files) == ["leases/load/1"]


def test_create_again_after_a_lost_answer(files: Files) -> None:
    """Who finds exactly the own bytes there has made the file: only the answer was lost."""
    assert files.create("a", b"bytes nobody else writes") is True
    assert files.create("a", b"bytes nobody else writes") is True


def test_one_winner_of_a_race(files: Files) -> None:
    """Of eight threads that create one file at once, exactly one is told that it did."""
    files.creates_safely()
    start = threading.Barrier(8)

    def race(number: int) -> bool:
        start.wait()
        return files.create("race", b"thread %d" % number)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(race, range(8)))
    assert won.count(True) == 1
    assert files.read("race") == b"thread %d" % won.index(True)


def test_remove(files: Files) -> None:
    """Files go, absent ones are no error, others stay."""
    for name in ("a/1", "a/2", "b"):
        files.write(name, [b"x"])
    files.remove(["a/1", "a/2", "never/there"])
    files.remove([])
    assert names(files) == ["b"]


def test_list_tells_sizes_and_times(files: Files) -> None:
    """A listing is recursive, sorted, within one folder, and tells sizes and times."""
    before = time.time()
    for name in ("a/z", "a/b/c", "ab/no", "top"):
        files.write(name, [name.encode()])
    assert names(files, "a") == names(files, "a/") == ["a/b/c", "a/z"]
    assert names(files) == ["a/b/c", "a/z", "ab/no", "top"]
    [entry] = files.list("a/b")
    assert entry.size_bytes == 5
    assert abs(entry.modified_seconds - before) < 60


def test_list_is_never_old(place: Place, files: Files) -> None:
    """What somebody else wrote or removed after a listing is in the next one."""
    other = open_files(place.url, {**place.storage_options, "use_listings_cache": True}) if "s3" in place.url else files
    files.write("a/1", [b"x"])
    assert names(files, "a") == ["a/1"]
    other.write("a/2", [b"x"])
    other.remove(["a/1"])
    assert names(files, "a") == ["a/2"]


def test_unfinished_writes_are_not_listed(files: Files) -> None:
    """What a killed writer left is no result, can be found, and can be removed."""
    unfinished = f"tasks/load/{partial_name()}"
    files.write(unfinished, [b"half"])
    files.write("tasks/load/1", [b"whole"])
    assert names(files) == ["tasks/load/1"]
    assert [entry.name for entry in files.leftovers()] == [unfinished]
    files.remove([unfinished])
    assert files.leftovers() == []


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../outside", "a/../../b", "a//b", "./a", "a\\b", "a\0b", "a/.."])
def test_names_stay_inside(files: Files, name: str) -> None:
    """A name that leaves the store, or means another one, is refused before anything is done."""
    for use in (files.read, files.exists, lambda name: files.write(name, [b"x"]), lambda name: files.remove([name])):
        with pytest.raises(TemplateError):
            use(name)
    with pytest.raises(TemplateError):
        files.create(name, b"x")


def test_the_same_files_from_many_threads(files: Files) -> None:
    """Threads that write and read at once each get what they wrote."""

    def there_and_back(number: int) -> bytes:
        files.write(f"threads/{number}", [b"%d" % number])
        return files.read(f"threads/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(there_and_back, range(40))) == [b"%d" % number for number in range(40)]


def test_readers_see_whole_versions(files: Files) -> None:
    """While a file is replaced again and again, each read gives one version of it, never a mixture."""
    versions = [bytes([number]) * 300_000 for number in range(10)]
    files.write("a", [versions[0]])
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(files.read("a"))

    reader = threading.Thread(target=read)
    reader.start()
    for version in versions:
        files.write("a", [version[:1000], version[1000:]])
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_no_credentials_are_shown(place: Place, files: Files) -> None:
    """URL, representation and error messages hold none of the credentials."""
    secrets = [str(place.storage_options[name]) for name in ("secret", "token", "key") if name in place.storage_options]
    with pytest.raises(ResultMissing) as raised:
        files.read("absent")
    shown = f"{files.url} {files!r} {raised.value}"
    assert [secret for secret in secrets if len(secret) > 4 and secret in shown] == []


def test_files_travel_without_credentials(place: Place, files: Files) -> None:
    """Files pickle as URL and options; those with credentials are refused, with what to do instead."""
    if place.name in WITH_SECRETS:
        with pytest.raises(ResultsError, match="environment"):
            pickle.dumps(files)
        return
    files.write("a", [b"x"])
    assert pickle.loads(pickle.dumps(files)).read("a") == b"x"


def test_partial_names_differ() -> None:
    """No two unfinished writes share a name."""
    made = {partial_name() for _ in range(1000)}
    assert len(made) == 1000
    assert all(name.startswith(PARTIAL_PREFIX) for name in made)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    """Where a file is instead of the folder, or above it, every use says so, and none that something is missing."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        files = open_files(root)
        uses = [
            lambda files=files: files.list(),
            lambda files=files: files.list("tasks/t/packs"),
            lambda files=files: files.leftovers(),
            lambda files=files: files.read("a"),
            lambda files=files: files.exists("a"),
            lambda files=files: files.write("a", [b"x"]),
            lambda files=files: files.create("a", b"x"),
        ]
        for use in uses:
            with pytest.raises(StoreUrlError, match="folder") as raised:
                use()
            assert str(root) in str(raised.value)


def test_nothing_lies_below_a_file(files: Files) -> None:
    """The name of a file of the store is an empty folder."""
    files.write("a", [b"x"])
    assert files.list("a") == []


class BrokenFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A filesystem that lists its top, and not one of the two folders there."""

    cachable = False

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[dict[str, Any]]:
        if path.endswith("shut"):
            raise self.error
        if path.endswith("open"):
            return [{"name": f"{path}/file", "size": 1, "type": "file"}]
        return [{"name": f"{path}/{name}", "size": 0, "type": "directory"} for name in ("open", "shut")]


def test_a_part_of_a_listing_is_not_given_for_the_whole() -> None:
    """A folder that cannot be listed is an error; one that went away meanwhile is not."""
    address = address_of("sftp://host/root")

    def listed(error: OSError) -> list[str]:
        connected = BrokenFileSystem(error), "/root"
        return names(RemoteFiles(address, lambda _: connected, patience=Patience(tries=1)))

    assert listed(FileNotFoundError()) == ["open/file"]
    with pytest.raises(StoreDenied):
        listed(PermissionError())


class BufferedFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A filesystem with the buffered files of fsspec, which publish when they are closed."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.published: dict[str, bytes] = {}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BufferedFile:
        return BufferedFile(self, path, mode, **options)


class BufferedFile(AbstractBufferedFile):  # type: ignore[misc]
    def _upload_chunk(self, final: bool = False) -> bool:
        self.sent = getattr(self, "sent", b"") + self.buffer.getvalue()
        if final:
            self.fs.published[self.path] = self.sent
        return True


@pytest.mark.parametrize("pieces", [[b"a" * 100], [b"a" * PART_BYTES, b"b" * PART_BYTES, b"c"]], ids=["short", "long"])
def test_an_upload_that_breaks_publishes_nothing(pieces: list[bytes]) -> None:
    """What was sent before the error is not published, not even when the file is collected as garbage."""

    def breaking() -> Iterator[bytes]:
        yield from pieces
        raise ZeroDivisionError

    filesystem = BufferedFileSystem()
    with pytest.raises(ZeroDivisionError):
        upload(filesystem, "a", breaking(), lambda action: action())
    gc.collect()
    assert filesystem.published == {}
    upload(filesystem, "a", iter(pieces), lambda action: action())
    assert filesystem.published == {"a": b"".join(pieces)}


def test_no_folder_is_missed_while_others_remove_it(tmp_path: Path) -> None:
    """Writers and removers of one folder, at once, do not stumble over each other."""
    files = open_files(tmp_path)

    def come_and_go(number: int) -> None:
        for _ in range(200):
            name = f"a/b/c/d/e/f/{number}"
            assert files.create(name, b"%d" % number)
            files.remove([name])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(8)))
    assert list(tmp_path.iterdir()) == []
