"""The functions of the demo, one element at a time and against pandas on one day, without running a flow."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from notebooks import flights
from notebooks.flights import Day, Hour, SkyLine, Verdict, sky_of

NAN = math.nan


@pytest.mark.parametrize(
    ("hour", "sky"),
    [
        (None, "no report"),
        ((NAN, 5.0, 0.0, 10.0), "no report"),
        ((50.0, NAN, 0.0, 10.0), "no report"),
        ((50.0, 1048.4, 0.0, 10.0), "no report"),
        ((34.0, 5.0, 0.01, 10.0), "snow or ice"),
        ((35.0, 5.0, 0.01, 10.0), "light rain"),
        ((50.0, 5.0, 0.10, 10.0), "light rain"),
        ((50.0, 5.0, 0.11, 10.0), "heavy rain"),
        ((50.0, 25.0, 0.0, 2.5), "fog"),
        ((50.0, 20.0, 0.0, 3.0), "strong wind"),
        ((50.0, 19.9, 0.0, 10.0), "fair"),
    ],
)
def test_sky_is_named_by_the_worst_of_it(hour: Hour | None, sky: str) -> None:
    """Each border between two kinds of weather is where the table says."""
    assert sky_of(hour) == sky


@pytest.mark.parametrize(
    ("left", "arrived", "verdict"),
    [
        (None, None, ("fair", "cancelled", 0.0)),
        (5.0, None, ("fair", "diverted", 0.0)),
        (5.0, 14.0, ("fair", "on time", 14.0)),
        (5.0, 15.0, ("fair", "late", 15.0)),
    ],
)
def test_one_flight_is_judged(left: float | None, arrived: float | None, verdict: Verdict) -> None:
    """A flight is cancelled, diverted, on time or late, by what it never did or how late it was."""
    assert flights.judge.fn(("JFK", "9 am", left, arrived), {("JFK", "9 am"): (50.0, 5.0, 0.0, 10.0)}) == verdict


def test_sums_count_each_flight_once() -> None:
    """A line per sky holds all flights, the late, the cancelled, and the minutes of those that arrived."""
    verdicts: list[Verdict] = [("fog", "late", 30.0), ("fog", "on time", -5.0), ("fog", "cancelled", 0.0)]
    lines = {line.sky: line for line in flights.sum_up.fn(verdicts)}
    assert lines["fog"] == SkyLine("fog", flights=3, cancelled=1, late=1, arrived=2, minutes_late=25.0)
    assert lines["fair"] == SkyLine("fair", flights=0, cancelled=0, late=0, arrived=0, minutes_late=0.0)


def test_a_day_has_a_row_per_flight() -> None:
    """The day's pandas task and the day's plain tuples speak of the same flights."""
    new_year = next(iter(flights.read_days.fn()))
    rows = flights.flights_of.fn(new_year)
    day = flights.day_of.fn(new_year, flights.read_weather.fn())
    assert (day.month, day.day, day.flights, day.cancelled) == (1, 1, 842, 4)
    assert len(rows) == day.flights
    assert sum(late for *_, late in rows if late is not None) == day.minutes_late


def test_the_picture_is_saved(tmp_path: Path) -> None:
    """Drawing writes a PNG, also for days without arrivals."""
    day = Day(month=2, day=3, flights=1, cancelled=1, arrived=0, minutes_late=0.0, windiest_mph=None)
    skies = [SkyLine(sky, flights=2, cancelled=1, late=0, arrived=1, minutes_late=9.0) for sky in flights.SKIES]
    flights.draw([day], skies, tmp_path / "year.png")
    assert (tmp_path / "year.png").read_bytes().startswith(b"\x89PNG")
