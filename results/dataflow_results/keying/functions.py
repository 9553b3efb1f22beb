"""Key functions: users' own code that says what a result is stored under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow_results.canonical import encode
from dataflow_results.digests import digest
from dataflow_results.errors import KeyingError, UnstableKey
from dataflow_results.keying.identity import TaskIdentity

__all__ = ["KeyContext", "KeyTaskRun", "function_text", "row_of", "task_input_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTaskRun:
    """What key functions written for Prefect read of ``context.task_run``."""

    name: str
    flow_run_id: str
    task_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext:
    """What a key function is told besides the arguments."""

    task: TaskIdentity
    run_id: str
    node: str
    """Slug of the node."""
    index: int
    """Of the element in its map; 0 in a plain node."""
    parameters: Mapping[str, Any]
    """The arguments of the call, which the function gets as its second argument too."""

    @property
    def task_run(self) -> KeyTaskRun:
        """The same facts under the names of Prefect."""
        return KeyTaskRun(name=f"{self.node}-{self.index}", flow_run_id=self.run_id, task_key=self.task.key)


def function_text(
    function: Callable[..., str | None], context: KeyContext, arguments: Mapping[str, Any]
) -> str | KeyingError | None:
    """What a key function gives for one element, or the error that says why it gave no key."""
    where = f"cache_key_fn of task {context.task.name!r}, element {context.index}"
    try:
        given: object = function(context, arguments)
    except Exception as error:  # noqa: BLE001 - boundary: the function is the user's, its failure is this element's
        failed = KeyingError(f"it raised {type(error).__name__}: {error}", where=where, fix="repair the function")
        failed.__cause__ = error
        return failed
    if given is None or isinstance(given, str):
        return given
    problem = f"it gave {type(given).__name__}, which is neither text nor None"
    return UnstableKey(problem, where=where, fix="return str(...), or None for: do not cache this one")


def task_input_hash(context: KeyContext, arguments: Mapping[str, Any]) -> str:
    """Prefect's ready-made key function: the arguments, whatever the policy is.

    Example:
        >>> context = KeyContext(
        ...     task=TaskIdentity(name="f", module_qualname="m.f"), run_id="", node="f", index=0, parameters={}
        ... )
        >>> task_input_hash(context, {"x": 1}) == task_input_hash(context, {"x": 1})
        True
    """
    return digest(b"inputs", encode(dict(arguments), f"arguments of {context.task.name}")).hex()


def row_of(columns: Mapping[str, Sequence[Any]], shared: Mapping[str, Any], position: int) -> dict[str, Any]:
    """The arguments of one element."""
    return {**shared, **{name: values[position] for name, values in columns.items()}}
