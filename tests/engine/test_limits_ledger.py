"""The ledger of limits: grants in order, never more than the limit, and in the end everybody."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.engine.limits.ledger import Holder, Ledger, Rates, Refusal
from dataflow.errors import UsageError
from dataflow.known_limits import Limit, Place, effective, limit_of

A, B, C, D = (("worker", number) for number in range(4))


def ledger_of(**limits: int) -> Ledger:
    ledger = Ledger()
    for name, limit in limits.items():
        ledger.set_limit(name, limit)
    return ledger


def one(name: str = "db", count: int = 1, limit: int | None = None) -> tuple[Place, ...]:
    return (Place(name, count, limit),)


def test_places_are_granted_while_there_are_some_then_requests_wait() -> None:
    """Two places: the third request waits and is granted when a place is given back."""
    ledger = ledger_of(db=2)
    assert [ledger.request(holder, one()) for holder in (A, B, C)] == [1, 1, 0]
    assert (ledger.held("db"), ledger.waiting("db")) == (2, 1)
    assert ledger.release(A) == [C]
    assert (ledger.held("db"), ledger.waiting("db")) == (2, 0)


def test_a_large_request_is_not_overtaken() -> None:
    """A request for all places waits, and the small ones behind it wait for it, although there would be room."""
    ledger = ledger_of(db=2)
    assert [ledger.request(A, one()), ledger.request(B, one(count=2)), ledger.request(C, one())] == [1, 0, 0]
    assert ledger.release(A) == [B]
    assert ledger.release(B) == [C]


def test_places_of_two_names_come_together_or_not_at_all() -> None:
    """A request of two names holds none of both while it waits, and others that come later on one name wait for it."""
    ledger = ledger_of(db=1, api=1)
    assert ledger.request(A, one("db")) == 1
    assert ledger.request(B, (*one("api"), *one("db"))) == 0
    assert ledger.held("api") == 0
    assert ledger.request(C, one("api")) == 0
    assert ledger.release(A) == [B]
    assert ledger.release(B) == [C]


def test_who_stops_waiting_makes_way() -> None:
    """When the first in the queue gives up, the one behind it is granted if there is room for it."""
    ledger = ledger_of(db=2)
    ledger.request(A, one())
    ledger.request(B, one(count=2))
    ledger.request(C, one())
    assert ledger.release(B) == [C]


def test_an_owner_that_is_gone_frees_all_it_held_and_wanted() -> None:
    """A dead worker's places go to those who wait, and its own requests are forgotten."""
    ledger = ledger_of(db=2)
    ledger.request(("dead", 1), one())
    ledger.request(("dead", 2), one())
    ledger.request(("dead", 3), one())
    ledger.request(A, one(count=2))
    assert ledger.drop("dead") == [A]
    assert ledger.release(A) == []
    assert ledger.is_empty


def test_what_can_never_be_had_is_refused() -> None:
    """A name without a limit, and more places than there are, are refused; a limit said with the request counts."""
    ledger = ledger_of(db=2)
    assert ledger.request(A, one("nobody")) == Refusal("nobody", 1, None)
    assert ledger.request(A, one(count=3)) == Refusal("db", 3, 2)
    assert ledger.request(A, one("mine", limit=1)) == 1
    assert ledger.request(B, one("mine", limit=1)) == 0


def test_a_limit_that_was_set_wins_over_one_that_is_said() -> None:
    """The code says 5, somebody has set 1: one is granted."""
    ledger = ledger_of(db=1)
    assert [ledger.request(holder, one(limit=5)) for holder in (A, B)] == [1, 0]


def test_raising_a_limit_grants_and_lowering_it_refuses() -> None:
    """More places are given out at once; a request that is larger than the new limit is told so and is forgotten."""
    ledger = ledger_of(db=1)
    ledger.request(A, one())
    ledger.request(B, one())
    assert ledger.set_limit("db", 3) == ([B], {})
    ledger.request(C, one(count=3))
    ledger.request(D, one())
    assert ledger.set_limit("db", 2) == ([], {C: Refusal("db", 3, 2)})
    assert ledger.release(A) == [D]


def test_giving_back_twice_is_harmless() -> None:
    """A place that was given back, or never asked for, is not given out twice."""
    ledger = ledger_of(db=1)
    ledger.request(A, one())
    ledger.request(B, one())
    assert ledger.release(A) == [B]
    assert ledger.release(A) == []
    assert ledger.held("db") == 1


