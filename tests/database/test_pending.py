"""Rows wait in bounded memory; what is dropped is what is missed least, and it is counted."""

from __future__ import annotations

from dataflow.database.pending import Pending
from dataflow.database.rows import ExecutionRow, LogRow, SegmentRow
from tests.database.examples import execution_row, log_row, node_row, run_row, segment_row

KILOBYTE = b"x" * 1_000


def test_a_later_row_takes_the_place_of_an_earlier_one() -> None:
    """Of two rows of one key only the newer waits, at the place of the older."""
    pending = Pending()
    pending.add([run_row(state=1), node_row(0), run_row(state=2)])
    assert [(type(row).__name__, row.state) for row in pending.first(10).values()] == [("RunRow", 2), ("NodeRow", 2)]


def test_lines_are_all_kept() -> None:
    """Rows of logs have no key of their own, so that no one replaces another."""
    pending = Pending()
    pending.add([log_row(b"a"), log_row(b"a")])
    assert [row.lines for row in pending.first(10).values() if isinstance(row, LogRow)] == [b"a", b"a"]


def test_size_is_that_of_what_waits() -> None:
    """Replacing and removing rows gives their memory back."""
    pending = Pending()
    pending.add([segment_row(0, 10, states=KILOBYTE)])
    size_bytes = pending.size_bytes
    assert 1_000 < size_bytes < 2_000
    pending.add([segment_row(0, 10, states=KILOBYTE)])
    assert pending.size_bytes == size_bytes
    pending.remove(pending.first(10))
    assert (pending.size_bytes, len(pending)) == (0, 0)


def test_a_transaction_takes_no_more_than_it_should() -> None:
    """What is written at once is bounded in rows and bytes, but is never nothing."""
    pending = Pending()
    pending.add(segment_row(start, start + 1, states=KILOBYTE) for start in range(10))
    assert len(pending.first(3)) == 3
    assert len(pending.first(10, most_bytes=3_000)) == 2
    assert len(pending.first(10, most_bytes=1)) == 1


def test_elements_and_lines_are_dropped_before_nodes_and_runs() -> None:
    """When memory is full, the oldest elements and lines go first, and the execution says how many rows it lost."""
    pending = Pending(limit_bytes=10_000)
    pending.add([run_row(), execution_row(lost=1), node_row(0, causes="x" * 3_000), log_row(KILOBYTE)])
    pending.add(segment_row(start, start + 1, states=KILOBYTE) for start in range(5))
    kept = list(pending.first(100).values())
    assert [row.start for row in kept if isinstance(row, SegmentRow)] == [2, 3, 4]
    assert [type(row).__name__ for row in kept[:3]] == ["RunRow", "ExecutionRow", "NodeRow"]
    assert [row.lost for row in kept if isinstance(row, ExecutionRow)] == [1 + 3]


def test_later_words_of_an_execution_count_what_was_lost_before() -> None:
    """The number of lost rows is in every later row of its execution, and in that of no other."""
    pending = Pending(limit_bytes=2_000)
    pending.add(segment_row(start, start + 1, states=KILOBYTE) for start in range(3))
    pending.clear()
    pending.add([execution_row("e1"), execution_row("e2")])
    assert [row.lost for row in pending.first(10).values() if isinstance(row, ExecutionRow)] == [2, 0]


def test_nodes_are_dropped_when_nothing_else_is_left_and_runs_never() -> None:
    """Memory stays bounded by dropping nodes; the rows of runs are too few to matter."""
    pending = Pending(limit_bytes=5_000)
    pending.add([run_row(), *(node_row(number, causes="x" * 1_000) for number in range(20))])
    kept = list(pending.first(100).values())
    assert pending.size_bytes <= 5_000
    assert type(kept[0]).__name__ == "RunRow"
    assert [row.number for row in kept[1:]] == [18, 19]
