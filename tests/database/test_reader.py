"""The reader answers what is asked of the database of runs, and says clearly what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.database.reader import Reader
from dataflow.database.rows import ArtifactRow, StateRow
from dataflow.errors import HistoryError
from tests.database.examples import (
    NOW,
    batch_row,
    execution_row,
    log_row,
    node_row,
    request_row,
    run_row,
    segment_row,
)

DAY = 86_400.0


def artifact_row(artifact_id: str, **changed: object) -> ArtifactRow:
    """A table."""
    given = {"id": artifact_id, "run_id": "r1", "kind": "table", "data": b"[]", "created": 1.0, "updated": 1.0}
    return ArtifactRow(**(given | changed))


@pytest.fixture
def reader(url: str) -> Reader:
    """Four runs of two flows; one was begun in another."""
    reader = Reader(url)
    reader.put(
        [
            run_row("aa1", started=NOW - 400),
            run_row("aa2", started=NOW - 300, flow="train", state=3),
            run_row("bb1", started=NOW - 200, state=1),
            run_row("bb2", started=NOW - 100, parent="bb1"),
        ]
    )
    return reader


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["bb2", "bb1", "aa2", "aa1"]),
        ({"limit": 2}, ["bb2", "bb1"]),
        ({"flow": "train"}, ["aa2"]),
        ({"flow": "etl", "limit": 1}, ["bb2"]),
        ({"states": [1, 3]}, ["bb1", "aa2"]),
        ({"states": []}, []),
        ({"since": NOW - 250}, ["bb2", "bb1"]),
        ({"ids": ["aa1", "bb2", "cc"]}, ["bb2", "aa1"]),
        ({"prefix": "aa"}, ["aa2", "aa1"]),
        ({"prefix": "%"}, []),
        ({"parent": ""}, ["bb1", "aa2", "aa1"]),
        ({"parent": "bb1"}, ["bb2"]),
        ({"flow": "etl'; DROP TABLE runs; --"}, []),
    ],
    ids=lambda given: ", ".join(given),
)
def test_runs_are_found_newest_first(reader: Reader, asked: dict[str, object], found: list[str]) -> None:
    """Every condition, alone and together with others."""
    assert [run.id for run in reader.runs(**asked)] == found


def test_a_run_is_found_by_the_beginning_of_its_id(reader: Reader) -> None:
    """A whole id wins, one candidate is enough, several are named in the error, none gives None."""
    reader.put([run_row("aa"), run_row("bb1x")])
    found = [reader.run(asked) for asked in ("aa", "aa2", "bb2", "cc")]
    assert [run and run.id for run in found] == ["aa", "aa2", "bb2", None]
    with pytest.raises(HistoryError, match=r"run 'bb1?': [23] runs begin so: .*bb1.*\n  instead: give more of the id"):
        reader.run("bb")
    assert getattr(reader.run("bb1"), "id", None) == "bb1"


def test_what_belongs_to_a_run_comes_in_order(reader: Reader) -> None:
    """States by time, executions by their begin, nodes and batches by number, elements by index, lines as written."""
    reader.put([StateRow(run_id="r1", time=time, state=1) for time in (3.0, 1.0, 2.0)])
    reader.put([execution_row("e2", started=2.0), execution_row("e1", started=1.0), execution_row("e3", "r2")])
    reader.put([node_row(2), node_row(0), node_row(1), node_row(0, "e2"), batch_row(2), batch_row(1)])
    reader.put([segment_row(5, 9, batch=7), segment_row(0, 5), segment_row(0, 2, node=1)])
    reader.put([log_row(b"1"), log_row(b"2", node=1), log_row(b"3"), log_row(b"x", "e2")])
    assert [state.time for state in reader.states("r1")] == [1.0, 2.0, 3.0]
    assert [execution.id for execution in reader.executions("r1")] == ["e1", "e2"]
    assert [node.number for node in reader.nodes("e1")] == [0, 1, 2]
    assert [node.number for node in reader.nodes("e1", number=1)] == [1]
    assert [batch.number for batch in reader.batches("e1")] == [1, 2]
    assert [(segment.node, segment.start) for segment in reader.segments("e1")] == [(0, 0), (0, 5), (1, 0)]
    assert [segment.start for segment in reader.segments("e1", 0)] == [0, 5]
    assert [segment.start for segment in reader.segments("e1", batch=7)] == [5]
    assert [row.lines for _, row in reader.logs("e1")] == [b"1", b"2", b"3"]
    assert [row.lines for _, row in reader.logs("e1", 1)] == [b"2"]


def test_new_lines_are_asked_for_by_the_last_id(reader: Reader) -> None:
    """Whoever follows a log gets each line once."""
    reader.put([log_row(b"1"), log_row(b"2")])
    seen = reader.logs("e1")
    assert reader.logs("e1", after_id=seen[-1][0]) == []
    reader.put([log_row(b"3")])
    assert [row.lines for _, row in reader.logs("e1", after_id=seen[-1][0])] == [b"3"]


def test_nodes_come_without_what_only_stories_need(reader: Reader) -> None:
    """Large columns are empty unless they are asked for; causes are always there."""
    reader.put([node_row(0, uses="[1]", rules='{"a": 1}', causes="[2]")])
    (short,), (complete,) = reader.nodes("e1"), reader.nodes("e1", complete=True)
    assert (short.uses, short.rules, short.causes) == ("[]", "{}", "[2]")
    assert (complete.uses, complete.rules, complete.causes) == ("[1]", '{"a": 1}', "[2]")


def test_artifacts_are_versions_of_their_key(reader: Reader) -> None:
    """Of each key the newest is found; those without a key stand for themselves; later rows of an id replace it."""
    reader.put(
        [
            artifact_row("a", key="report", created=1.0),
            artifact_row("b", key="report", created=2.0),
            artifact_row("c", created=3.0),
            artifact_row("d", created=4.0, run_id=""),
        ]
    )
    reader.put([artifact_row("b", key="report", created=2.0, data=b"[1]")])
    assert [row.id for row in reader.artifacts()] == ["a", "b", "c", "d"]
    assert [row.id for row in reader.artifacts("r1", newest_only=True)] == ["b", "c"]
    assert [(row.id, row.data) for row in reader.artifacts(key="report", newest_only=True)] == [("b", b"[1]")]
    assert [row.id for row in reader.artifacts("")] == ["d"]
    assert getattr(reader.artifact("b"), "data", None) == b"[1]"
    assert reader.artifact("z") is None


def test_requests_are_open_until_they_are_answered(reader: Reader) -> None:
    """In the order in which they were asked."""
    reader.put([request_row("b", asked=2.0), request_row("a", asked=1.0), request_row("c", asked=3.0, answered=4.0)])
    assert [request.id for request in reader.requests("r1")] == ["a", "b", "c"]
    assert [request.id for request in reader.requests("r1", open_only=True)] == ["a", "b"]


def test_what_would_go_can_be_looked_at_first(reader: Reader) -> None:
    """The runs that are outdated by age or number are named, oldest first, and are deleted only when that is asked."""
    going = [run.id for run in reader.outdated(keep_days=None, keep_runs=1, now=NOW)]
    assert going == ["aa1", "aa2"]
    assert [run.id for run in reader.outdated(keep_days=1, keep_runs=None, now=NOW + DAY - 250)] == going
    assert len(reader.runs()) == 4
    reader.delete_runs(going)
    assert [run.id for run in reader.runs()] == ["bb2", "bb1"]


def test_deleting_takes_all_that_belongs_to_a_run_and_nothing_else(reader: Reader) -> None:
    """Not a row of it is left in any table; those of other runs are untouched."""
    for run_id, execution_id in (("aa1", "e1"), ("bb1", "e2")):
        reader.put([execution_row(execution_id, run_id), StateRow(run_id=run_id, time=1.0, state=1)])
        reader.put([node_row(0, execution_id), batch_row(1, execution_id), segment_row(0, 1, execution_id)])
        reader.put(
            [log_row(b"", execution_id), artifact_row(f"a{run_id}", run_id=run_id), request_row(f"q{run_id}", run_id)]
        )
    reader.delete_runs(["aa1", "never was"])
    assert counts(reader, "aa1", "e1") == [0] * 8
    assert counts(reader, "bb1", "e2") == [1] * 8


def counts(reader: Reader, run_id: str, execution_id: str) -> list[int]:
    """How many rows there are of a run in each table but its own."""
    of_run = (reader.executions, reader.states, reader.artifacts, reader.requests)
    of_execution = (reader.nodes, reader.batches, reader.segments, reader.logs)
    return [len(ask(run_id)) for ask in of_run] + [len(ask(execution_id)) for ask in of_execution]


def test_what_is_not_there_is_empty_and_is_not_made(tmp_path: Path) -> None:
    """Asking creates nothing; as soon as somebody writes, the same reader finds it."""
    reader = Reader(f"sqlite:///{tmp_path}/folder/h.db")
    assert (reader.runs(), reader.run("a"), reader.logs("e"), reader.artifact("a")) == ([], None, [], None)
    assert reader.outdated(keep_days=1, keep_runs=1, now=NOW) == []
    reader.delete_runs(["a"])
    assert not (tmp_path / "folder").exists()
    Reader(f"{tmp_path}/folder/h.db").put([run_row()])
    assert [run.id for run in reader.runs()] == ["r1"]


def test_a_server_without_tables_is_empty_and_gets_none(url: str) -> None:
    """The same holds for servers: only writing makes tables."""
    assert Reader(url).runs() == []
    assert Reader(url)._database.version() is None


def test_reading_goes_on_while_others_write(url: str) -> None:
    """An open transaction of somebody else neither blocks nor shows what is not committed."""
    reader = Reader(url)
    reader.put([run_row("r1")])
    writes = Reader(url)
    with writes._database.writing() as link:
        link.many(writes._words.delete(type(run_row()), "id"), [{"id": "r1"}])
        assert [run.id for run in reader.runs()] == ["r1"]
    assert reader.runs() == []
    writes._database.close()


def test_files_with_strange_names_are_found(tmp_path: Path) -> None:
    """A path is not taken for a piece of a URL."""
    path = tmp_path / "a b%20c#d" / "runs&.db"
    Reader(str(path)).put([run_row()])
    assert path.exists()
    assert len(Reader(str(path)).runs()) == 1
