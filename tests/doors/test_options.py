"""Options of tasks and flows: what works is taken, what is planned is refused by name, what is unknown is explained."""

from __future__ import annotations

import math
from dataclasses import fields
from datetime import timedelta
from typing import Any

import cloudpickle
import numpy as np
import pytest

from dataflow import Flow, flow, task
from dataflow.errors import TaskDefinitionError
from dataflow.options import FlowKeywords, FlowOptions, TaskKeywords, TaskOptions, accept, built_options
from dataflow.retries import RetryPolicy
from dataflow.rules import PLAIN, Isolation, Rules
from dataflow.task_rules import CustomTrigger, RaisedOneOf
from dataflow.tasks import exponential_backoff
from dataflow.triggers import Counts, Trigger, Verdict, some_failed


def a_condition(task: Any, task_run: Any, state: Any) -> bool:
    return True


async def an_async_condition(task: Any, task_run: Any, state: Any) -> bool:
    return True


def a_trigger(counts: Counts) -> bool:
    return counts.failed == 1


PLANNED: list[tuple[type[TaskOptions | FlowOptions], str, Any]] = [
    (TaskOptions, "viz_return_value", np.array([1, 2])),
    (TaskOptions, "task_run_name", "load-{x}"),
    (TaskOptions, "cache_result_in_memory", False),
    (FlowOptions, "task_runner", object()),
]


@pytest.mark.parametrize(("kind", "name", "value"), PLANNED)
def test_planned_option_is_refused_by_name(kind: type[Any], name: str, value: Any) -> None:
    """An option whose behaviour is not built is named, with those that work beside it."""
    with pytest.raises(NotImplementedError) as caught:
        accept(kind(), {name: value}, where="task 'load'")
    assert f"task 'load': the option {name}=" in str(caught.value)
    assert ", ".join(built_options(kind)) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("asset_deps", []), ("asset_deps", None), ("viz_return_value", None)],
)
def test_planned_option_with_the_meaning_of_its_default_is_taken(name: str, value: Any) -> None:
    """A value that asks for nothing new is not refused."""
    assert accept(TaskOptions(), {name: value}, where="task 'load'") == TaskOptions()


def test_options_that_work() -> None:
    """The built options are these, and no others."""
    assert built_options(TaskOptions) == [
        "name", "description", "tags", "version", "batch_size", "nout", "retries", "retry_delay_seconds",
        "retry_jitter_factor", "retry_condition_fn", "timeout_seconds", "trigger", "skip_on_upstream_skip",
        "isolation", "memory_limit", "concurrency_limit", "cache_policy", "cache_key_fn", "cache_expiration",
        "refresh_cache", "persist_result", "result_storage", "result_storage_key", "result_serializer", "log_prints",
        "on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed", "state_handlers", "on_commit",
        "on_rollback",
    ]  # fmt: skip
    assert built_options(FlowOptions) == [
        "name", "description", "version", "validate_parameters", "cluster", "flow_run_name", "retries",
        "retry_delay_seconds", "progress", "timeout_seconds", "persist_result", "result_storage", "result_serializer",
        "log_prints", "show_logs", "on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed",
        "state_handlers",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [("retrys", "retries="), ("executor", "one of name,"), ("zzz", "one of name,")],
)
def test_unknown_option_names_the_right_one(wrong: str, fix: str) -> None:
    """A misspelt or classic name is answered with the name to write."""
    with pytest.raises(TaskDefinitionError) as caught:
        accept(TaskOptions(), {wrong: 1}, where="task 'load'")
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [("batch_size", 0, "batch_size= takes an int of at least 1"), ("batch_size", True, "batch_size= takes"),
     ("tags", "io", "tags= takes a list of str"), ("name", "", "name= takes a str"), ("nout", 1.5, "nout= takes"),
     ("retries", -1, "retries= takes an int of at least 0"), ("retries", 2.0, "retries= takes an int"),
     ("retry_delay_seconds", -1, "retry_delay_seconds= takes seconds"),
     ("retry_delay_seconds", [1, "2"], "retry_delay_seconds= takes seconds"),
     ("retry_delay_seconds", [1] * 51, "retry_delay_seconds= takes seconds, a timedelta, a list of at most 50"),
     ("retry_delay_seconds", math.inf, "retry_delay_seconds= takes"),
     ("retry_jitter_factor", -0.1, "retry_jitter_factor= takes a number of at least 0"),
     ("retry_condition_fn", an_async_condition, "retry_condition_fn= takes a function of (task, task_run, state), not"),
     ("retry_condition_fn", [ValueError, "KeyError"], "retry_condition_fn= takes"),
     ("retry_condition_fn", int, "retry_condition_fn= takes"),
     ("timeout_seconds", 0, "timeout_seconds= takes a positive timedelta, or seconds"),
     ("trigger", "all_finished", "trigger= takes a trigger of dataflow.triggers, such as all_finished"),
     ("trigger", some_failed, "trigger= takes a trigger of dataflow.triggers, such as all_finished or some_failed("),
     ("skip_on_upstream_skip", None, "skip_on_upstream_skip= takes True or False"),
     ("isolation", "thread", 'isolation= takes "process" or None'),
     ("memory_limit", "much", 'memory_limit= takes a number of bytes, or a str such as "512MB"'),
     ("concurrency_limit", 0, "concurrency_limit= takes an int of at least 1")],
)  # fmt: skip
def test_value_that_does_not_fit(name: str, value: Any, fix: str) -> None:
    """A value of the wrong kind is refused with the kind that fits."""
    with pytest.raises(TaskDefinitionError) as caught:
        accept(TaskOptions(), {name: value}, where="task 'load'")
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(("keywords", "options"), [(TaskKeywords, TaskOptions), (FlowKeywords, FlowOptions)])
def test_keywords_for_the_editor_are_the_options(keywords: type[Any], options: type[Any]) -> None:
    """The names that an editor completes are exactly the names of the options."""
    assert list(keywords.__annotations__) == [option.name for option in fields(options)]


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        ({}, PLAIN),
        ({"retries": None, "retry_delay_seconds": 5}, PLAIN),
        ({"retries": 2}, Rules(retry=RetryPolicy(retries=2))),
        (
            {"max_retries": 2, "retry_delay": timedelta(minutes=1)},
            Rules(retry=RetryPolicy(retries=2, delays_seconds=(60.0,))),
        ),
        (
            {"retries": 2, "retry_delay_seconds": [timedelta(seconds=1), 5], "retry_jitter_factor": 1},
            Rules(retry=RetryPolicy(retries=2, delays_seconds=(1.0, 5.0), jitter_factor=1.0)),
        ),
        (
            {"retries": 3, "retry_delay_seconds": exponential_backoff(10), "retry_condition_fn": a_condition},
            Rules(retry=RetryPolicy(retries=3, delays_seconds=(10.0, 20.0, 40.0), condition=a_condition)),
        ),
        (
            {"retries": 1, "retry_delay_seconds": lambda retries: retries / 2},
            Rules(retry=RetryPolicy(retries=1, delays_seconds=(0.5,))),
        ),
        (
            {"retries": 1, "retry_on": OSError},
            Rules(retry=RetryPolicy(retries=1, condition=RaisedOneOf((OSError,)))),
        ),
        ({"timeout": timedelta(seconds=3)}, Rules(timeout_seconds=3.0)),
        ({"trigger": some_failed(at_least=2)}, Rules(trigger=Trigger("some_failed", 2))),
        ({"trigger": a_trigger}, Rules(trigger=CustomTrigger("a_trigger", function=a_trigger))),
        ({"skip_on_upstream_skip": False}, Rules(skip_on_upstream_skip=False)),
        (
            {"isolation": "process", "memory_limit": "512MB"},
            Rules(isolation=Isolation(memory_limit_bytes=512_000_000)),
        ),
        (
            {"concurrency_limit": 3, "tags": ["gpu", "big"]},
            Rules(
                tags=frozenset({"gpu", "big"}), limits=(("task:load", 3), ("tag:big", None), ("tag:gpu", None))
            ),
        ),
    ],
)  # fmt: skip
def test_rules_of_a_task(given: dict[str, Any], rules: Rules) -> None:
    """What the options mean for the engine, under the names of Prefect 3 and of classic Prefect."""
    made = task(name="load", **given)(len)
    assert made.spec.rules == rules
    assert made.with_options(description="the same").spec.rules == rules


