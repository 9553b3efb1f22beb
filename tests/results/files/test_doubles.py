"""The doubles for tests do what their scripts say, and count what they are asked."""

from __future__ import annotations

import os

import pytest

from dataflow_results.errors import StoreDenied, StoreFull, StoreUnreachable
from dataflow_results.files import open_files
from dataflow_results.testing.counting import CountingFiles
from dataflow_results.testing.faults import EVERY_CALL, Fault, FaultyFiles, Script


def faulty(script: Script) -> FaultyFiles:
    return FaultyFiles(open_files(f"memory://doubles-{os.urandom(6).hex()}"), script)


@pytest.mark.parametrize(
    ("fault", "error", "left"),
    [
        (Fault.UNREACHABLE, StoreUnreachable, b"before"),
        (Fault.LOST_ANSWER, StoreUnreachable, b"0123456789"),
        (Fault.TORN, StoreUnreachable, b"01234"),
        (Fault.FULL, StoreFull, b"before"),
        (Fault.DENIED, StoreDenied, b"before"),
    ],
)
def test_faults_of_a_write(fault: Fault, error: type[Exception], left: bytes) -> None:
    """What each fault leaves behind, and what it tells."""
    files = faulty({"write": {2: fault}})
    files.write("a", [b"before"])
    with pytest.raises(error):
        files.write("a", [b"01234", b"56789"])
    assert files.read("a") == left
    files.write("a", [b"after"])
    assert files.read("a") == b"after"


def test_a_fault_of_every_call() -> None:
    """A script for all calls goes on until it is replaced."""
    files = faulty({"read": {EVERY_CALL: Fault.UNREACHABLE, 2: Fault.DENIED}})
    files.write("a", [b"x"])
    for error in (StoreUnreachable, StoreDenied, StoreUnreachable):
        with pytest.raises(error):
            files.read("a")
    files.script = {}
    assert files.read("a") == b"x"


def test_flipped_bits() -> None:
    """One bit in the middle of what is read is wrong, however it is read."""
    files = faulty({"read": {1: Fault.FLIPPED, 2: Fault.FLIPPED, 4: Fault.FLIPPED}})
    files.write("a", [b"aaa"])
    target = bytearray(3)
    files.read_into("a", 0, memoryview(target))
    assert (target, files.read("a")) == (b"a`a", b"a`a")
    assert files.read_many([("a", 0, None), ("a", 0, None)]) == [b"aaa", b"a`a"]


def test_stale_listings() -> None:
    """An old listing shows what was there when it was first asked for."""
    files = faulty({"list": {2: Fault.STALE}, "look": {2: Fault.STALE}})
    assert (files.list(), files.exists("a")) == ([], False)
    files.write("a", [b"x"])
    assert (files.list(), files.exists("a")) == ([], False)
    assert ([entry.name for entry in files.list()], files.exists("a")) == (["a"], True)


def test_slow_calls_sleep_on_the_given_clock() -> None:
    """A slow call waits by the sleep it was given, and succeeds."""
    slept: list[float] = []
    files = FaultyFiles(open_files("memory://doubles-slow"), {"write": {1: Fault.SLOW}}, sleep=slept.append)
    files.write("a", [b"x"])
    assert (files.read("a"), slept) == (b"x", [5.0])


def test_counts_by_kind() -> None:
    """Every operation is counted under its kind, with the bytes that went either way."""
    files = CountingFiles(open_files(f"memory://doubles-{os.urandom(6).hex()}"))
    files.write("a", [b"12", b"3"])
    files.write_from(iter([b"4567"]), lambda: "b")
    files.create("c", b"89")
    files.read_many([("a", 0, None), ("b", 0, 2)])
    files.read_into("c", 0, memoryview(bytearray(2)))
    files.exists("a")
    files.size("a")
    files.list()
    files.remove(["a"])
    files.remove([])
    assert dict(files.counts) == {"write": 2, "create": 1, "read": 3, "look": 2, "list": 1, "remove": 1}
    assert (files.bytes_written, files.bytes_read, files.total) == (9, 7, 10)
    files.reset()
    assert (files.total, files.bytes_read) == (0, 0)
