"""Comparisons: what is different between two runs, from nothing but their rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, task
from dataflow.database.rows import BatchRow, ExecutionRow, NodeRow, RunRow, SegmentRow
from dataflow.engine.durations import packed
from dataflow.history.comparing import Side, compare, compared
from dataflow.history.comparisons import Change, Comparison
from dataflow.states import StateType
from tests.history.remembered import Remembered, no_history, remember, stored

COMPLETED, FAILED, CACHED = int(StateType.COMPLETED), int(StateType.FAILED), int(StateType.CACHED)
RUN = RunRow(id="a" * 12, flow="daily", name="daily", state=COMPLETED, started=1_000.0, ended=1_010.0)
EXECUTION = ExecutionRow(
    id="e", run_id=RUN.id, state=COMPLETED, started=1_000.0, heartbeat=1_010.0, process="", cluster="local"
)


def node(slug: str, number: int = 0, **fields: Any) -> NodeRow:
    """A map of 10 elements that has completed."""
    row = NodeRow(execution_id="e", number=number, slug=slug, task=slug, is_mapped=True, length=10, state=COMPLETED)
    row = replace(row, done=10, counts='{"2": 10}', seconds=20.0, started=1_000.0, ended=1_010.0)
    return replace(row, **fields)


def segment(states: bytes, seconds: float = 2.0, number: int = 0) -> SegmentRow:
    """All elements of a node."""
    column = packed([seconds] * len(states))
    return SegmentRow(execution_id="e", node=number, start=0, stop=len(states), batch=0, states=states, seconds=column)


def side(nodes: list[NodeRow], segments: list[SegmentRow], **of_run: Any) -> Side:
    """A run of these nodes."""
    batch = BatchRow(execution_id="e", number=0, worker="w0", started=1_000.0, seconds=10.0, count=10)
    return Side(run=replace(RUN, **of_run), execution=EXECUTION, nodes=nodes, batches=[batch], segments=segments)


DAILY = side([node("load")], [segment(bytes([COMPLETED] * 10))])


def test_equal_runs_have_nothing_to_tell() -> None:
    """A run is no different from itself."""
    found = compared(DAILY, DAILY)
    assert (found.parameters, found.surroundings, found.added, found.removed) == ((), (), (), ())
    assert [(one.node, one.is_changed, one.states) for one in found.nodes] == [("load", False, ())]
    assert str(found).splitlines()[-1] == "load  Completed        10       0   20.0 s   2.0 s           1"


def test_nodes_are_compared_in_numbers() -> None:
    """Sum, median and rate are those of elements that ran: what was found in the store does not count."""
    half = bytes([CACHED] * 5 + [COMPLETED] * 5)
    after = side([node("load", seconds=10.0)], [segment(half, seconds=4.0)])
    one = compared(DAILY, after).nodes[0]
    assert (one.before.seconds, one.before.median_seconds, one.before.per_second) == (20.0, 2.0, 1.0)
    assert (one.after.seconds, one.after.median_seconds, one.after.per_second) == (10.0, 4.0, 0.5)


def test_elements_that_ended_otherwise_are_named() -> None:
    """States are compared element by element, as far as both runs have them, and told as ranges."""
    now = bytes([COMPLETED, FAILED, FAILED, FAILED, *[COMPLETED] * 3, FAILED, CACHED, COMPLETED, FAILED, FAILED])
    changes = compared(DAILY, side([node("load", length=12)], [segment(now)])).nodes[0].states
    assert [(one.before, one.after, one.count, one.elements) for one in changes] == [
        ("Completed", "Failed", 4, ((1, 4), (7, 8))),
        ("Completed", "Cached", 1, ((8, 9),)),
    ]


def test_nodes_of_one_side_are_named() -> None:
    """Nodes are known by their slugs."""
    after = side([node("load", 0), node("parse", 1)], [])
    assert compared(DAILY, after).added == compared(after, DAILY).removed == ("parse",)


def test_parameters_and_surroundings_are_told() -> None:
    """What was given and where it ran stands side by side, if it is different."""
    before = side([], [], parameters=json.dumps({"year": "2013", "old": "1", "same": "x"}))
    after = side([], [], parameters=json.dumps({"year": "2014", "same": "x", "new": "2"}))
    there = replace(EXECUTION, cluster="slurm", facts=json.dumps({"threads": 400}))
    found = compared(before, replace(after, execution=there))
    assert list(map(str, found.parameters)) == ["year: 2013 → 2014", "old: 1 (gone)", "new: 2 (new)"]
    assert found.surroundings == (
        Change(name="cluster", before="local", after="slurm"),
        Change(name="threads", before=None, after="400"),
    )


def test_a_run_that_never_began_can_be_compared() -> None:
    """Without an execution there are no nodes."""
    empty = replace(side([], [], state=int(StateType.PENDING), ended=None), execution=None)
    assert compared(empty, DAILY).added == ("load",)
    assert compared(empty, DAILY).a.seconds is None


# Of real runs


@task
def load(number: int, bad: int) -> int:
    if number % 10 == bad:
        raise ValueError(f"bad record {number}")
    return number


@flow(cluster="inline")
def daily(bad: int) -> None:
    load.map(range(20), bad).wait()


def past(bad: int) -> Remembered:
    """A run in which every tenth element fails."""
    with no_history():
        return remember(daily(bad, return_state=True).run, parameters=json.dumps({"bad": str(bad)}))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Of a run in which 3 and 13 failed, and a later one in which 7 and 17 did."""
    a, b = past(3), past(7)
    return compared(side_of(a), side_of(b))