@pytest.mark.parametrize(
    ("given", "problem", "fix"),
    [
        ({"memory_limit": 10}, "memory_limit holds for processes", 'isolation="process" beside it'),
        (
            {"retries": 2, "retry_delay_seconds": lambda retries: "soon"},
            "retry_delay_seconds gave 'soon' for 2 retries",
            "a function of the number of retries that gives a list of seconds",
        ),
        ({"retries": 2, "max_retries": 2}, "max_retries and retries are two names of one option", "give one of them"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], problem: str, fix: str) -> None:
    """Options that contradict each other are refused where the task is made, and where it is changed."""
    for define in (lambda: task(name="load", **given)(len), lambda: task(len).with_options(**given)):
        with pytest.raises(TaskDefinitionError) as caught:
            define()
        assert (caught.value.problem.startswith(problem), caught.value.fix) == (True, fix)


def test_retries_of_a_flow() -> None:
    """A flow takes delays as a task does; what is wrong with them is said where the flow is made."""
    for define in (lambda **options: flow(**options)(a_condition), lambda **options: Flow("nightly", **options)):
        with pytest.raises(TaskDefinitionError, match="retry_delay_seconds gave -1 for 2 retries"):
            define(retries=2, retry_delay_seconds=lambda retries: -1)
        define(max_retries=2, retry_delay_seconds=[1, timedelta(seconds=2)], timeout=timedelta(minutes=1))
    with pytest.raises(TaskDefinitionError, match="there is no option 'trigger'"):
        flow(a_condition, trigger=some_failed(1))  # type: ignore[call-overload]


@pytest.mark.parametrize("trigger", [a_trigger, CustomTrigger("a_trigger", function=a_trigger)])
def test_a_trigger_that_is_a_function(trigger: Any) -> None:
    """It is given the counts; what is true lets the task run."""
    made = task(len, trigger=trigger).spec.rules.trigger
    assert [made(Counts(failed=1)), made(Counts(failed=2))] == [Verdict.RUN, Verdict.FAIL]
    assert cloudpickle.loads(cloudpickle.dumps(made)) == made
    assert str(made) == "a_trigger"


def test_a_trigger_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing runs then, and the log says why."""
    assert CustomTrigger("broken", function=lambda counts: 1 / 0)(Counts()) is Verdict.FAIL
    assert "the trigger broken raised, so what it decides about is not run" in caplog.text
