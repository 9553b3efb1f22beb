"""Interval sets behave as sets of integers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.engine.intervals import IntervalSet, common

HIGHEST = 40
PAIRS = st.tuples(st.integers(0, HIGHEST), st.integers(0, HIGHEST))
FEW = settings(max_examples=200, deadline=None, derandomize=True)


def made(pairs: list[tuple[int, int]]) -> tuple[IntervalSet, set[int]]:
    """The same indices as an interval set and as a set."""
    intervals, truth = IntervalSet(), set[int]()
    for start, stop in pairs:
        intervals.add(start, stop)
        truth.update(range(start, stop))
    return intervals, truth


def members(intervals: object) -> list[int]:
    """Every index of some intervals, as often as they hold it."""
    return [index for start, stop in intervals for index in range(start, stop)]  # type: ignore[attr-defined]


@FEW
@given(st.lists(PAIRS), PAIRS)
def test_it_is_a_set(pairs: list[tuple[int, int]], window: tuple[int, int]) -> None:
    """What was added is in it, what lies between is missing from it, and its size is right."""
    intervals, truth = made(pairs)
    inside = set(range(*window))
    assert members(intervals) == sorted(truth)
    assert intervals.count() == len(truth)
    assert members(intervals.within(*window)) == sorted(truth & inside)
    assert members(intervals.missing(*window)) == sorted(inside - truth)


@FEW
@given(st.lists(PAIRS))
def test_its_intervals_are_apart(pairs: list[tuple[int, int]]) -> None:
    """Neighbours are joined: between two intervals at least one index is missing."""
    intervals = list(made(pairs)[0])
    assert all(start < stop for start, stop in intervals)
    assert all(before[1] < after[0] for before, after in pairwise(intervals))


@FEW
@given(st.lists(st.lists(PAIRS), min_size=1, max_size=3))
def test_what_is_common_is_in_all(many: list[list[tuple[int, int]]]) -> None:
    """The common intervals hold exactly the indices that every set has."""
    sets = [made(pairs) for pairs in many]
    assert members(common([intervals for intervals, _ in sets])) == sorted(set.intersection(*[t for _, t in sets]))


def test_a_long_run_is_one_interval() -> None:
    """A million indices added one batch after the other, in any order, are one pair of numbers."""
    intervals = IntervalSet()
    for start in (*range(0, 1_000_000, 20_000), *range(10_000, 1_000_000, 20_000)):
        intervals.add(start, start + 10_000)
    assert list(intervals) == [(0, 1_000_000)]
