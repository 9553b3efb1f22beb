"""Elements of past runs: columns, filters and tables, made without an object for any element."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import flow, history, task
from dataflow.database.columns import Rare, unpack_rare
from dataflow.database.rows import SegmentRow
from dataflow.engine.failures import pack_error
from dataflow.errors import Cancelled, UsageError
from dataflow.history.element_columns import ElementColumns
from dataflow.history.elements import Elements
from dataflow.states import StateType
from tests.history.pasts import BEGAN, LETTERS, batch, packed, segment

SLUGS = {0: "load", 1: "clean"}
BATCHES = {0: batch(0, "w0"), 1: batch(1, "w1", started=BEGAN + 10)}


def elements(*segments: SegmentRow) -> Elements:
    """Elements of two nodes in two batches."""
    return Elements(ElementColumns(segments, BATCHES, SLUGS))


def mixed() -> Elements:
    """A map of six: two completed, one failed, one skipped, and two that were never sent; and a plain node."""
    rare = Rare(errors={2: pack_error(ValueError("no 2"))}, notes={3: ("Skipped", "holiday")})
    return elements(
        segment(0, "CCFS", seconds=[0.5, 2.0, 1.0, 0.0], rare=rare, keys=bytes([0] * 4 + [1] * 4 + [0] * 8)),
        segment(4, StateType.CANCELLED, count=2, rare=Rare(errors=packed(Cancelled("stopped")))),
        segment(0, "C", node=1, batch=1),
    )


def test_columns_say_what_became_of_each_element() -> None:
    """Every column has its value for each element, in the order of nodes and indices."""
    found = mixed()
    assert found.column("node").tolist() == ["load"] * 6 + ["clean"]
    assert found.index.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert found.column("state").tolist() == [
        "Completed", "Completed", "Failed", "Skipped", "Cancelled", "Cancelled", "Completed",
    ]  # fmt: skip
    assert found.seconds.tolist()[:4] == [0.5, 2.0, 1.0, 0.0]
    assert np.isnan(found.seconds).tolist() == [False] * 4 + [True] * 2 + [False]
    assert found.batch.tolist() == [0, 0, 0, 0, -1, -1, 1]
    assert found.column("worker").tolist() == ["w0"] * 4 + [""] * 2 + ["w1"]
    assert found.attempts.tolist() == [1, 1, 1, 1, 0, 0, 1]
    assert found.column("exception").tolist() == ["", "", "ValueError", ""] + ["dataflow.errors.Cancelled"] * 2 + [""]
    assert found.column("message").tolist() == ["", "", "no 2", "holiday", "stopped", "stopped", ""]
    assert found.column("key").tolist() == ["", "01010101", "", "", "", "", ""]


@pytest.mark.parametrize(
    ("which", "places"),
    [
        ({"state": "failed"}, ["load[2]"]),
        ({"state": [StateType.SKIPPED, "cancelled"]}, ["load[3]", "load[4]", "load[5]"]),
        ({"exception": ValueError}, ["load[2]"]),
        ({"exception": "Cancelled"}, ["load[4]", "load[5]"]),
        ({"exception": "dataflow.errors.Cancelled", "limit": 1}, ["load[4]"]),
        ({"worker": "w1"}, ["clean[0]"]),
        ({"longer_than_seconds": 0.9}, ["load[1]", "load[2]"]),
        ({"longer_than_seconds": 0.9, "state": "Completed"}, ["load[1]"]),
        ({"exception": "Error"}, []),
    ],
)
def test_elements_are_chosen_by_what_is_given(which: dict[str, object], places: list[str]) -> None:
    """States, exceptions, workers and durations choose elements, and what is given together holds together."""
    assert [one.place for one in mixed().where(**which)] == places  # type: ignore[arg-type]


def test_a_state_that_does_not_exist_is_an_error() -> None:
    """A misspelt state is not an empty answer."""
    with pytest.raises(UsageError, match="'faild' is no state"):
        mixed().where(state="faild")


def test_tables_hold_null_where_nothing_is() -> None:
    """Arrow has nulls, pandas missing values, and both the times in UTC."""
    arrow, frame = mixed().to_arrow(), mixed().to_pandas()
    assert arrow.column("started").to_pylist()[4:6] == [None, None]
    assert str(arrow.column("started").to_pylist()[0]) == "2023-11-14 22:13:20+00:00"
    assert arrow.column("exception").to_pylist() == [None, None, "ValueError", None] + [
        "dataflow.errors.Cancelled"
    ] * 2 + [None]
    assert arrow.column("batch").to_pylist() == [0, 0, 0, 0, None, None, 1]
    assert frame["state"].value_counts().to_dict() == {"Completed": 3, "Cancelled": 2, "Failed": 1, "Skipped": 1}
    assert frame["started"].isna().tolist() == [False] * 4 + [True] * 2 + [False]


def test_attempts_count_those_of_the_last_round() -> None:
    """Failed attempts before the last one count, rounds of a loop begin to count anew."""
    failed, looped = (StateType.FAILED.value, 0.0, 0.1, b"", 0.0, 1), (StateType.LOOPING.value, 0.0, 0.1, b"", 0.0, 1)
    rare = Rare(tries={0: (failed, failed), 1: (failed, looped, failed), 2: (looped,)})
    assert elements(segment(0, "CCC", rare=rare)).attempts.tolist() == [3, 2, 1]


def test_what_was_not_run_because_of_an_input_does_not_have_its_exception() -> None:
    """Asking for a ValueError gives what raised it, not what rested on that."""
    found = elements(segment(0, "FU", rare=Rare(errors=packed(ValueError("bad"), ValueError("bad")))))
    assert [(one.index, one.exception, one.message) for one in found] == [
        (0, "ValueError", "bad"),
        (1, "UpstreamFailed", "ValueError: bad"),
    ]


def test_exceptions_are_read_without_importing_their_modules() -> None:
    """A class of a module that is not loaded is named, and says what its arguments say."""
    found = elements(segment(0, "F", rare=Rare(errors={0: b"cnot_a_module\nBroken\n(S'no data'\ntR."})))
    assert [(one.exception, one.message) for one in found] == [("not_a_module.Broken", "no data")]


def test_a_damaged_exception_is_told_as_such() -> None:
    """Bytes that are no pickle cost the exception only."""
    (found,) = elements(segment(0, "F", rare=Rare(errors={0: b"rubbish"})))
    assert (found.state, found.exception) == (StateType.FAILED, "")
    assert found.message.startswith("it cannot be read: ")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="CFSU", min_size=1, max_size=5), min_size=1, max_size=6), st.data())
def test_columns_are_what_reading_one_element_after_the_other_gives(parts: list[str], data: st.DataObject) -> None:
    """For any cutting into segments, columns and choices are those of the naive reading."""
    starts = np.concatenate(([0], np.cumsum([len(part) for part in parts])))
    rows, naive = [], []
    for number, (start, part) in enumerate(zip(starts.tolist(), parts, strict=False)):
        errors = {at: pack_error(ValueError(f"bad {start + at}")) for at, letter in enumerate(part) if letter == "F"}
        rows.append(segment(start, part, batch=number % 2, rare=Rare(errors=errors)))
        naive += [(start + at, LETTERS[letter], f"w{number % 2}", letter == "F") for at, letter in enumerate(part)]
    found = elements(*data.draw(st.permutations(rows)))
    assert [(one.index, one.state, one.worker, one.exception == "ValueError") for one in found] == naive
    assert [one.message for one in found.where(state="failed")] == [f"bad {index}" for index, *_, bad in naive if bad]
    assert found.where(worker="w1").index.tolist() == [index for index, _, worker, _ in naive if worker == "w1"]
    assert [unpack_rare(row.rare).tries for row in rows] == [{}] * len(rows)


def test_a_million_elements_become_arrow_in_a_moment() -> None:
    """A table of a million elements is made of columns: no object is made for any of them."""
    count = 10_000
    rows = [segment(count * number, "C" * count, seconds=[0.1] * count) for number in range(100)]
    found = elements(*rows)
    found[:1].to_arrow()  # loads the library
    began = time.perf_counter()
    table = found.to_arrow()
    assert (table.num_rows, time.perf_counter() - began < 2) == (1_000_000, True)  # 0.3 s here


def test_elements_of_a_real_run_are_those_it_told_itself() -> None:
    """Attempts, states and messages from the database are those of the run's own states."""
    failed: set[int] = set()

    @task(retries=1)
    def load(number: int) -> int:
        if number % 3 == 0 and (number not in failed or number == 6):
            failed.add(number)
            raise ValueError(f"no {number}")
        return number

    @flow(cluster="inline")
    def main() -> None:
        futures = load.map(range(8))
        futures.wait()
        states.extend((state.type, state.attempt, state.message) for state in (one.state for one in futures))

    states: list[tuple[StateType, int, str]] = []
    run = main(return_state=True).run
    past = history.run(run.id).elements("load")
    told = [(one.state, one.attempts, f"{one.exception}: {one.message}" if one.message else "") for one in past]
    assert told == states
    assert told[6] == (StateType.FAILED, 2, "ValueError: no 6")
    assert told[3] == (StateType.COMPLETED, 2, "")
