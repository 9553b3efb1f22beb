"""The fast walk gives what the careful walk gives, which is what calling the functions one after the other gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.compiler.program import Program, Step
from dataflow.engine.control import STOP
from dataflow.engine.failures import Failure, pack_error, unpack_error
from dataflow.engine.generated import source_of
from dataflow.engine.ledger import Ledger
from dataflow.engine.walk import CarefulWalk, walk_fast
from dataflow.states import StateType

DONE, FAILED, BLOCKED = int(StateType.COMPLETED), int(StateType.FAILED), int(StateType.UPSTREAM_FAILED)


class Refused(Exception):
    """The failure of these tests."""


def add(*values: int, **named: int) -> int:
    return sum(values) + sum(position * value for position, (_, value) in enumerate(sorted(named.items()), start=2))


def refuse_thirds(*values: int, **named: int) -> int:
    total = add(*values, **named)
    if total % 3 == 0:
        raise Refused(f"{total} is a multiple of three")
    return total


def step(function: Callable[..., Any], *positional: int, guards: tuple[int, ...] = (), **named: int) -> Step:
    """A step whose arguments are slots."""
    keywords = tuple(named.items())
    return Step(name=function.__name__, function=function, positional=positional, keywords=keywords, guards=guards)


def program(*steps: Step, columns: int = 1, broadcasts: int = 0, constants: Any = (), outputs: Any = None) -> Program:
    """A program; all steps are outputs unless said otherwise."""
    return Program(
        name="+".join(each.name for each in steps),
        constants=tuple(constants),
        broadcasts=broadcasts,
        columns=columns,
        steps=steps,
        outputs=tuple(range(len(steps))) if outputs is None else outputs,
    )


@dataclass(frozen=True)
class Walked:
    """All that a walk leaves behind, in a form that compares."""

    done: int
    outputs: list[list[Any]]
    states: list[int | bytes]
    errors: list[dict[int, str]]
    stamps: list[float]
    seconds: list[list[float]]


def walked(
    walk: str, what: Program, columns: list[list[Any]], *, shared: tuple[Any, ...] = (), deadline: float = 1e9
) -> Walked:
    """Walk elements by one of the two walks, with a clock that ticks once at each look."""
    elements = len(columns[0]) if columns else 4
    ledger = Ledger(what, elements)
    frame = [*what.constants, *shared, *[None] * (what.columns + len(what.steps))]
    rows = zip(*columns, strict=True) if columns else repeat((), elements)
    ticks = count()

    def clock() -> float:
        return float(next(ticks))

    def control(now: float) -> float:
        return STOP if now >= deadline else now

    if walk == "fast":
        done = walk_fast(ledger, frame, columns, rows, clock, control)
    else:
        done = CarefulWalk(ledger, frame, iter(rows), clock, control).run()
    steps = ledger.report(done)
    return Walked(
        done=done,
        outputs=[[shown(value) for value in output] for output in ledger.outputs],
        states=[each.states for each in steps],
        errors=[{at: str(unpack_error(error)) for at, error in each.errors.items()} for each in steps],
        stamps=list(ledger.stamps),
        seconds=[list(each.durations()) for each in steps],
    )


def shown(value: Any) -> Any:
    """Failures by state and message."""
    return (value.state, str(unpack_error(value.error))) if isinstance(value, Failure) else value


@st.composite
def programs(draw: st.DrawFn) -> tuple[Program, list[list[int]], tuple[int, ...], float]:
    """A program with its columns, its broadcasts, and a deadline that often comes early."""
    constants, broadcasts, columns = (draw(st.integers(0, 2)) for _ in range(3))
    first_step = constants + broadcasts + columns
    steps = []
    for position in range(draw(st.integers(1, 4))):
        known = first_step + position
        slots = st.integers(0, max(known - 1, 0))
        positional = draw(st.lists(slots, max_size=3 if known else 0))
        named = draw(st.dictionaries(st.sampled_from("xyz"), slots, max_size=2 if known else 0))
        guards = sorted({slot for slot in (*positional, *named.values()) if slot >= constants})
        steps.append(step(draw(st.sampled_from((add, refuse_thirds))), *positional, guards=tuple(guards), **named))
    outputs = draw(st.sets(st.integers(0, len(steps) - 1), max_size=2))
    made = program(
        *steps,
        columns=columns,
        broadcasts=broadcasts,
        constants=range(5, 5 + constants),
        outputs=tuple(sorted(outputs)),
    )
    elements = draw(st.integers(1, 6))
    values = st.lists(st.integers(0, 9), min_size=elements, max_size=elements)
    shared = tuple(draw(st.integers(0, 9)) for _ in range(broadcasts))
    return made, [draw(values) for _ in range(columns)], shared, draw(st.sampled_from((0.0, 5.0, 1e9)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(programs())
def test_fast_is_careful(drawn: tuple[Program, list[list[int]], tuple[int, ...], float]) -> None:
    """Values, states, errors, times and the number of elements run before the deadline are the same."""
    made, columns, shared, deadline = drawn
    fast = walked("fast", made, columns, shared=shared, deadline=deadline)
    assert fast == walked("careful", made, columns, shared=shared, deadline=deadline)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(programs())
def test_careful_is_calling_the_functions(drawn: tuple[Program, list[list[int]], tuple[int, ...], float]) -> None:
    """Each step gets the values of its slots; one that rests on a failure is not called."""
    made, columns, shared, _ = drawn
    found = walked("careful", made, columns, shared=shared)
    for offset in range(found.done):
        frame: list[Any] = [*made.constants, *shared, *(column[offset] for column in columns)]
        for each in made.steps:
            arguments = [frame[slot] for slot in each.positional]
            named = {name: frame[slot] for name, slot in each.keywords}
            try:
                blocked = any(isinstance(value, Refused) for value in (*arguments, *named.values()))
                frame.append(Refused() if blocked else each.function(*arguments, **named))
            except Refused as error:
                frame.append(error)
        values = frame[-len(made.steps) :]
        for output, position in zip(found.outputs, made.outputs, strict=True):
            if isinstance(values[position], Refused):
                assert output[offset][0] in (FAILED, BLOCKED)
            else:
                assert output[offset] == values[position]


WALKS = pytest.mark.parametrize("walk", ["fast", "careful"])
CHAIN = program(step(refuse_thirds, 0, guards=(0,)), step(add, 1, 1, guards=(1,)))


@WALKS
def test_a_failure_stays_in_its_element(walk: str) -> None:
    """Element 1 fails at the first step, is not run at the second; its neighbours complete."""
    found = walked(walk, CHAIN, [[1, 3, 5]])
    message = "3 is a multiple of three"
    assert found.outputs == [[1, (FAILED, message), 5], [2, (BLOCKED, message), 10]]
    assert found.states == [bytes([DONE, FAILED, DONE]), bytes([DONE, BLOCKED, DONE])]
    assert found.errors == [{1: message}, {1: message}]


@WALKS
def test_one_state_stands_for_all(walk: str) -> None:
    """Where every element ended in the same way, a step reports one number."""
    assert walked(walk, CHAIN, [[1, 2, 4]]).states == [DONE, DONE]
    assert walked(walk, CHAIN, [[3, 6, 9]]).states == [FAILED, BLOCKED]


@WALKS
def test_each_step_of_each_element_has_its_duration(walk: str) -> None:
    """A clock that ticks at each look gives one second to every step, failed or not."""
    found = walked(walk, CHAIN, [[1, 3, 5]])
    assert found.seconds == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    assert found.stamps == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@WALKS
def test_a_deadline_ends_the_walk_between_elements(walk: str) -> None:
    """With two ticks an element, a deadline at 3 ends after the second; what was run is whole."""
    found = walked(walk, CHAIN, [[1, 2, 4, 5]], deadline=3.0)
    assert (found.done, found.outputs) == (2, [[1, 2], [2, 4]])
    assert len(found.seconds[0]) == 2


@WALKS
def test_one_element_is_run_however_late_it_is(walk: str) -> None:
    """A deadline that is over before the first element leaves no batch without progress."""
    assert walked(walk, CHAIN, [[1, 2]], deadline=0.0).done == 1


@WALKS
def test_nothing_but_the_count_says_how_many(walk: str) -> None:
    """A program without columns is run once for each element of the batch."""
    found = walked(walk, program(step(add), columns=0), [])
    assert (found.done, found.outputs) == (4, [[0, 0, 0, 0]])


@WALKS
def test_a_program_without_outputs_only_reports(walk: str) -> None:
    """What is run for its effect leaves states and no values."""
    found = walked(walk, program(step(add, 0), outputs=()), [[1, 2]])
    assert (found.outputs, found.states) == ([], [DONE])


def test_a_keyword_may_be_any_string() -> None:
    """Names that are reserved words, or no names at all, reach a function that takes **named."""
    made = program(step(add, 0, **{"class": 0, "not a name": 0}))
    assert walked("careful", made, [[2]]).outputs == [[2 + 2 * 2 + 3 * 2]]
    assert walked("fast", made, [[2]]).outputs == [[2 + 2 * 2 + 3 * 2]]


def give_up(value: int) -> int:
    raise SystemExit(value)


@WALKS
def test_an_element_that_leaves_has_crashed(walk: str) -> None:
    """SystemExit is no answer: the element is Crashed, and the batch goes on."""
    assert walked(walk, program(step(give_up, 0)), [[1, 2]]).states == [int(StateType.CRASHED)]


def interrupt(value: int) -> int:
    raise KeyboardInterrupt


@WALKS
def test_what_passes_ends_the_batch(walk: str) -> None:
    """In the calling thread Ctrl-C is no outcome of an element; it reaches the caller."""
    made = program(step(interrupt, 0))
    ledger = Ledger(made, 1, passing=(KeyboardInterrupt,))
    with pytest.raises(KeyboardInterrupt):
        if walk == "fast":
            walk_fast(ledger, [None, None], [[1]], [(1,)], float, lambda now: now)
        else:
            CarefulWalk(ledger, [None, None], iter([(1,)]), float, lambda now: now).run()


def test_ctrl_c_behind_the_last_step_ends_the_batch() -> None:
    """Ctrl-C may come when all steps of an element have returned, before that was written down."""
    ticks = count()

    def clock() -> float:
        if next(ticks) == 1:
            raise KeyboardInterrupt
        return 0.0

    ledger = Ledger(program(step(add, 0)), 1, passing=(KeyboardInterrupt,))
    with pytest.raises(KeyboardInterrupt):
        walk_fast(ledger, [None, None], [[1]], [(1,)], clock, lambda now: now)


def test_failures_that_come_in_block_the_steps_that_use_them() -> None:
    """An input that is a failure is passed on with its error; a step that does not use it runs."""
    broken = Failure(FAILED, pack_error(Refused("came in")))
    made = program(step(add, 0, guards=(0,)), step(add, 1, guards=(1,)), columns=2)
    found = walked("careful", made, [[1, broken], [10, 20]])
    assert found.outputs == [[1, (BLOCKED, "came in")], [10, 20]]
    assert found.states == [bytes([DONE, BLOCKED]), DONE]


SOURCE = """\
def walk(v0, v1, rows, clock, control, stamps, recover, nested, live, *keep):
    keep0, keep1, = keep
    t0 = t1 = clock()
    stamp = stamps.append
    stamp(t0)
    check = control(t0)
    done = 0
    for v2, v3 in rows:
        v4 = v5 = MISSING
        try:
            value = f0(v2, v0, y=v3)
            if type(value) is State or nested: raise Returned(value)
            v4 = value; t0 = clock()
            value = f1(v4)
            if type(value) is State or nested: raise Returned(value)
            v5 = value; t1 = clock()
            stamp(t0); stamp(t1)
        except BaseException as error:
            v4, v5, = recover(done, error, [v0, v1, v2, v3, v4, v5], [t0, t1])
            t1 = stamps[-1]
        keep0(v4)
        keep1(v5)
        done += 1
        if t1 >= check:
            check = control(t1)
            if check < 0:
                break
    return done"""


def test_the_source_of_a_walk() -> None:
    """One constant, one broadcast, two columns, two steps of which the second uses the first."""
    made = program(step(add, 2, 0, y=3), step(add, 4), columns=2, broadcasts=1, constants=[10])
    assert source_of(made) == SOURCE
