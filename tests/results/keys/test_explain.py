"""Explanations: the smallest difference between a miss and the nearest record, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dataflow_results.cache_validators import duration_only
from dataflow_results.errors import CorruptResult, KeyingError, StoreUnreachable
from dataflow_results.keying.explain import Candidate, Explanation, Reason, explain
from dataflow_results.policies import DEFAULT, FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE
from tests.results.keys.calls import (
    DAY_SECONDS,
    LOAD,
    PLACE,
    plan_of,
    preimage_of,
    stored_of,
    wanted_of,
    with_source,
)

ONE = ["x"]


def why(wanted: Any, *stored: Candidate, **said: Any) -> Explanation:
    """The explanation on the tenth day."""
    return explain(wanted, stored, now_seconds=10 * DAY_SECONDS, **said)


def test_path_inside_an_argument_is_named() -> None:
    """One changed leaf of a nested argument is named with its path and both values, and nothing else is."""
    config = {"rate": {"low": 0.1, "high": 0.9}, "name": "a"}
    changed = {"rate": {"low": 0.2, "high": 0.9}, "name": "a"}
    found = why(wanted_of(plan_of(constants={"y": changed}), x=1), stored_of(plan_of(constants={"y": config}), x=[1]))
    assert found.reason is Reason.CHANGED
    assert str(found) == (
        "No result of `load` for this: argument `y['rate']['low']` differs (0.1 before, 0.2 now). "
        "The nearest record was written by run run-1 on 1970-01-02 00:00 UTC."
    )


def test_changed_helper_is_named() -> None:
    """Of several functions that make up the source, the changed one is named."""
    before, now = with_source(load="1", clean="2"), with_source(load="1", clean="3")
    found = why(wanted_of(plan_of(identity=now), x=1, y=1), stored_of(plan_of(identity=before), x=[1], y=[1]))
    assert [str(change) for change in found.changes] == ["the source of `clean` changed"]


def test_functions_that_come_and_go_are_named() -> None:
    """A helper that is newly reached, or not any more, is a change of the source as well."""
    before, now = with_source(load="1", old="2"), with_source(load="1", new="2")
    found = why(wanted_of(plan_of(identity=now), x=1, y=1), stored_of(plan_of(identity=before), x=[1], y=[1]))
    assert [str(change) for change in found.changes] == [
        "`new` is newly used by it",
        "`old` is not used by it any more",
    ]


@pytest.mark.parametrize(
    ("policy", "changed", "text"),
    [
        (INPUTS, {"identity": replace(LOAD, version="2")}, "the task's version differs (none before, '2' now)"),
        (RUN_ID, {"place": replace(PLACE, run="run-2")}, "this is another run (run-1 before, run-2 now)"),
        (
            FLOW_PARAMETERS,
            {"place": replace(PLACE, flow_parameters={"date": "2026-02-02", "verbose": False})},
            "flow parameter `date` differs ('2026-01-01' before, '2026-02-02' now)",
        ),
        (FLOW_PARAMETERS, {"place": replace(PLACE, flow_parameters={"date": "2026-01-01"})}, "`verbose` is not there"),
    ],
)
def test_other_parts_are_named(policy: Any, changed: dict[str, Any], text: str) -> None:
    """Version, run and flow parameters are named with what they were and are."""
    found = why(wanted_of(plan_of(policy, **changed), x=1, y=1), stored_of(plan_of(policy), x=[1], y=[1]))
    assert found.reason is Reason.CHANGED
    assert len(found.changes) == 1
    assert text in str(found)


def test_changed_policy_is_named_once() -> None:
    """Another policy is one difference, not one for each part that it adds."""
    found = why(wanted_of(plan_of(DEFAULT), x=1, y=1), stored_of(plan_of(TASK_SOURCE), x=[1], y=[1]))
    assert [str(change) for change in found.changes] == [
        "the cache policy differs (TASK_SOURCE before, INPUTS + TASK_SOURCE now)"
    ]


def test_new_element_of_a_map_is_called_new() -> None:
    """If only what differs by element differs, the element is new, and nothing has changed."""
    found = why(wanted_of(plan_of(INPUTS, ONE), x=7), stored_of(plan_of(INPUTS, ONE), x=[1, 2, 3]))
    assert found.reason is Reason.NEW_ELEMENT
    assert "argument `x` differs (" in str(found)
    assert "7 now)" in str(found)


def test_nearest_is_the_fewest_arguments_then_the_newest() -> None:
    """A record with the same arguments and older code is nearer than one of today with other arguments."""
    older, newer = with_source(load="1"), with_source(load="2")
    candidates = [
        stored_of(plan_of(identity=older), days=2, x=[1, 5], y=[1, 1]),
        stored_of(plan_of(identity=older), days=1, x=[5], y=[1]),
        stored_of(plan_of(identity=newer), days=9, x=[1, 2], y=[1, 1]),
    ]
    found = why(wanted_of(plan_of(identity=newer), x=5, y=1), *candidates)
    assert (found.nearest, found.row) == (candidates[0].provenance, 1)
    assert [str(change) for change in found.changes] == ["the source of `load` changed"]


def test_rows_that_are_gone_do_not_count() -> None:
    """Only the rows that are still in the store are compared."""
    stored = replace(stored_of(plan_of(INPUTS, ONE), x=[1, 2, 3]), rows=[0, 2])
    assert why(wanted_of(plan_of(INPUTS, ONE), x=2), stored).reason is Reason.NEW_ELEMENT
    assert why(wanted_of(plan_of(INPUTS, ONE), x=3), stored).row == 2
    assert why(wanted_of(plan_of(INPUTS, ONE), x=3), replace(stored, rows=[])).reason is Reason.NOTHING_STORED


@pytest.mark.parametrize(
    ("expires_days", "refreshed", "reason"),
    [
        (5, False, Reason.EXPIRED),
        (20, False, Reason.STORED),
        (None, False, Reason.STORED),
        (20, True, Reason.REFRESHED),
    ],
)
def test_equal_keys_expire_or_are_refreshed(expires_days: float | None, refreshed: bool, reason: Reason) -> None:
    """The same key is stored: it expired, was to be refreshed, or would have been found."""
    stored = stored_of(plan_of(INPUTS, ONE), expires_days=expires_days, x=[1])
    found = why(wanted_of(plan_of(INPUTS, ONE), x=1), stored, refreshed=refreshed)
    assert (found.reason, found.changes) == (reason, ())
    assert ("expired on 1970-01-06" in str(found)) is (reason is Reason.EXPIRED)


def test_record_that_did_not_expire_is_preferred() -> None:
    """Of two records with the key, the one that is still good is the answer, though the other is newer."""
    old = stored_of(plan_of(INPUTS, ONE), days=1, x=[1])
    expired = stored_of(plan_of(INPUTS, ONE), days=3, expires_days=4, x=[1])
    assert why(wanted_of(plan_of(INPUTS, ONE), x=1), expired, old).reason is Reason.STORED


def test_index_is_matched_where_it_counts() -> None:
    """Under a policy of places, the row of the same index is the nearest."""
    plan = plan_of(duration_only(), ONE)
    stored = stored_of(plan, x=[1, 2, 3])
    wanted = preimage_of(plan, x=[4, 5, 6]).row(2)
    found = why(wanted, stored)
    assert (found.reason, found.row) == (Reason.STORED, 2)


def test_trouble_is_said_before_differences() -> None:
    """No key, no cache, a store that is away and a damaged record are each said in their words."""
    wanted = wanted_of(plan_of(INPUTS, ONE), x=1)
    stored = stored_of(plan_of(INPUTS, ONE), x=[2])
    no_key = KeyingError("is a lock", where="argument 'x'", fix="pass its name")
    assert "No key can be made for this call of `load`: argument 'x': is a lock" in str(why(no_key, task="load"))
    assert why(wanted_of(plan_of(NO_CACHE, ONE), x=1), stored).reason is Reason.NOT_CACHED
    away = why(wanted, stored, problem=StoreUnreachable("no answer", where="s3://b"))
    assert (away.reason, str(away)) == (
        Reason.UNREACHABLE,
        "The store could not be asked for results of `load`: s3://b: no answer",
    )
    assert why(wanted, stored, problem=CorruptResult("cut off", where="pack")).reason is Reason.UNUSABLE
    assert str(why(wanted)) == "No result of `load` is stored."


def test_many_changes_are_counted() -> None:
    """Three changes are named, the others counted."""
    plan, names = plan_of(INPUTS, ["a", "b", "c", "d", "e"]), "abcde"
    found = why(wanted_of(plan, **dict.fromkeys(names, 1)), stored_of(plan, **{name: [2] for name in names}))
    assert len(found.changes) == 5
    assert "; and 2 more" in str(found)


def test_added_and_dropped_arguments_are_named() -> None:
    """A new parameter of the function and one that is gone are told apart from changed values."""
    found = why(wanted_of(plan_of(INPUTS, ["x", "new"]), x=1, new=2), stored_of(plan_of(INPUTS), x=[1], y=[2]))
    assert [str(change) for change in found.changes] == [
        "argument `new` is new",
        "argument `y` is not given any more",
    ]
