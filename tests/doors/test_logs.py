"""Logs of elements: what tasks and flows log and print is kept with who said it, wherever and however they run."""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, flow, get_run_logger, task
from dataflow.context import current_run
from dataflow.engine import batch_voice
from dataflow.engine.clusters import dask
from dataflow.engine.notices import PlacedNotice
from dataflow.errors import UsageError
from dataflow.logs import disable_run_logger
from dataflow.settings import settings

Line = tuple[str, int, str]
"""Place, attempt, message."""


def heard(body: Callable[[], Any], cluster: Any, **options: Any) -> list[PlacedNotice]:
    """What is said in a flow with this body."""
    found: list[PlacedNotice] = []

    def listening() -> Any:
        run = current_run.get()
        assert run is not None
        run.listeners.append(found.extend)
        return body()

    flow(listening, name="listening", cluster=cluster, **options)(return_state=True)
    return found


def lines(found: list[PlacedNotice]) -> list[Line]:
    """The lines of each element in the order in which it said them."""
    return sorted(
        ((place_of(notice), notice.attempt, notice.body[2]) for notice in found if notice.node is not None),
        key=lambda line: line[:2],
    )


def place_of(notice: PlacedNotice) -> str:
    """As a person writes it."""
    slug = "" if notice.node is None else notice.node.slug
    return slug if notice.index is None else f"{slug}[{notice.index}]"


@task
def load(number: int) -> int:
    print("printed", number)
    get_run_logger().info("logged %d", number)
    get_run_logger().debug("not from this level on")
    logging.getLogger("some.library").warning("careful with %d", number)
    return number


@task
def fail(number: int) -> None:
    print("last words", end="")
    raise ValueError(number)


def three_ways() -> list[Any]:
    """Mapped elements, plain ones that share a batch, and ones that fail."""
    futures = [load.map(range(3)), *[load.submit(number) for number in (7, 8)], fail.map([1, 2])]
    for future in futures:
        future.wait()
    return []


EXPECTED = [
    *[("fail[0]", 1, "last words"), ("fail[1]", 1, "last words")],
    *[("load-2", 1, "printed 7"), ("load-2", 1, "logged 7"), ("load-2", 1, "careful with 7")],
    *[("load-3", 1, "printed 8"), ("load-3", 1, "logged 8"), ("load-3", 1, "careful with 8")],
    *[(f"load[{n}]", 1, f"{what} {n}") for n in range(3) for what in ("printed", "logged", "careful with")],
]


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_each_line_is_of_who_said_it(cluster: str) -> None:
    """Prints and records of mapped, plain and failing elements stand with their element, in its order."""
    found = heard(three_ways, cluster)
    assert lines(found) == EXPECTED
    names = {(notice.body[0], notice.body[1]) for notice in found}
    assert names == {(0, "print"), (20, "dataflow.task"), (30, "some.library")}


def test_each_line_comes_from_other_processes(client: Client) -> None:
    """On worker processes it is the same, and the lines are there when the results are."""
    assert lines(heard(three_ways, client)) == EXPECTED


