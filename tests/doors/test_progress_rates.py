"""Rates and remaining times, from counts that grow by whole batches."""

from __future__ import annotations

import pytest

from dataflow.progress.lines import shown_eta, shown_rate
from dataflow.progress.rates import Pace, eta_seconds


def pace_of(batches: list[tuple[float, int]], begun: float = 0.0) -> Pace:
    """The pace after batches, each as its time and how many elements had ended by then."""
    pace = Pace(begun)
    for now, done in batches:
        pace.see(now, done)
    return pace


def test_nothing_has_a_rate_before_the_first_batch() -> None:
    """While no element has ended there is no rate and no remaining time."""
    pace = Pace(5.0)
    assert pace.rate(9.0) is None
    assert pace.mean() is None
    assert eta_seconds(0, 100, pace.rate(9.0)) is None


def test_first_batch_counts_from_the_begin() -> None:
    """The first batch tells a rate already: from when it was begun to when it was seen."""
    assert pace_of([(12.0, 500)], begun=10.0).rate(12.1) == 250.0


def test_rate_stays_between_two_batches() -> None:
    """A moment between two batches changes nothing, so that the display does not flicker."""
    pace = pace_of([(1.0, 100), (2.0, 200), (3.0, 300)])
    assert [pace.rate(now) for now in (3.0, 3.5, 4.0, 4.9)] == [100.0] * 4


def test_rate_is_that_of_the_last_ten_seconds() -> None:
    """What was long ago is forgotten: a run that has become ten times as fast says so ten seconds later."""
    slow = [(float(second), 10 * second) for second in range(1, 31)]
    fast = [(30.0 + second, 300 + 100 * second) for second in range(1, 12)]
    assert pace_of(slow).rate(30.0) == 10.0
    assert pace_of(slow + fast).rate(41.0) == 100.0


def test_batches_that_come_in_herds_give_an_even_rate() -> None:
    """Eight workers whose batches of 30 s end together: the rate stays near 8 batches per 30 s at any moment."""
    herds = [(30.0 * herd + 0.1 * worker, 8 * (herd - 1) + worker) for herd in range(1, 6) for worker in range(1, 9)]
    pace = Pace(0.0)
    rates = []
    for now, done in herds:
        pace.see(now, done)
        rates.append(pace.rate(now) or 0.0)
    assert all(0.7 * 8 / 30 < rate < 1.3 * 8 / 30 for rate in rates[16:])


def test_rate_falls_when_nothing_comes() -> None:
    """A batch that is late by more than twice the longest pause lowers the rate, more and more."""
    pace = pace_of([(1.0, 100), (2.0, 200)])
    assert pace.rate(3.9) == 100.0
    assert pace.rate(6.0) == pytest.approx(200 / 6)
    assert pace.rate(98.0) == pytest.approx(200 / 98)


def test_same_count_is_no_batch() -> None:
    """Looking again without anything new leaves everything as it was."""
    pace = pace_of([(1.0, 100), (1.25, 100), (1.5, 100), (2.0, 200)])
    assert pace.rate(2.0) == 100.0
    assert pace.mean() == 100.0


def test_time_that_stands_still_divides_by_nothing() -> None:
    """A batch that is seen when the first element was begun has no rate yet."""
    assert pace_of([(5.0, 100)], begun=5.0).rate(5.0) is None


def test_samples_are_bounded() -> None:
    """Hours of batches do not fill the memory."""
    pace = pace_of([(second / 4, second) for second in range(1, 20_000)])
    assert len(pace._samples) < 100


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(None, ""), (0.0, ""), (8_932.0, "8,900/s"), (99.6, "100/s"), (9.96, "10/s"), (1.0, "1.0/s"), (0.5, "30/min"),
     (0.001, "3.6/h")],
)  # fmt: skip
def test_rates_are_shown_in_the_unit_that_suits(rate: float | None, shown: str) -> None:
    """Two digits, per second, minute or hour."""
    assert shown_rate(rate) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0.0, "0 s"), (0.2, "1 s"), (59.5, "1 min 0 s"), (3_599.0, "59 min 59 s"), (86_400.0, "1 d 0 h")],
)
def test_remaining_times_are_rounded_up(seconds: float | None, shown: str) -> None:
    """The rest never takes 0 s while there is one."""
    assert shown_eta(seconds) == shown
