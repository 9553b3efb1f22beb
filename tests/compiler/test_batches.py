"""Decisions about batches, as tables: what was measured goes in, a number comes out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.compiler.batches import Pace, batch_size, budget_seconds, may_send

UNKNOWN = Pace()
MILLISECOND = Pace(1000, 1.0)
MICROSECOND = Pace(1_000_000, 1.0)
SECOND = Pace(10, 10.0)
NO_TIME = Pace(100, 0.0)


@pytest.mark.parametrize(
    ("chosen", "pace", "remaining", "threads", "least", "expected"),
    [
        pytest.param(7, UNKNOWN, 100, 2, 1, 7, id="chosen by the user"),
        pytest.param(7, MILLISECOND, 3, 2, 1, 3, id="chosen, but fewer remain"),
        pytest.param(None, UNKNOWN, 1, 2, 1, 1, id="pilot of one"),
        pytest.param(None, UNKNOWN, 160, 2, 1, 10, id="pilot: half of a share of an eighth"),
        pytest.param(None, UNKNOWN, 10_000_000, 2, 1, 4096, id="pilot has an end"),
        pytest.param(None, UNKNOWN, 1000, 2, 256, 256, id="pilot of async elements fills a loop"),
        pytest.param(None, UNKNOWN, 100, 2, 256, 100, id="pilot of async elements, fewer remain"),
        pytest.param(None, MILLISECOND, 100_000, 2, 1, 500, id="half a second of a long map"),
        pytest.param(None, MILLISECOND, 2_000, 2, 1, 250, id="an even share of the end"),
        pytest.param(None, MILLISECOND, 100, 2, 1, 50, id="two threads get half of the end each"),
        pytest.param(None, MILLISECOND, 20, 2, 1, 20, id="the last ones together"),
        pytest.param(None, MICROSECOND, 10_000_000, 2, 1, 500_000, id="fast elements in large batches"),
        pytest.param(None, SECOND, 1000, 2, 1, 1, id="an element longer than a batch stands alone"),
        pytest.param(None, SECOND, 1000, 2, 64, 64, id="slow async elements still fill a loop"),
        pytest.param(None, NO_TIME, 80_000_000, 2, 1, 1_000_000, id="elements that take no time have an end too"),
        pytest.param(None, MILLISECOND, 100_000, 1000, 1, 100, id="many threads: not cut below 100 ms"),
    ],
)
def test_batch_size(chosen: int | None, pace: Pace, remaining: int, threads: int, least: int, expected: int) -> None:
    """Half a second a batch, smaller towards the end, and what the user chose before all."""
    found = batch_size(chosen=chosen, pace=pace, remaining=remaining, threads=threads, batch_seconds=0.5, least=least)
    assert found == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    chosen=st.none() | st.integers(1, 10**6),
    pace=st.builds(Pace, st.floats(0, 1e9), st.floats(0, 1e6)),
    remaining=st.integers(1, 10**9),
    threads=st.integers(1, 10**4),
    least=st.integers(1, 1000),
)
def test_a_batch_is_never_empty_nor_larger_than_what_remains(
    chosen: int | None, pace: Pace, remaining: int, threads: int, least: int
) -> None:
    """Whatever was measured."""
    size = batch_size(chosen=chosen, pace=pace, remaining=remaining, threads=threads, batch_seconds=0.5, least=least)
    assert 1 <= size <= remaining


def test_shares_shrink_so_that_threads_end_together() -> None:
    """Four threads, 4,000 elements of 1 ms: batches get smaller until they are 25 ms long."""
    remaining, sizes = 4000, []
    while remaining:
        sizes.append(batch_size(chosen=None, pace=MILLISECOND, remaining=remaining, threads=4, batch_seconds=0.5))
        remaining -= sizes[-1]
    assert (sizes[0], sizes[-2]) == (250, 25)
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)


@pytest.mark.parametrize(
    ("chosen", "pace", "expected"),
    [
        pytest.param(10, UNKNOWN, None, id="a chosen size is kept, however long it takes"),
        pytest.param(None, UNKNOWN, 0.05, id="a pilot ends soon"),
        pytest.param(None, MILLISECOND, 1.0, id="twice the time that a batch should take"),
    ],
)
def test_budget_seconds(chosen: int | None, pace: Pace, expected: float | None) -> None:
    """After how long a batch gives its rest back."""
    assert budget_seconds(chosen=chosen, pace=pace, batch_seconds=0.5) == expected


@pytest.mark.parametrize(
    ("in_flight", "in_flight_seconds", "next_seconds", "threads", "expected"),
    [
        pytest.param(0, 0.0, None, 1, True, id="an idle cluster"),
        pytest.param(2, 900.0, 300.0, 1, True, id="three per thread, however long they take"),
        pytest.param(3, 0.3, None, 1, False, id="no more before anything was measured"),
        pytest.param(3, 0.3, 0.5, 1, True, id="short ones up to a second"),
        pytest.param(3, 0.6, 0.5, 1, False, id="a second is enough"),
        pytest.param(400, 0.8, 0.0001, 1, True, id="tiny ones"),
        pytest.param(500, 0.999, 0.0001, 1, False, id="tiny ones count two milliseconds"),
        pytest.param(299, 900.0, 10.0, 100, True, id="three for each of many threads"),
        pytest.param(1024, 0.0, 0.001, 100_000, True, id="threads before the bound"),
        pytest.param(1024, 0.0, 0.001, 10, False, id="never more than that many tiny ones"),
        pytest.param(7, 1.9, 0.05, 2, True, id="a second for each thread"),
    ],
)
def test_may_send(
    in_flight: int, in_flight_seconds: float, next_seconds: float | None, threads: int, expected: bool
) -> None:
    """Three batches per thread, or a second of work per thread if batches are short."""
    found = may_send(
        in_flight=in_flight, in_flight_seconds=in_flight_seconds, next_seconds=next_seconds, threads=threads
    )
    assert found is expected


def test_the_pace_follows_the_latest_batches() -> None:
    """After elements became ten times as slow, three batches are enough to know nearly how slow."""
    pace = Pace()
    assert pace.seconds_per_element is None
    pace.learn(100, 1.0)
    assert pace.seconds_per_element == 0.01
    for _ in range(3):
        pace.learn(100, 10.0)
    assert pace.seconds_per_element == pytest.approx(0.094)