def test_the_scheduler_forgets_what_was_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes through the scheduler is not kept there, once it is much."""
    monkeypatch.setattr(dask, "MOST_SAID_BYTES", 1)
    cluster = dask.existing_cluster(client_or_cluster=client)
    heard(lambda: load.map(range(3)).wait(), client)
    cluster._said_bytes = 1
    assert client.get_events(cluster.topic)
    cluster.tidy()
    assert client.get_events(cluster.topic) == ()


@task(retries=2, retry_delay_seconds=0.01)
def moody(number: int) -> None:
    print("try", number)
    if number % 2:
        raise ConnectionError


def test_retries_say_which_attempt_it_was() -> None:
    """Lines of a later attempt carry its number, also where elements left their batch in between."""
    found = lines(heard(lambda: moody.map(range(4)).wait(), "threads"))
    assert found == [
        ("moody[0]", 1, "try 0"), ("moody[1]", 1, "try 1"), ("moody[1]", 2, "try 1"), ("moody[1]", 3, "try 1"),
        ("moody[2]", 1, "try 2"), ("moody[3]", 1, "try 3"), ("moody[3]", 2, "try 3"), ("moody[3]", 3, "try 3"),
    ]  # fmt: skip


@task
async def meanwhile(number: int) -> None:
    print("begin", end=" ")
    await asyncio.sleep(0.01)
    print(number, end=" ")
    await asyncio.to_thread(print, "in a thread")
    get_run_logger().info("end %d", number)


def test_async_elements_do_not_mix() -> None:
    """Elements that run at once on one loop, and in threads beside it, each have their own lines."""
    found = lines(heard(lambda: meanwhile.map(range(3)).wait(), "inline"))
    assert found == [
        (f"meanwhile[{n}]", 1, text) for n in range(3) for text in (f"begin {n} in a thread", f"end {n}")
    ]  # fmt: skip


@task(timeout_seconds=0.1)
def endless(number: int) -> None:
    print("waiting", number)
    if number == 1:
        time.sleep(0.2)
    print("done", number)


def test_an_attempt_that_takes_too_long_has_its_lines() -> None:
    """What a watched element said before it was given up is there, and the others go on."""
    found = lines(heard(lambda: endless.map(range(3)).wait(), "inline"))
    assert [line for line in found if line[2] != "done 1"] == [
        ("endless[0]", 1, "waiting 0"), ("endless[0]", 1, "done 0"), ("endless[1]", 1, "waiting 1"),
        ("endless[2]", 1, "waiting 2"), ("endless[2]", 1, "done 2"),
    ]  # fmt: skip


@task(isolation="process")
def isolated(number: int) -> None:
    get_run_logger().info("logged %d", number)
    print("printed", number, flush=True)
    if number == 1:
        os._exit(3)


def test_processes_of_their_own_are_heard_even_if_they_die() -> None:
    """What an isolated attempt logged and printed is there, also of one whose process ended in the middle."""
    found = lines(heard(lambda: isolated.map(range(2)).wait(), "inline"))
    assert sorted(found) == [
        (f"isolated[{number}]", 1, f"{what} {number}") for number in range(2) for what in ("logged", "printed")
    ]  # fmt: skip


@task
def in_threads(number: int) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, print, "with a context").result()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(print, "without one").result()


def test_threads_of_an_element_are_heard() -> None:
    """With the context of the element they are its own for certain, without one if no other batch runs."""
    found = lines(heard(lambda: in_threads.map(range(2)).wait(), "inline"))
    assert found == [(f"in_threads[{n}]", 1, text) for n in range(2) for text in ("with a context", "without one")]


def test_kept_results_say_nothing_again(tmp_path: Path) -> None:
    """Of a map some of whose results are found, the others are heard under their own indices."""
    kept = load.with_options(
        persist_result=True, result_storage=str(tmp_path), cache_key_fn=lambda _, given: str(given)
    )
    heard(lambda: kept.map([1, 3]).wait(), "inline")
    found = lines(heard(lambda: kept.map(range(5)).wait(), "inline"))
    assert [line[:1] + line[2:] for line in found if line[2].startswith("logged")] == [
        ("load[0]", "logged 0"), ("load[2]", "logged 2"), ("load[4]", "logged 4"),
    ]  # fmt: skip


@task
def talks() -> None:
    for number in range(1000):
        print(f"{number:03d}", "x" * 996)


def test_a_megabyte_is_cut() -> None:
    """Of 1 MB that an element prints 64 KiB are kept, the begin and the end, and it is said what is missing."""
    found = [notice.body[2] for notice in heard(talks, "inline") if notice.node is not None]
    assert (found[0][:3], found[-1][:3]) == ("000", "999")
    assert sum(map(len, found)) < 65_536
    assert [message for message in found if "left out" in message] == [
        "935 lines (935,935 bytes) are left out here: DATAFLOW_LOG_BYTES_PER_ELEMENT is 65536"
    ]


def test_lines_come_while_the_element_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an element says that goes on for long is told before it ends."""
    monkeypatch.setattr(batch_voice, "SEND_SECONDS", 0.02)
    was_heard = threading.Event()

    @task
    def patient() -> bool:
        print("hello")
        return was_heard.wait(10)

    def body() -> bool:
        run = current_run.get()
        assert run is not None
        run.listeners.append(lambda notices: was_heard.set())
        return patient()

    assert [flow(body, name="waits", cluster=where)() for where in ("inline", "threads")] == [True, True]


