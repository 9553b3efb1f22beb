"""Lines of what is said: joined, bounded for each element, and with the place of the element that says them."""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dataflow.compiler.program import Program, Step
from dataflow.compiler.recipes import Batch, Values
from dataflow.context import current_run, inside_task
from dataflow.engine.capture import HeardStream, captured
from dataflow.engine.notices import LOG, Notice
from dataflow.engine.placing import placed
from dataflow.engine.speaking import say
from dataflow.engine.voices import Lines, Where
from dataflow.engine.worker import WorkerContext, run_batch
from tests.processes import printed_by

HERE, THERE = Where(0, 3), Where(0, 4)
LOUD = 40


def lines_of(limit_bytes: int = 1000) -> tuple[Lines, list[tuple[int, str]]]:
    """A maker of lines, and what it gives: offset and message."""
    found: list[tuple[int, str]] = []
    return Lines(limit_bytes, lambda where, at, body, size: found.append((where.offset, body[2]))), found


def test_a_line_ends_where_it_says_so() -> None:
    """Pieces are joined to lines for each element, and what has no end is a line at the end."""
    lines, found = lines_of()
    for where, text in ((HERE, "a"), (THERE, "x\ny"), (HERE, "b\n"), (HERE, "\n"), (HERE, "rest")):
        lines.printed(where, text, 0, "print")
    assert found == [(4, "x"), (3, "ab"), (3, "")]
    lines.end()
    assert sorted(found[3:]) == [(3, "rest"), (4, "y")]


def test_a_line_that_is_overwritten_is_kept_as_it_was_last() -> None:
    """Of a bar of progress, which returns to the begin of its line, the last form is kept, however often it moves."""
    lines, found = lines_of()
    for percent in range(0, 101, 10):
        lines.printed(HERE, f"\r{percent} %", 0, "print")
    lines.printed(HERE, "\n", 0, "print")
    lines.printed(HERE, "windows\r\n", 0, "print")
    assert found == [(3, "100 %"), (3, "windows")]


def test_of_too_much_the_first_and_the_last_are_kept() -> None:
    """Beyond the limit the lines in the middle are left out, and a note in their place counts them."""
    lines, found = lines_of(1000)
    for number in range(1000):
        lines.add(HERE, float(number), 0, "print", f"line {number:04d}")
    lines.add(THERE, 0.0, 0, "print", "quiet")
    lines.end()
    note = "900 lines (9,000 bytes) are left out here: DATAFLOW_LOG_BYTES_PER_ELEMENT is 1000"
    assert [message for offset, message in found if offset == 3] == [
        *(f"line {number:04d}" for number in range(75)), note, *(f"line {number:04d}" for number in range(975, 1000)),
    ]  # fmt: skip
    assert (4, "quiet") in found


def test_a_huge_message_is_shortened_in_the_middle() -> None:
    """One message cannot be longer than what is kept of the end."""
    lines, found = lines_of(1000)
    lines.add(HERE, 0.0, 20, "root", "a" * 500 + "z" * 500)
    assert found == [(3, f"{'a' * 125} … 750 characters are left out … {'z' * 125}")]


def test_a_message_that_cannot_be_encoded_is_made_one_that_can() -> None:
    """Half of a surrogate pair would stop the database, so it is written out."""
    lines, found = lines_of()
    lines.add(HERE, 0.0, 20, "root", "caf\u00e9 \udcff")
    assert found == [(3, "caf\u00e9 \\udcff")]


def test_notices_are_placed_by_the_spans_of_their_batch() -> None:
    """Of elements of two runs and of plain nodes each notice gets its own node and index; those given back get none."""
    mapped, plain = SimpleNamespace(space=object()), SimpleNamespace(space=None)
    spans = [
        SimpleNamespace(start=10, stop=12, stage=SimpleNamespace(facts=[SimpleNamespace(node=mapped)])),
        SimpleNamespace(start=0, stop=1, stage=SimpleNamespace(facts=[SimpleNamespace(node=plain)])),
        SimpleNamespace(start=20, stop=22, stage=SimpleNamespace(facts=[SimpleNamespace(node=mapped)])),
    ]
    record: Any = SimpleNamespace(spans=spans)
    found = placed(record, [Notice(LOG, 0, offset, 1, 0.0, "") for offset in (0, 1, 2, 4, 5)])
    assert [(notice.node, notice.index) for notice in found] == [
        (mapped, 10),
        (mapped, 11),
        (plain, None),
        (mapped, 21),
    ]


