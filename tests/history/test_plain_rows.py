"""The history of runs with many plain nodes: most stand in one row with others, and none is told of differently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, task
from dataflow.cache_policies import INPUTS
from dataflow.database.reader import Reader
from dataflow.database.rows import NodeRow, PlainNodesRow
from dataflow.database.statements import Query
from dataflow.recording.kinds import Kinds
from dataflow.recording.plain_rows import PlainRows
from dataflow.session import Run
from tests.fates import half, parse, patient, told, total
from tests.history.remembered import remember


def loop() -> None:
    for number in range(40):
        half.submit(number)


def chains() -> None:
    for number in range(10):
        half.submit(half.submit(number))
    total.submit([half.submit(1), half.submit(2)])


def failures() -> None:
    for text in ("1", "two", "3", "4"):
        half.submit(parse.submit(text))


def second_attempts_and_words_of_their_own() -> None:
    for number in range(4):
        patient.submit(number)
        told.submit(number)


def among_maps() -> None:
    mapped = half.map(range(20))
    for number in range(5):
        half.submit(number)
    total.submit(mapped)


@task(persist_result=True, cache_policy=INPUTS)
def keep(number: int) -> int:
    return number


def kept_results() -> None:
    for number in (1, 2, 1):
        keep.submit(number).wait()


FLOWS: list[Callable[[], None]] = [
    loop,
    chains,
    failures,
    second_attempts_and_words_of_their_own,
    among_maps,
    kept_results,
]


@pytest.mark.parametrize("cluster", ["inline", "threads"])
@pytest.mark.parametrize("body", FLOWS, ids=lambda body: body.__name__)
def test_rows_of_a_run_are_those_of_single_nodes(
    body: Callable[[], None], cluster: str, own_history: str, tmp_path: Path
) -> None:
    """Whatever becomes of its nodes: the database gives the rows that each of them would have been given by itself."""

    @flow(cluster=cluster, result_storage=tmp_path / "results")
    def main() -> None:
        body()

    run = main(return_state=True).run
    assert isinstance(run, Run)
    reader, past = Reader(own_history), remember(run)
    execution = reader.executions(run.id)[0].id
    assert as_values(reader.nodes(execution, complete=True)) == as_values(
        sorted(past.node_rows, key=lambda row: row.number)
    )
    assert as_values(reader.segments(execution)) == as_values(
        sorted(past.segment_rows, key=lambda row: (row.node, row.start))
    )


def as_values(rows: Any) -> list[Any]:
    """Rows without the id of their execution."""
    return [replace(row, execution_id="") for row in rows]


def test_a_loop_is_a_row_or_two(own_history: str) -> None:
    """A thousand calls that end well take no rows of their own, however often the writer looks."""

    @flow(cluster="inline")
    def main() -> None:
        for number in range(1000):
            half.submit(number)

    main()
    reader = Reader(own_history)
    execution = reader.executions(reader.runs()[0].id)[0].id
    packed = reader._plain_nodes(execution, None)
    assert sum(row.count for row in packed) == len(reader.nodes(execution)) == 1000
    assert len(packed) < 20
    assert reader._rows(Query(reader._words, NodeRow)) == []


def test_what_is_written_already_stays_with_its_row() -> None:
    """A node that was written while it waited is told of in that row, when it has ended."""

    @flow(cluster="inline")
    def main() -> None:
        loop()

    run = main(return_state=True).run
    assert isinstance(run, Run)
    log = run.log
    rows, rest = PlainRows("e1", Kinds(run)).take(log, {log[0][0].node})
    assert [type(row) for row in rows] == [PlainNodesRow]
    assert (rows[0].count, rest) == (39, [log[0]])
