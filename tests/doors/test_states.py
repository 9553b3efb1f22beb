"""States as people make and ask them, and the one table of which state may follow which."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from dataflow import errors, states
from dataflow.states import (
    FINAL,
    GOOD,
    SUCCESSFUL,
    UNSUCCESSFUL,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Running,
    Skipped,
    State,
    StateType,
    TimedOut,
    UpstreamFailed,
)
from dataflow.transitions import SUBJECTS, TRANSITIONS, Subject, allowed, graphviz, mermaid, successors, table

CONSTRUCTORS: dict[StateType, Callable[..., State[Any]]] = {
    kind: getattr(states, states.NAMES[kind]) for kind in StateType
}
PREDICATES = sorted(name for name in dir(State) if name.startswith("is_"))
ANSWERS = {
    "Pending": "pending",
    "Running": "running",
    "Completed": "completed final finished successful",
    "Failed": "failed final finished",
    "Crashed": "crashed final finished",
    "UpstreamFailed": "failed final finished upstream_failed",
    "Cancelled": "cancelled final finished",
    "Cached": "cached completed final finished successful",
    "Scheduled": "scheduled",
    "TimedOut": "failed final finished timed_out",
    "AwaitingRetry": "retrying scheduled",
    "Retrying": "retrying running",
    "Skipped": "final finished skipped successful",
    "Paused": "paused",
    "Suspended": "paused",
    "Cancelling": "cancelling",
    "Looping": "looped running",
    "RolledBack": "final finished",
}
"""The questions that each state answers with yes."""
REVIVED = {StateType.FAILED, StateType.TIMED_OUT, StateType.CRASHED, StateType.CANCELLED}
"""Ends of a run after which it can be resumed."""


@pytest.mark.parametrize("kind", StateType)
def test_every_type_has_a_constructor(kind: StateType) -> None:
    """A state is made by the name of its type, with message, data and a name of its own."""
    plain, named = CONSTRUCTORS[kind](), CONSTRUCTORS[kind](message="why", data=3, name="Own")
    assert (plain.type, plain.name, plain.message, plain.data) == (kind, states.NAMES[kind], "", None)
    assert (named.type, named.name, named.message, named.data) == (kind, "Own", "why", 3)
    assert named.name in str(named)
    assert states.NAMES[kind] in states.__all__


@pytest.mark.parametrize("kind", StateType)
def test_predicates_answer_as_people_expect(kind: StateType) -> None:
    """Each state answers exactly the questions that stand beside its name above."""
    state = CONSTRUCTORS[kind]()
    yes = [name.removeprefix("is_") for name in PREDICATES if getattr(state, name)()]
    assert " ".join(yes) == ANSWERS[state.name]


def test_sets_of_states_fit_each_other() -> None:
    """What has ended well and what has not are apart, and together with what was taken back they are all ends."""
    assert SUCCESSFUL < GOOD
    assert not GOOD & UNSUCCESSFUL
    assert {StateType.ROLLED_BACK} == FINAL - GOOD - UNSUCCESSFUL


def test_numbers_are_never_reused() -> None:
    """The numbers that stand in stored reports stay what they are."""
    first = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "UPSTREAM_FAILED", "CANCELLED", "CACHED"]
    later = "SCHEDULED TIMED_OUT AWAITING_RETRY RETRYING SKIPPED PAUSED SUSPENDED CANCELLING LOOPING ROLLED_BACK"
    assert [kind.name for kind in sorted(StateType)] == first + later.split()


def test_results_of_good_states() -> None:
    """Completed work gives its value, skipped work what it was skipped with."""
    assert Completed(data=3).result() == 3
    assert Completed(data=ValueError("a value like any other")).result().args == ("a value like any other",)
    assert Skipped().result() is None
    assert Skipped(data="instead").result() == "instead"


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (Failed("no file"), errors.FlowFailed),
        (TimedOut("too slow"), errors.TimedOut),
        (UpstreamFailed("an input"), errors.UpstreamFailed),
        (Cancelled("stop"), errors.Cancelled),
        (Crashed("gone"), errors.ExecutionError),
        (Failed(data=ValueError("mine")), ValueError),
        (Running(), errors.NotFinished),
        (Paused(), errors.NotFinished),
    ],
    ids=str,
)
def test_results_of_other_states_raise(state: State[Any], error: type[Exception]) -> None:
    """A state without a value raises its own exception, or the one that fits its type with its message."""
    with pytest.raises(error, match=str(state.data or state.message or "no result")):
        state.result()
    assert isinstance(state.result(raise_on_failure=False), error)


def test_an_exit_is_given_back_when_asked_for() -> None:
    """Of crashed work the SystemExit is given back, and does not end who asks for it."""
    left = SystemExit(3)
    assert Crashed(data=left).result(raise_on_failure=False) is left
    assert Crashed(data=left).cause is left


def test_the_cause_is_the_exception_where_it_began() -> None:
    """A failed state knows its exception; one whose input failed the exception of that input; others have none."""
    error, chained = KeyError("x"), errors.UpstreamFailed("not run")
    chained.__cause__ = error
    assert Failed(data=error).cause is error
    assert UpstreamFailed(data=chained).cause is error
    assert isinstance(Failed("no file").cause, errors.FlowFailed)
    assert (Completed(data=error).cause, Running().cause, Skipped().cause) == (None, None, None)


def test_times_and_attempt() -> None:
    """A state knows when its last attempt began, how long it took, and so when it came about."""
    state: State[int] = State(type=StateType.COMPLETED, attempt=2, started=86_400.0, seconds=1.5)
    assert (state.attempt, state.timestamp) == (2, datetime(1970, 1, 2, 0, 0, 1, 500_000, UTC))
    assert Completed().timestamp is None


def test_a_state_can_be_made_with_its_type_of_value() -> None:
    """``State[int](...)`` makes a state, as type checkers read it."""
    assert State[int](type=StateType.COMPLETED, data=3).result() == 3


@pytest.mark.parametrize("kind", StateType)
def test_states_pickle(kind: StateType) -> None:
    """A state that a task returns travels between processes whole."""
    state = CONSTRUCTORS[kind](message="why", data=[1], name="Own")
    copy = pickle.loads(pickle.dumps(state))
    assert (copy.type, copy.name, copy.message, copy.data) == (kind, "Own", "why", [1])


# The table


def test_every_state_occurs_in_the_table() -> None:
    """No state is left out of the table."""
    assert {one.source for one in TRANSITIONS} | {one.target for one in TRANSITIONS} == set(StateType)


def test_every_transition_stands_once_with_a_reason() -> None:
    """A pair has one reason, which says something."""
    pairs = [(one.subject, one.source, one.target) for one in TRANSITIONS]
    assert len(pairs) == len(set(pairs))
    assert all(len(one.why) > 10 for one in TRANSITIONS)
    assert all(one.source is not one.target for one in TRANSITIONS if one.source not in states.AT_WORK)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_ends_are_ends(subject: Subject) -> None:
    """Nothing follows a final state, but that a value is taken back, and that a run is resumed."""
    followed = {kind: set(successors(kind, subject)) for kind in FINAL if successors(kind, subject)}
    expected = {
        "element": {StateType.COMPLETED: {StateType.ROLLED_BACK}},
        "map": {},
        "run": {kind: {StateType.RUNNING} for kind in REVIVED},
    }
    assert followed == expected[subject]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_everything_is_reachable_and_ends(subject: Subject) -> None:
    """Every state of a subject is reached from its beginning, and from every one that is no end an end is reached."""
    mentioned = {kind for one in TRANSITIONS if one.subject == subject for kind in (one.source, one.target)}
    assert reached_from({StateType.SCHEDULED, StateType.PENDING} & mentioned, subject) == mentioned
    assert [kind.name for kind in mentioned - FINAL if not reached_from({kind}, subject) & FINAL] == []


def reached_from(kinds: set[StateType], subject: Subject) -> set[StateType]:
    """These states and all that may follow them."""
    seen = set(kinds)
    while more := {target for kind in seen for target in successors(kind, subject)} - seen:
        seen |= more
    return seen


def test_work_that_waits_never_ends_with_a_value() -> None:
    """A value comes only from work that runs, or from the store."""
    waiting = {StateType.PENDING, StateType.AWAITING_RETRY, StateType.PAUSED, StateType.SCHEDULED}
    assert [kind.name for kind in waiting if allowed(kind, StateType.COMPLETED) is not None] == []


def test_drawings_hold_every_transition() -> None:
    """The table, the Mermaid and the Graphviz text are drawn from the same rows."""
    one = allowed(StateType.AWAITING_RETRY, StateType.RETRYING)
    assert one is not None
    assert f"| AwaitingRetry | Retrying | {one.why} |" in table("element")
    assert "    AwaitingRetry --> Retrying\n" in mermaid()
    assert f'AwaitingRetry -> Retrying [tooltip="{one.why}"];' in graphviz()
    arrows = [one for one in TRANSITIONS if one.subject == "run"]
    assert mermaid("run").count("-->") == len(arrows) + 2
    assert mermaid("run").splitlines()[:3] == ["stateDiagram-v2", "    [*] --> Scheduled", "    [*] --> Pending"]
