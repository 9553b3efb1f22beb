"""Options of tasks and flows: what works is taken, what is planned is refused by name, what is unknown is explained."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from dataflow.errors import TaskDefinitionError
from dataflow.options import FlowKeywords, FlowOptions, TaskKeywords, TaskOptions, accept, built_options

PLANNED: list[tuple[type[TaskOptions | FlowOptions], str, Any]] = [
    (TaskOptions, "retries", 3),
    (TaskOptions, "retry_delay_seconds", [1, 2]),
    (TaskOptions, "retry_delay_seconds", np.array([1, 2])),
    (TaskOptions, "timeout_seconds", 1.5),
    (TaskOptions, "log_prints", True),
    (TaskOptions, "task_run_name", "load-{x}"),
    (TaskOptions, "on_failure", [print]),
    (TaskOptions, "trigger", "all_finished"),
    (TaskOptions, "cache_result_in_memory", False),
    (FlowOptions, "retries", 1),
    (FlowOptions, "log_prints", True),
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
    [("retries", 0), ("retries", None), ("log_prints", False), ("log_prints", None), ("timeout_seconds", None),
     ("on_failure", []), ("retry_delay_seconds", 0.0)],
)  # fmt: skip
def test_planned_option_with_the_meaning_of_its_default_is_taken(name: str, value: Any) -> None:
    """A value that asks for nothing new is not refused."""
    assert accept(TaskOptions(), {name: value}, where="task 'load'") == TaskOptions()


def test_options_that_work() -> None:
    """The built options are these, and no others."""
    assert built_options(TaskOptions) == [
        "name", "description", "tags", "version", "batch_size", "nout", "cache_policy", "cache_key_fn",
        "cache_expiration", "refresh_cache", "persist_result", "result_storage", "result_storage_key",
        "result_serializer",
    ]  # fmt: skip
    assert built_options(FlowOptions) == [
        "name", "description", "version", "validate_parameters", "cluster", "persist_result", "result_storage",
        "result_serializer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [("retrys", "retries="), ("max_retries", "retries="), ("log_stdout", "log_prints="), ("zzz", "one of name,")],
)
def test_unknown_option_names_the_right_one(wrong: str, fix: str) -> None:
    """A misspelt or classic name is answered with the name to write."""
    with pytest.raises(TaskDefinitionError) as caught:
        accept(TaskOptions(), {wrong: 1}, where="task 'load'")
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [("batch_size", 0, "batch_size= takes an int of at least 1"), ("batch_size", True, "batch_size= takes"),
     ("tags", "io", "tags= takes a list of str"), ("name", "", "name= takes a str"), ("nout", 1.5, "nout= takes")],
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
