"""Specs of tasks: a function and its options as the graph and the engine see them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dataflow.functions import plain_function
from dataflow.graph.nodes import TaskSpec
from dataflow.hooks import hooks_of, traveling
from dataflow.options import TaskOptions
from dataflow.persistence import persistence_of
from dataflow.task_rules import rules_of

__all__ = ["spec_of", "traveling_parts"]

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def spec_of(
    owner: Any,
    name: str,
    options: TaskOptions,
    *,
    function: Callable[..., Any],
    sent: Callable[..., Any],
    signature: inspect.Signature,
) -> TaskSpec:
    """The spec of a task.

    Args:
        owner: the task, which its hooks are given.
        name: of the task.
        options: of the task.
        function: as the user wrote it.
        sent: the same function as it travels to workers.
        signature: of the function.

    Raises:
        TaskDefinitionError: options that do not go together, or a hook that takes other arguments.
    """
    return TaskSpec(
        name=name,
        function=sent,
        parameters=tuple(key for key, value in signature.parameters.items() if value.kind in POSITIONAL),
        is_async=inspect.iscoroutinefunction(plain_function(function)),
        batch_size=options.batch_size,
        persistence=persistence_of(options, function, signature, where=f"task {name!r}"),
        rules=rules_of(options, name),
        hooks=hooks_of(options, owner, "task"),
    )


def traveling_parts(options: TaskOptions, spec: TaskSpec) -> dict[str, Any]:
    """Options and spec of a task, by its attributes, as they travel to workers if its hooks cannot; else nothing."""
    left = traveling(options)
    return {} if left is options else {"_options": left, "_spec": replace(spec, hooks=None)}