# What a batch does


def program_of(*functions: Any) -> Program:
    """A chain of steps over one column."""
    steps = tuple(
        Step(name=f"step{at}", function=function, positional=(at,), keywords=(), guards=(at,))
        for at, function in enumerate(functions)
    )
    return Program(name="chain", constants=(), broadcasts=0, columns=1, steps=steps, outputs=(len(steps) - 1,))


def batch_of(values: list[Any]) -> Batch:
    """A batch of literal elements."""
    return Batch(
        number=7, count=len(values), broadcasts=(), columns=(Values(values),), mapped=True, slugs=(("a", "b"),)
    )


def said_in(program: Program, batch: Batch) -> list[Notice]:
    """What the elements of a batch say."""
    found: list[Notice] = []
    context = WorkerContext(tell=lambda number, notices: found.extend(notices))
    run_batch(program, batch, (), context)
    return found


def loud(value: int) -> int:
    say(LOG, (LOUD, "here", f"at {value}"))
    if value == 2:
        raise ValueError
    return value + 10


def test_the_step_and_the_element_are_found_from_where_they_speak() -> None:
    """In the fast walk, and in the careful one that goes on after an error, each notice has its step and offset."""
    found = said_in(program_of(loud, loud), batch_of([1, 2, 3]))
    assert [(notice.step, notice.offset, notice.body[2]) for notice in found] == [
        (0, 0, "at 1"), (1, 0, "at 11"), (0, 1, "at 2"), (0, 2, "at 3"), (1, 2, "at 13"),
    ]  # fmt: skip


