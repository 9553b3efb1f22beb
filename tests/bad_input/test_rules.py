"""Bad rules: options of retries, limits and triggers that do not fit, and signals where they mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow import Flow, Loop, flow, task
from dataflow.errors import FlowFailed, TaskDefinitionError, UsageError
from dataflow.states import AwaitingRetry, Paused, Retrying, Running
from dataflow.triggers import any_failed, some_failed
from tests.bad_input.checks import check, refused


@task
def give(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retries": "3"}, ["task 'give'", "retries", "'3'", "an int of at least 0"]),
        ({"retries": 1, "retry_delay_seconds": {"first": 1}}, ["retry_delay_seconds", "exponential_backoff(2)"]),
        ({"retries": 1, "retry_delay_seconds": lambda: 1 / 0}, ["raised TypeError for 1 retries", "list of seconds"]),
        ({"retries": 1, "retry_condition_fn": [OSError, 5]}, ["retry_condition_fn", "exception types"]),
        ({"timeout_seconds": -1}, ["timeout_seconds", "-1", "a positive timedelta, or seconds"]),
        ({"trigger": some_failed}, ["trigger", "some_failed(at_least=1)"]),
        ({"trigger": [any_failed]}, ["trigger", "dataflow.triggers"]),
        ({"isolation": True}, ["isolation", '"process" or None']),
        ({"memory_limit": "1GB"}, ["memory_limit", 'isolation="process" beside it']),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: list[str]) -> None:
    """They are refused where the task is made, with what fits."""
    with refused(TaskDefinitionError, *words):
        give.with_options(**options)


@pytest.mark.parametrize("bounds", [{"at_least": -1}, {"at_most": "2"}, {"at_least": True}])
def test_bounds_of_triggers(bounds: dict[str, Any]) -> None:
    """A bound is a number or a share."""
    with refused(TaskDefinitionError, "some_failed(...)", "the bound is", "a share such as 0.5"):
        some_failed(**bounds)


@pytest.mark.parametrize("state", [Running(), Retrying(), Paused(), AwaitingRetry()], ids=lambda state: state.name)
def test_states_that_are_no_end(state: Any) -> None:
    """A task or flow cannot return them."""
    body = flow(lambda: give(state), cluster="inline", name="body")
    check(body(return_state=True).data, FlowFailed, "task 'give'", "is not an end", "Completed(...)")
    with refused(UsageError, "flow 'body'", "is not an end", "Completed(...)"):
        flow(lambda: state, cluster="inline", name="body")()


def test_a_flow_that_loops() -> None:
    """Only tasks loop; in a flow there are loops of Python."""

    def body() -> None:
        raise Loop(1)

    with refused(UsageError, "flow 'body'", "cannot loop", "raise Loop(...) in a task"):
        flow(body, cluster="inline")()


@pytest.mark.parametrize("kind", [flow, Flow])
def test_options_of_flows(kind: Any) -> None:
    """A flow knows fewer of them than a task, and says which."""
    given = "nightly" if kind is Flow else give.fn
    with refused(TaskDefinitionError, "there is no option 'retry_jitter_factor'", "retries, retry_delay_seconds"):
        kind(given, retry_jitter_factor=1)
    with refused(TaskDefinitionError, "timeout_seconds", "soon"):
        kind(given, timeout_seconds="soon")