def test_the_body_of_a_flow_is_heard() -> None:
    """What a flow logs and prints itself is of the flow, of the attempt that said it, and not of tasks."""

    def body() -> None:
        print("in the body")
        get_run_logger().info("logged by it")
        load(5)
        raise ValueError

    found = heard(body, "inline", retries=1)
    assert [(notice.attempt, *notice.body) for notice in found if notice.node is None] == [
        (attempt, *line) for attempt in (1, 2)
        for line in ((0, "print", "in the body"), (20, "dataflow.flow", "logged by it"))
    ]  # fmt: skip


def test_flows_in_tasks_have_their_own_lines() -> None:
    """A flow that a task calls speaks for itself; afterwards the task speaks again."""

    @flow
    def inner() -> int:
        print("inner flow")
        return load(1)

    @task
    def outer() -> None:
        print("before")
        inner()
        print("after")

    @task
    async def outer_async() -> None:
        outer.fn()

    assert lines(heard(outer, "inline")) == [("outer", 1, "before"), ("outer", 1, "after")]
    assert lines(heard(outer_async, "inline")) == [("outer_async", 1, "before"), ("outer_async", 1, "after")]


# Prints that are lines of the log


@task
def prints(number: int) -> None:
    print("number", number)


@pytest.mark.parametrize(
    ("of_flow", "of_task", "level"), [(True, None, 20), (True, False, 0), (None, True, 20), (None, None, 0)]
)
def test_log_prints(of_flow: bool | None, of_task: bool | None, level: int, capsys: pytest.CaptureFixture[str]) -> None:
    """With log_prints, said by the task or else by its flow, prints are lines of the log, shown as such, no prints."""
    talking = prints.with_options(log_prints=of_task)
    found = heard(lambda: talking(3), "inline", log_prints=of_flow)
    assert [notice.body[0] for notice in found] == [level]
    printed, shown = capsys.readouterr()
    assert (printed, shown[12:]) == (("", " | INFO    | prints | number 3\n") if level else ("number 3\n", ""))


def test_classic_log_stdout() -> None:
    """The classic name of the option means the same, in the graph door too."""
    with Flow("classic") as classic:
        task(print, name="says", log_stdout=True)("hello")  # type: ignore[call-arg]
    assert classic.run(cluster="inline").is_successful()
    assert task(log_stdout=True)(prints.fn).options.log_prints  # type: ignore[call-overload]


# The logger


def test_get_run_logger_outside_of_runs() -> None:
    """Elsewhere it is an error that says what to do; in a task that is simply called, and where it is disabled, not."""
    with pytest.raises(UsageError, match="neither a task nor a flow is executing here"):
        get_run_logger()
    assert load(4) == 4
    with disable_run_logger():
        assert load.fn(5) == 5


def test_the_level_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATAFLOW_LOG_LEVEL says from which level on the loggers of runs let lines through."""
    for level, expected in (("DEBUG", 4), ("WARNING", 2), ("INFO", 3)):
        monkeypatch.setenv("DATAFLOW_LOG_LEVEL", level)
        settings.cache_clear()
        assert len(heard(lambda: load(1), "inline")) == expected
    monkeypatch.undo()
    settings.cache_clear()


def test_records_know_their_element() -> None:
    """Handlers that users set up get the run and the element with each record."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(flow)s %(task)s %(slug)s %(index)s %(attempt)s %(message)s"))
    logging.getLogger("dataflow.task").addHandler(handler)
    heard(lambda: load.map([5, 6]).wait(), "inline")
    logging.getLogger("dataflow.task").removeHandler(handler)
    assert out.getvalue() == "listening load load 0 1 logged 5\nlistening load load 1 1 logged 6\n"


def test_streams_are_as_before() -> None:
    """After a run nothing listens any more."""
    before = (sys.stdout, logging.Logger.callHandlers)
    heard(lambda: load(1), "threads")
    assert (sys.stdout, logging.Logger.callHandlers) == before