def calls_in(count: int, tell: Any) -> int:
    """How many functions are called while a batch of that size runs."""
    program, batch, calls = program_of(abs), batch_of(list(range(count))), 0

    def counted(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(counted)
    try:
        run_batch(program, batch, (), WorkerContext(tell=tell))
    finally:
        sys.setprofile(None)
    return calls


def extra_calls() -> int:
    """How many more functions 2,000 elements call because somebody listens."""
    silent, heard = (calls_in(3000, tell) - calls_in(1000, tell) for tell in (None, lambda number, notices: None))
    return heard - silent


def test_an_element_that_says_nothing_costs_nothing() -> None:
    """Listening calls some functions for each batch, and not one for each element."""
    found = printed_by("-c", "from tests.engine.test_voices import extra_calls; print(extra_calls())")
    assert int(found) <= 20


def test_nothing_is_said_outside() -> None:
    """Where no element and no body of a flow executes, nobody takes it."""
    assert not say(LOG, (LOUD, "here", "hello"))


def test_a_connection_that_fails_does_not_fail_the_element() -> None:
    """What cannot be sent is lost, the values are not."""

    def broken(number: int, notices: Any) -> None:
        raise OSError

    report, outputs = run_batch(program_of(loud), batch_of([1, 3]), (), WorkerContext(tell=broken))
    assert (report.count, outputs[0].values) == (2, [11, 13])


# Capturing


class Heard:
    """A body of a flow that keeps what it hears."""

    def __init__(self, *, is_logged: bool = False) -> None:
        self.facts = SimpleNamespace(shows_logs=is_logged)
        self.found: list[Any] = []
        self._is_logged = is_logged

    def write(self, text: str) -> bool:
        self.found.append(text)
        return self._is_logged

    def log(self, level: int, name: str, message: str, at: float | None = None) -> bool:
        self.found.append((level, name, message))
        return True


@contextlib.contextmanager
def hearing(voice: Heard) -> Any:
    """The code inside is the body of a flow whose voice this is."""
    run: Any = SimpleNamespace(voice=voice)
    token, outside = current_run.set(run), inside_task.set(None)
    try:
        with captured():
            yield
    finally:
        inside_task.reset(outside)
        current_run.reset(token)


def test_prints_are_heard_and_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed reaches the stream that there was; what becomes a line of the log does not."""
    for is_logged, printed in ((False, "hello\n"), (True, "")):
        voice = Heard(is_logged=is_logged)
        with hearing(voice):
            print("hello")
        assert (voice.found, capsys.readouterr().out) == (["hello", "\n"], printed)


def test_records_are_heard_with_their_exceptions() -> None:
    """Records of any logger are heard once, also where a handler prints them, with the exception they are about."""
    voice, logger = Heard(), logging.getLogger("tests.heard")
    printer = logging.StreamHandler(HeardStream(io.StringIO()))
    logger.addHandler(printer)
    logger.propagate = False
    try:
        with hearing(voice):
            logger.warning("%d rows", 3)
            logger.warning("%d rows", "no number")
            try:
                int("bad")
            except ValueError:
                logger.exception("failed")
    finally:
        logger.removeHandler(printer)
        logger.propagate = True
    assert voice.found[:2] == [(30, "tests.heard", "3 rows"), (30, "tests.heard", "%d rows ('no number',)")]
    assert voice.found[2][2].startswith("failed\nTraceback")
    assert voice.found[2][2].endswith("literal for int() with base 10: 'bad'")
    assert len(voice.found) == 3


def test_a_debugger_talks_to_the_person() -> None:
    """What a debugger prints is neither kept nor taken away."""
    voice, out = Heard(is_logged=True), io.StringIO()
    with contextlib.redirect_stdout(out), hearing(voice):
        exec("import sys; sys.stdout.write('(Pdb) ')", {"__name__": "pdb"})
    assert (voice.found, out.getvalue()) == ([], "(Pdb) ")


def test_everything_is_put_back() -> None:
    """Afterwards streams and loggers are what they were, whatever was put over them in between."""
    before = (sys.stdout, logging.Logger.callHandlers, list(logging.getLogger().handlers))
    with captured(), captured():
        assert isinstance(sys.stdout, HeardStream)
        assert logging.getLogger().handlers == before[2]
        with contextlib.redirect_stdout(io.StringIO()), captured():
            print("elsewhere")
    assert (sys.stdout, logging.Logger.callHandlers, logging.getLogger().handlers) == before


def test_a_bare_thread_is_heard_if_only_one_batch_runs() -> None:
    """A thread without a context works for the one batch that runs; one that there was before does not."""
    go, ended = threading.Event(), threading.Event()

    def older() -> None:
        go.wait(10)
        say(LOG, (LOUD, "here", "older"))
        ended.set()

    def starts(value: int) -> int:
        thread = threading.Thread(target=say, args=(LOG, (LOUD, "here", "bare")))
        thread.start()
        thread.join()
        go.set()
        ended.wait(10)
        return value

    before = threading.Thread(target=older)
    before.start()
    found = said_in(program_of(starts), batch_of([1]))
    before.join()
    assert [(notice.offset, notice.body[2]) for notice in found] == [(0, "bare")]


def progresses(value: int) -> int:
    for done in range(1000):
        say("artifact", {"id": "p", "data": done}, replaces="p")
    say("artifact", {"id": "q", "data": b"x" * 300_000})
    say("artifact", {"id": "p", "data": "last"}, replaces="p")
    return value


def test_what_is_not_sent_yet_gives_way_to_what_is_newer() -> None:
    """Of a thousand updates of one thing the last one is sent, and large things are sent at once."""
    sent: list[list[Any]] = []
    context = WorkerContext(tell=lambda number, notices: sent.append([notice.body["data"] for notice in notices]))
    run_batch(program_of(progresses), batch_of([1]), (), context)
    assert sent == [[999, b"x" * 300_000], ["last"]]


def test_a_thread_that_begins_may_say_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that sends later is begun without the lock: before it has begun it may collect garbage that prints."""
    stuck: list[bool] = []

    class Timer(threading.Timer):
        def start(self) -> None:
            bare = threading.Thread(target=contextvars.copy_context().run, args=(print, "collected"))
            bare.start()
            bare.join(2)
            stuck.append(bare.is_alive())
            super().start()

    monkeypatch.setattr(threading, "Timer", Timer)
    notices = said_in(program_of(prints), batch_of([1]))
    assert stuck == [False]
    assert [notice.body[2] for notice in notices] == ["heard", "collected"]


def prints(value: int) -> int:
    """Says one line."""
    print("heard")
    return value
