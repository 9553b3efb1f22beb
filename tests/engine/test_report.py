"""Reports: states per element in columns, and the same after they travelled."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.engine.durations import packed
from dataflow.engine.report import Report, StepReport, Try
from dataflow.states import StateType

STATES = st.sampled_from([int(state) for state in StateType])
TRIES = st.builds(
    Try,
    state=STATES,
    started=st.floats(0, 2e9),
    seconds=st.floats(0, 1e6),
    error=st.binary(max_size=9),
    delay_seconds=st.floats(0, 1e6),
    round=st.integers(1, 9),
)
STEPS = st.builds(
    StepReport,
    states=STATES | st.lists(STATES).map(bytes),
    seconds=st.lists(st.floats(0, 1e6, width=32)).map(packed),
    errors=st.dictionaries(st.integers(0, 1000), st.binary(max_size=20), max_size=3),
    tries=st.dictionaries(st.integers(0, 1000), st.lists(TRIES, max_size=2).map(tuple), max_size=2),
    notes=st.dictionaries(st.integers(0, 1000), st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=2),
    inputs=st.dictionaries(st.integers(0, 1000), st.binary(max_size=20), max_size=2),
    total_seconds=st.none() | st.floats(0, 1e6),
)
REPORTS = st.builds(
    Report,
    batch=st.integers(0, 10**9),
    count=st.integers(0, 10**6),
    started=st.floats(0, 2e9),
    seconds=st.floats(0, 1e6),
    steps=st.lists(STEPS, max_size=3).map(tuple),
    sizes=st.lists(st.integers(0, 10**12), max_size=3).map(tuple),
    totals=st.lists(st.integers(0, 10**9), max_size=3).map(tuple),
    values=st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=9)), max_size=2).map(tuple),
    worker=st.text(max_size=9),
    crashed=st.none() | st.binary(max_size=9),
)


def travelled(wire: object) -> object:
    """What a message stream may do to plain types: every sequence comes out as a list."""
    match wire:
        case dict():
            return {key: travelled(value) for key, value in wire.items()}
        case list() | tuple():
            return [travelled(item) for item in wire]
    return wire


@settings(max_examples=60, deadline=None, derandomize=True)
@given(REPORTS)
def test_a_report_is_the_same_after_its_way(report: Report) -> None:
    """Written for the wire, with all tuples turned into lists, and read again."""
    assert Report.from_wire(travelled(report.to_wire())) == report  # type: ignore[arg-type]


def test_only_plain_types_travel() -> None:
    """The wire form can be written by an encoder that knows nothing of ours (bytes aside)."""
    step = StepReport(
        states=bytes([2, 3]),
        seconds=bytes(8),
        errors={1: b"e"},
        keys=b"k",
        tries={1: (Try(3, 0.5, 1.0, b"e", 30.0),)},
        notes={0: ("Done", "well")},
        total_seconds=1.5,
    )
    wire = Report(batch=1, count=2, started=0.5, seconds=1.0, steps=(step,), sizes=(10,), totals=(3,)).to_wire()
    assert json.loads(json.dumps(wire, default=lambda value: list(value))) == {
        "batch": 1,
        "count": 2,
        "started": 0.5,
        "seconds": 1.0,
        "steps": [
            [
                [2, 3],
                [0] * 8,
                [107],
                1.5,
                [[1, [101]]],
                [[1, [[3, 0.5, 1.0, [101], 30.0, 1]]]],
                [[0, ["Done", "well"]]],
                [],
            ]
        ],
        "sizes": [10],
        "totals": [3],
        "lengths": [],
        "values": [],
        "waiting": [],
        "delays": [],
        "worker": "",
        "crashed": None,
    }


def test_durations_are_added_up_once() -> None:
    """By the worker, where it has done so; otherwise by whoever asks."""
    step = StepReport(states=2, seconds=packed([0.5, 0.25]), errors={})
    assert (step.sum_seconds(), replace(step, total_seconds=0.7).sum_seconds()) == (0.75, 0.7)


def test_one_number_stands_for_all_elements() -> None:
    """A step that completed everywhere holds one state, however many elements there are."""
    step = StepReport(states=int(StateType.COMPLETED), seconds=b"", errors={})
    assert step.state(999_999) == StateType.COMPLETED
    assert step.count(StateType.COMPLETED, 10, 1_000_000) == 999_990
    assert step.count(StateType.FAILED, 10, 1_000_000) == 0


def test_states_are_counted_within_bounds() -> None:
    """Only the elements from start to stop."""
    step = StepReport(states=bytes([2, 3, 3, 2, 3]), seconds=b"", errors={})
    assert [step.state(offset) for offset in range(5)] == [2, 3, 3, 2, 3]
    assert step.count(3, 1, 4) == 2


def test_durations_are_floats_of_32_bits() -> None:
    """Four bytes an element."""
    step = StepReport(states=2, seconds=packed([0.5, 0.25]), errors={})
    assert list(step.durations()) == [0.5, 0.25]
