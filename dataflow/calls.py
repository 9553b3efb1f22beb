"""One call of a task as the user wrote it: its arguments, and the keywords that belong to the call itself."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.annotations import Annotation, strip
from dataflow.errors import ArgumentError, HandleError
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Node, Reference, TaskSpec
from dataflow.logs import called_here

if TYPE_CHECKING:
    from dataflow.flow_block import Flow
    from dataflow.tasks import Task

__all__ = ["RESERVED", "Call", "Called", "Operation", "read_call"]

RESERVED = frozenset({"flow", "mapped", "return_state", "task_args", "upstream_tasks", "wait_for"})
"""Keywords of every call that do not reach the function."""


class Called(Protocol):
    """What can be called in a flow: a task, an operator on handles, or a parameter."""

    @property
    def name(self) -> str:
        """What its nodes are called."""

    @property
    def spec(self) -> TaskSpec:
        """What the engine runs."""

    @property
    def signature(self) -> inspect.Signature:
        """What arguments fit."""

    @property
    def nout(self) -> int | None:
        """Number of values it returns as a tuple, where known."""

    @property
    def tags(self) -> frozenset[str]:
        """Its tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A function that a flow calls by itself: an operator on handles, or a parameter."""

    spec: TaskSpec
    signature: inspect.Signature
    nout: None = None
    tags: frozenset[str] = frozenset()
    guard_argument: str | None = None
    """The argument that is told whether the block it stands in was skipped; None: it simply waits for that."""
    is_aside: bool = False
    """Whether the final state of the flow does not depend on it."""

    @property
    def name(self) -> str:
        """Name of its nodes."""
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that was read; ``arguments`` and ``keywords`` are those of the function."""

    task: Called
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    wait_for: Any = None
    mapped: bool = False
    strict: bool = True
    return_state: bool = False
    flow: Flow | None = None

    def add_to(self, builder: Builder, site: str, slug: str | None = None) -> Node:
        """Add its node to a graph; see `Builder.call`."""
        return builder.call(
            self.task.spec,
            self.task.signature,
            self.arguments,
            self.keywords,
            wait_for=self.wait_for,
            mapped=self.mapped,
            strict=self.strict,
            site=site,
            slug=slug,
        )

    def run_here(self) -> Any:
        """Call the function in this thread, as outside a flow.

        Raises:
            HandleError: an argument is a handle or a future.
        """
        values = [self._value(str(i), value) for i, value in enumerate(self.arguments)]
        named = {name: self._value(name, value) for name, value in self.keywords.items()}
        with called_here(self.task.name):
            found = self.task.spec.function(*values, **named)
        return _awaited_here(self.task.name, found) if inspect.iscoroutine(found) else found

    def _value(self, name: str, value: Any) -> Any:
        bare = strip(value)[0] if isinstance(value, Annotation) else value
        if isinstance(bare, Reference):
            problem = f"the argument {name} is {bare!r}, but this call is not part of a flow"
            fix = "call it inside its flow, or pass its value: future.result()"
            raise HandleError(problem, where=self.task.name, fix=fix)
        return bare


async def _awaited_here(task: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    with called_here(task):
        return await coroutine


def read_call(
    task: Task[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any], *, mapped: bool = False
) -> Call:
    """Separate the function's arguments from the keywords that belong to the call.

    Raises:
        ArgumentError: both names of the same keyword were given.
    """
    strict = bool(keywords.pop("strict", True)) if mapped and "strict" not in task.signature.parameters else True
    if RESERVED.isdisjoint(keywords):
        return Call(task=task, arguments=arguments, keywords=keywords, mapped=mapped, strict=strict)
    own = {name: keywords.pop(name) for name in RESERVED & keywords.keys()}
    if "wait_for" in own and "upstream_tasks" in own:
        problem = "wait_for and upstream_tasks are two names of one thing"
        raise ArgumentError(problem, where=task.name, fix="give one of them")
    return Call(
        task=task.with_options(**own["task_args"]) if own.get("task_args") else task,
        arguments=arguments,
        keywords=keywords,
        wait_for=own.get("wait_for", own.get("upstream_tasks")),
        mapped=mapped or bool(own.get("mapped", False)),
        strict=strict,
        return_state=bool(own.get("return_state", False)),
        flow=own.get("flow"),
    )