def side_of(one: Remembered) -> Side:
    """All rows of a run."""
    return Side(
        run=one.run,
        execution=one.execution,
        nodes=one.node_rows,
        batches=one.batch_rows,
        segments=one.segment_rows,
    )


def test_of_real_runs(comparison: Comparison) -> None:
    """Which elements fail now and did not, and the other way round; a failure of the same kind is no news."""
    (one,) = comparison.nodes
    assert [(change.before, change.after, change.elements) for change in one.states] == [
        ("Completed", "Failed", ((7, 8), (17, 18))),
        ("Failed", "Completed", ((3, 4), (13, 14))),
    ]
    assert one.before.failed == one.after.failed == 2
    assert (one.gone, one.new) == ((), ())
    assert (one.before.counts, one.is_changed) == ({"Completed": 18, "Failed": 2}, True)


def test_new_causes_are_told() -> None:
    """Why elements fail now and did not before, and what does not happen any more."""
    bad, good = past(3), past(-1)
    found = compared(side_of(good), side_of(bad))
    assert str(found).splitlines()[-1].startswith("new: load 3, 13: Failed: ValueError: bad record")
    new = found.nodes[0]
    gone = compared(side_of(bad), side_of(good)).nodes[0]
    assert [(cause.type, cause.count) for cause in new.new] == [("ValueError", 2)]
    assert (new.gone, gone.new, gone.gone) == ((), (), new.new)


def test_as_text(comparison: Comparison) -> None:
    """Both runs, what is different of them, a line a node, and the elements that ended otherwise."""
    lines = str(comparison).splitlines()
    assert lines[0].split()[0:3:2] == ["a", "daily"]
    assert lines[2] == "parameters: bad: 3 → 7"
    assert lines[4].split() == ["NODE", "STATE", "ELEMENTS", "FAILED", "SECONDS", "MEDIAN", "PER", "SECOND"]
    assert lines[5].split()[:4] == ["load", "Failed", "20", "2"]
    assert lines[7:] == ["load 7, 17: Completed → Failed", "load 3, 13: Failed → Completed"]
    assert repr(comparison) == str(comparison)


def test_in_a_notebook(comparison: Comparison) -> None:
    """The same as HTML, with its text escaped."""
    shown = comparison._repr_html_()
    assert "<td" in shown
    assert "load 7, 17: Completed → Failed" in shown
    odd = replace(comparison, parameters=(Change(name="<b>", before="1", after="2"),))
    assert "&lt;b&gt;" in odd._repr_html_()


def test_for_programs(comparison: Comparison) -> None:
    """As JSON with plain values and times in UTC; as a table with both runs beside each other."""
    found = json.loads(json.dumps(comparison.to_dict()))
    assert found["a"]["started"] == "1970-01-01T00:00:00+00:00"
    assert found["nodes"][0]["states"][0]["elements"] == [[7, 8], [17, 18]]
    table = comparison.to_pandas()
    assert table.loc[0, ["node", "failed_a", "failed_b", "changed"]].tolist() == ["load", 2, 2, 4]


def test_long_comparisons_are_cut() -> None:
    """Of many nodes those are shown in which something changed, and a bounded number of lines."""
    names = [f"load-{number}" for number in range(200)]
    nodes = [node(name, number) for number, name in enumerate(names)]
    good = [segment(bytes([COMPLETED] * 10), number=number) for number in range(200)]
    bad = [segment(bytes([FAILED] * 10), number=number) for number in range(150)]
    found = str(compared(side(nodes, good), side(nodes, [*bad, *good[150:]]))).splitlines()
    assert len(found) < 90
    assert "170 more nodes" in found
    assert found[-1] == "… 110 more lines"


def test_from_a_database(tmp_path: Path) -> None:
    """Two runs are compared by their rows in a database."""
    a, b = past(3), past(7)
    stored(a, tmp_path)
    found = compare(stored(b, tmp_path), a.run, b.run)
    assert found == compared(side_of(a), side_of(b))


def test_of_a_flow_with_another_name() -> None:
    """Runs of different flows can be compared; that they are is told."""
    other = side([node("load")], [segment(bytes([COMPLETED] * 10))], flow="weekly")
    assert "flow: daily → weekly" in str(compared(DAILY, other)).splitlines()
