"""Limits that are written or used wrongly say what to write instead, and what is used without Dask works as well."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dataflow import concurrency, flow, rate_limit, task
from dataflow.engine.limits.local import local_desk
from dataflow.errors import NotFinished, UsageError
from dataflow.known_limits import defined
from dataflow.limits import rate_limit_async, set_limit


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: concurrency(""), "names no limit"),
        (lambda: concurrency([]), "names no limit"),
        (lambda: concurrency(3), "names no limit"),  # type: ignore[arg-type]
        (lambda: concurrency("db", 0), "no number of places"),
        (lambda: concurrency("db", True), "no number of places"),
        (lambda: concurrency("db", limit=0), "is no limit"),
        (lambda: concurrency("db", limit="10/s"), "how often, not how many"),  # type: ignore[arg-type]
        (lambda: concurrency("db", 4, limit=3).__enter__(), "only 3"),
        (lambda: concurrency("db").__enter__(), "there is no such limit"),
        (lambda: rate_limit("api"), "nobody said how often"),
        (lambda: rate_limit("api", limit=3), "how many, not how often"),  # type: ignore[arg-type]
        (lambda: rate_limit("api", -1, limit="1/s"), "no number of places"),
        (lambda: set_limit("db", "lots"), "is no limit"),
    ],
)
def test_what_is_wrong_is_refused(use: Callable[[], Any], message: str) -> None:
    """Each mistake is an error of usage that says what was wrong, and nothing is held afterwards."""
    with pytest.raises(UsageError, match=message):
        use()
    assert local_desk().ledger.is_empty


@pytest.mark.parametrize("text", ["database", "database=", "=3", "database=many", "a=1,b"])
def test_a_setting_that_cannot_be_read_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry that is wrong is named when the setting is read."""
    from dataflow import known_limits

    with pytest.raises(UsageError, match="is no limit"):
        known_limits._from_setting(text)


def test_the_setting_names_limits() -> None:
    """Places and rates stand in one setting."""
    from dataflow import known_limits

    found = known_limits._from_setting(" database=3, api = 10/s,")
    assert {name: str(limit) for name, limit in found.items()} == {"database": "3", "api": "10/s"}


def test_threads_of_plain_python_wait_for_each_other() -> None:
    """Without a cluster a limit holds within the process; who comes second waits, and gives up in time if he wants."""
    order: list[str] = []

    def second() -> None:
        with concurrency("printer", limit=1):
            order.append("second")

    with concurrency("printer", limit=1):
        thread = threading.Thread(target=second)
        thread.start()
        with pytest.raises(NotFinished):
            _in_thread(lambda: concurrency("printer", limit=1, timeout_seconds=0.02).__enter__())
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert local_desk().ledger.is_empty


def _in_thread(use: Callable[[], Any]) -> Any:
    """What a call gives in a thread of its own, where nothing is held."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            use()
        except BaseException as error:  # noqa: BLE001 - boundary of the thread: raised again outside of it
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(5)
    if caught:
        raise caught[0]


def test_a_block_that_raises_gives_its_places_back() -> None:
    """An error inside of the block passes, and the place is free."""
    with pytest.raises(ZeroDivisionError), concurrency("printer", limit=1):
        raise ZeroDivisionError
    assert local_desk().ledger.is_empty


def test_a_turn_that_comes_too_late_is_refused_at_once() -> None:
    """With one turn a minute the second one is not waited for."""
    rate_limit("slow", limit="1/min")
    began = time.monotonic()
    with pytest.raises(NotFinished, match="within 1 s"):
        rate_limit("slow", limit="1/min", timeout_seconds=1)
    assert time.monotonic() - began < 0.5


def test_async_code_without_a_cluster() -> None:
    """Coroutines wait for places and turns without stopping each other."""

    async def one(events: list[str]) -> None:
        await rate_limit_async("quick", limit="1000/s")
        async with concurrency("screen", limit=1):
            events.append("in")
            await asyncio.sleep(0)
            events.append("out")

    async def three() -> list[str]:
        events: list[str] = []
        await asyncio.gather(*(one(events) for _ in range(3)))
        return events

    assert asyncio.run(three()) == ["in", "out"] * 3
    assert local_desk().ledger.is_empty


def test_inline_flows_keep_limits() -> None:
    """Limited tasks and code run inline as anywhere; nothing is held afterwards."""
    set_limit("letters", 2)
    try:

        @task(concurrency_limit=1, tags=["letters"])
        def first(item: int) -> int:
            return item + 1

        @task
        def then(item: int) -> int:
            with concurrency("paper", occupy=2, limit=2):
                return item * 2

        @flow(cluster="inline")
        def letters() -> Any:
            return then.map(first.map(range(3)))

        assert letters() == [2, 4, 6]
    finally:
        set_limit("letters", None)
    assert "letters" not in defined()
    assert local_desk().ledger.is_empty
