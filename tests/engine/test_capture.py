"""The stream that listens to prints does no harm to who puts another over it, refers to it, or sends it away."""

from __future__ import annotations

import copy
import io
import pickle
import sys
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.file_proxy import FileProxy

from dataflow.context import current_run
from dataflow.engine.capture import HeardStream, captured
from dataflow.engine.pickles import dumps


class Tee:
    """A stream as users write it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return int(self.stream.write(text))


def test_what_goes_through_two_listening_streams_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that puts a stream of its own over ours, and a batch that listens again, do not double its lines."""
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    heard: list[str] = []
    voice = SimpleNamespace(write=lambda text: heard.append(text))
    token = current_run.set(SimpleNamespace(voice=voice))  # type: ignore[arg-type]
    try:
        with captured():
            ours = sys.stdout
            sys.stdout = Tee(ours)
            with captured():
                print("once")
            sys.stdout = ours
    finally:
        current_run.reset(token)
    assert "".join(heard) == "once\n"
    assert shown.getvalue() == "once\n"


def test_a_stream_that_is_listened_to_travels_as_stdout_of_where_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to it is one to `sys.stdout`, be it to our stream or to the one that was there before."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    before = sys.stdout
    with captured():
        assert isinstance(sys.stdout, HeardStream)
        assert copy.copy(sys.stdout) is sys.stdout
        data = [dumps([before, sys.stdout])]
        sys.stdout.stream = FileProxy(Console(), before)  # as while a table of progress is shown
        data.append(dumps([before, sys.stdout]))
        sys.stdout.stream = before
    assert [pickle.loads(one) for one in data] == [[before, before]] * 2


def test_what_listens_is_not_freed_while_others_print() -> None:
    """`print` in another thread may stand in it, without a reference: the same one is kept, and listens again."""
    with captured():
        listening = weakref.ref(sys.stdout)
    assert listening() is not None
    with captured():
        assert sys.stdout is listening()
