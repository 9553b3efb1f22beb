"""A folder of files that is given up while others still write to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dataflow_results.errors import StoringError
from dataflow_results.serializers.folders import Folder, Scratch

LONGEST_SECONDS = 0.2


class Slow(Scratch):
    """Files whose write ends when something was removed, or at last after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.removed = threading.Event(), threading.Event()

    def write(self, name: str, parts: Sequence[Any]) -> None:
        self.started.set()
        self.removed.wait(LONGEST_SECONDS)
        super().write(name, parts)

    def remove(self, names: Sequence[str]) -> None:
        super().remove(names)
        self.removed.set()


def test_writes_under_way_are_waited_for_when_a_folder_is_given_up() -> None:
    """A chunk that another thread is writing does not appear after all were removed."""
    files = Slow()
    folder = Folder(files, "tree")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(folder.write, "0.0", b"chunk")
        files.started.wait()
        folder.discard()
        writing.result()
    with pytest.raises(KeyError):
        files.read("tree/0.0")
    with pytest.raises(StoringError, match="given up"):
        folder.write("0.1", b"chunk")


def test_a_folder_knows_only_what_was_written_to_it() -> None:
    """Files that somebody else put beside ours do not exist for it."""
    files = Scratch()
    folder = Folder(files, "tree")
    folder.write("a/0", b"ours")
    files.write("tree/a/1", [b"theirs"])
    opened = Folder.sealed(files, "tree", folder.seal())
    assert opened.below("a/") == ["a/0"]
    assert (opened.read("a/0"), opened.read("a/1")) == (b"ours", None)