def test_an_elastic_request_takes_what_is_free() -> None:
    """Of up to 5 places it gets the 2 that are free; when none is, it waits for the first, and holds its turn."""
    ledger = ledger_of(db=3)
    assert ledger.request(A, one()) == 1
    assert ledger.request(B, one(count=5), elastic=True) == 2
    assert ledger.request(C, one(count=5), elastic=True) == 0
    assert ledger.release(B) == [C]
    assert (ledger.granted(C), ledger.held("db")) == (2, 3)


NAMES = ("db", "api", "gpu")
LIMITS = {"db": 3, "api": 2, "gpu": 1}
asked = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), min_size=1, max_size=3).map(
    lambda counts: tuple(Place(name, min(count, LIMITS[name])) for name, count in counts.items())
)
steps = st.lists(st.one_of(asked, st.integers(0, 5)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_never_more_than_the_limit_in_order_and_everybody_in_the_end(steps: list[tuple[Place, ...] | int]) -> None:
    """Whatever is asked for and given back in any order: held places stay within the limits, each name is served in the
    order of asking, and when all give back, all that waited have been served and nothing is left.
    """
    ledger = ledger_of(**LIMITS)
    asked_for: dict[Holder, tuple[Place, ...]] = {}
    held: deque[Holder] = deque()
    served: list[Holder] = []

    def granted(holders: list[Holder]) -> None:
        held.extend(holders)
        served.extend(holders)
        for name, limit in LIMITS.items():
            count = sum(place.count for holder in held for place in asked_for[holder] if place.name == name)
            assert count == ledger.held(name)
            assert count <= limit

    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            holder = (f"owner-{number % 3}", number)
            asked_for[holder] = step
            granted([holder] if ledger.request(holder, step) else [])
        elif held:
            held.rotate(-step)
            granted(ledger.release(held.popleft()))
    while held:
        granted(ledger.release(held.popleft()))
    assert ledger.is_empty
    for name in NAMES:
        in_order = [holder for holder, places in asked_for.items() if any(place.name == name for place in places)]
        assert [holder for holder in served if holder in in_order] == in_order


def test_a_rate_gives_even_times() -> None:
    """With 10/s the turns of five who ask at once come every 0.1 s; two uses move the next one by two turns."""
    rates = Rates()
    rates.set_rate("api", Limit(interval_seconds=0.1))
    waits = [rates.reserve("api", count, None, 9.0, now=5.0) for count in (1, 1, 2, 1, 1)]
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.5])
    assert rates.reserve("api", 1, None, 9.0, now=7.0) == 0.0


def test_a_turn_that_comes_too_late_is_not_taken() -> None:
    """Who would have to wait longer than he wants to leaves his turn to the next one."""
    rates = Rates()
    assert rates.reserve("api", 10, 0.1, 9.0, now=0.0) == 0.0
    assert rates.reserve("api", 1, 0.1, 0.5, now=0.0) == pytest.approx(1.0)
    assert rates.reserve("api", 1, 0.1, 9.0, now=0.0) == pytest.approx(1.0)


def test_a_rate_that_nobody_set_is_told() -> None:
    """Without a rate there is no time to give."""
    assert Rates().reserve("api", 1, None, 9.0, now=0.0) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (3, Limit(places=3)),
        ("3", Limit(places=3)),
        ("10/s", Limit(interval_seconds=0.1)),
        ("120 / min", Limit(interval_seconds=0.5)),
        ("0.5/s", Limit(interval_seconds=2.0)),
        ("3600/hour", Limit(interval_seconds=1.0)),
    ],
)
def test_how_limits_are_written(said: int | str, meant: Limit) -> None:
    """Numbers are places, and so often in a unit of time is a rate."""
    assert limit_of(said, "x") == meant


@pytest.mark.parametrize("said", [0, -1, True, 1.5, "", "many", "10/fortnight", "0/s", "1..2/s", None])
def test_what_is_no_limit_is_refused(said: object) -> None:
    """Anything else is refused, with what to write instead."""
    with pytest.raises(UsageError, match="is no limit"):
        limit_of(said, "x")  # type: ignore[arg-type]


def test_tags_without_a_limit_cost_nothing() -> None:
    """Of the limits that a task carries, those that nobody has set are left out."""
    assert effective((("task:load", 2), ("tag:unheard-of", None))) == (("task:load", 2),)
