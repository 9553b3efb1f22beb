"""The options of tasks and flows as frozen values, and the table that says which of them are built."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypedDict, TypeVar

from dataflow.errors import TaskDefinitionError
from dataflow_results.policies import CachePolicy

__all__ = [
    "FlowKeywords",
    "FlowOptions",
    "TaskKeywords",
    "TaskOptions",
    "accept",
    "built_options",
    "chosen_options",
    "not_built",
]

Check = tuple[Callable[[Any], bool], str]
"""What a value must fulfil, and the words for it."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_words(value: Any) -> bool:
    return not isinstance(value, str) and isinstance(value, Iterable) and all(map(_is_text, value))


def _is_duration(value: Any) -> bool:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0


def _is_storage(value: Any) -> bool:
    return isinstance(value, str | Path) or hasattr(value, "url")


def _is_serializer(value: Any) -> bool:
    return isinstance(value, str) or all(hasattr(value, name) for name in ("name", "dump", "load"))


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


TEXT: Check = (lambda value: value is None or _is_text(value), "a str")
NAME: Check = (lambda value: value is None or (_is_text(value) and value != ""), "a str that is not empty")
WORDS: Check = (lambda value: value is None or _is_words(value), 'a list of str, such as ["daily"]')
POSITIVE: Check = (lambda value: value is None or _is_positive(value), "an int of at least 1")
FLAG: Check = (lambda value: isinstance(value, bool), "True or False")
ANYTHING: Check = (lambda value: True, "anything")
CHOICE: Check = (_or_none(lambda value: isinstance(value, bool)), "True, False or None")
FUNCTION: Check = (_or_none(callable), "a function of (context, arguments) that gives a str")
POLICY: Check = (
    _or_none(lambda value: isinstance(value, CachePolicy)),
    "a policy of dataflow.cache_policies, such as INPUTS + TASK_SOURCE",
)
DURATION: Check = (_or_none(_is_duration), "a positive timedelta, or seconds")
STORAGE: Check = (_or_none(_is_storage), 'a URL such as "s3://bucket/results", a path, or S3Result("bucket")')
SERIALIZER: Check = (_or_none(_is_serializer), 'a name such as "pickle", "json" or "parquet", or a serializer')


def built(default: Any, check: Check = ANYTHING) -> Any:
    """An option that works now."""
    return field(default=default, metadata={"built": True, "check": check})


def planned(default: Any, *same_as_default: Any) -> Any:
    """An option whose behaviour is not built yet: only its default, or a value that means the same, is taken."""
    return field(default=default, metadata={"built": False, "same": (None, default, *same_as_default)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The options of a task; the names are those of Prefect 3, and ours.

    Example:
        >>> TaskOptions(name="load").name
        'load'
    """

    name: str | None = built(None, NAME)
    description: str | None = built(None, TEXT)
    tags: frozenset[str] = built(frozenset(), WORDS)
    version: str | None = built(None, TEXT)
    batch_size: int | None = built(None, POSITIVE)
    """Elements per batch; None lets the engine choose by measuring."""
    nout: int | None = built(None, POSITIVE)
    """Number of values the task returns as a tuple, so that ``a, b = t()`` works in the graph door."""
    task_run_name: Any = planned(None)
    retries: int | None = planned(0)
    retry_delay_seconds: Any = planned(None, 0, 0.0)
    retry_jitter_factor: float | None = planned(None, 0, 0.0)
    retry_condition_fn: Any = planned(None)
    timeout_seconds: float | None = planned(None)
    cache_policy: Any = built(None, POLICY)
    cache_key_fn: Any = built(None, FUNCTION)
    cache_expiration: Any = built(None, DURATION)
    """How long a result is good. Alone it asks for a cache too, with the policy DEFAULT."""
    refresh_cache: bool | None = built(None, CHOICE)
    """True: compute in any case, and replace what is there. Alone it asks for a cache too, with the policy DEFAULT."""
    persist_result: bool | None = built(None, CHOICE)
    result_storage: Any = built(None, STORAGE)
    result_storage_key: str | None = built(None, NAME)
    """Template of a plain file for each result; None: the ``location`` of the storage, if it has one, else packs."""
    result_serializer: Any = built(None, SERIALIZER)
    """Its name, or itself; a name that is not known is refused when a node of the task is added to a flow."""
    cache_result_in_memory: bool = planned(True)
    log_prints: bool | None = planned(None, False)
    on_completion: Any = planned(None, [])
    on_failure: Any = planned(None, [])
    on_running: Any = planned(None, [])
    on_commit: Any = planned(None, [])
    on_rollback: Any = planned(None, [])
    viz_return_value: Any = planned(None)
    asset_deps: Any = planned(None, [])
    trigger: Any = planned(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """The options of a flow; the names are those of Prefect 3, and ours.

    Example:
        >>> FlowOptions(cluster="inline").validate_parameters
        True
    """

    name: str | None = built(None, NAME)
    description: str | None = built(None, TEXT)
    version: str | None = built(None, TEXT)
    validate_parameters: bool = built(True, FLAG)
    cluster: Any = built(None)
    """Where the flow runs: a name, an address, a Dask client or cluster; None leaves it to the run."""
    flow_run_name: Any = planned(None)
    retries: int | None = planned(0)
    retry_delay_seconds: Any = planned(None, 0, 0.0)
    task_runner: Any = planned(None)
    timeout_seconds: float | None = planned(None)
    persist_result: bool | None = built(None, CHOICE)
    result_storage: Any = built(None, STORAGE)
    result_serializer: Any = built(None, SERIALIZER)
    cache_result_in_memory: bool = planned(True)
    log_prints: bool | None = planned(None, False)
    on_completion: Any = planned(None, [])
    on_failure: Any = planned(None, [])
    on_cancellation: Any = planned(None, [])
    on_crashed: Any = planned(None, [])
    on_running: Any = planned(None, [])


class FlowKeywords(TypedDict, total=False):
    """The options of a flow as keywords, for the user's editor."""

    name: str | None
    description: str | None
    version: str | None
    validate_parameters: bool
    cluster: Any
    flow_run_name: Any
    retries: int | None
    retry_delay_seconds: Any
    task_runner: Any
    timeout_seconds: float | None
    persist_result: bool | None
    result_storage: Any
    result_serializer: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    on_completion: Any
    on_failure: Any
    on_cancellation: Any
    on_crashed: Any
    on_running: Any


class TaskKeywords(TypedDict, total=False):
    """The options of a task as keywords, for the user's editor."""

    name: str | None
    description: str | None
    tags: Iterable[str]
    version: str | None
    batch_size: int | None
    nout: int | None
    task_run_name: Any
    retries: int | None
    retry_delay_seconds: Any
    retry_jitter_factor: float | None
    retry_condition_fn: Any
    timeout_seconds: float | None
    cache_policy: Any
    cache_key_fn: Any
    cache_expiration: Any
    refresh_cache: bool | None
    persist_result: bool | None
    result_storage: Any
    result_storage_key: str | None
    result_serializer: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    on_completion: Any
    on_failure: Any
    on_running: Any
    on_commit: Any
    on_rollback: Any
    viz_return_value: Any
    asset_deps: Any
    trigger: Any


CLASSIC_NAMES = {
    "cache_key": "cache_key_fn",
    "executor": "cluster",
    "log_stdout": "log_prints",
    "max_retries": "retries",
    "retry_delay": "retry_delay_seconds",
    "retry_on": "retry_condition_fn",
    "state_handlers": "on_completion",
    "timeout": "timeout_seconds",
}
"""What options of classic Prefect are called here."""

SECOND_NAMES = {
    "cache_for": "cache_expiration",
    "cache_validator": "cache_policy",
    "checkpoint": "persist_result",
    "result": "result_storage",
    "target": "result_storage_key",
}
"""Options of classic Prefect that mean the same here, and are taken under both names."""

Options = TypeVar("Options", TaskOptions, FlowOptions)


def built_options(kind: type[TaskOptions | FlowOptions]) -> list[str]:
    """Names of the options that work now.

    Example:
        >>> built_options(TaskOptions)
        ['name', 'description', 'tags', 'version', 'batch_size', 'nout', 'cache_policy', ...]
    """
    return [option.name for option in fields(kind) if option.metadata["built"]]


def chosen_options(options: TaskOptions | FlowOptions) -> dict[str, Any]:
    """The options that differ from the defaults, by name.

    Example:
        >>> chosen_options(TaskOptions(name="load"))
        {'name': 'load'}
    """
    return {
        option.name: value
        for option in fields(options)
        if (value := getattr(options, option.name)) is not option.default and value != option.default
    }


def accept(base: Options, given: Mapping[str, Any], *, where: str) -> Options:
    """The options ``base`` changed by ``given``.

    Args:
        base: the options to start from; ``TaskOptions()`` holds the defaults.
        given: names and values as the user wrote them.
        where: the task or flow, for messages.

    Raises:
        TaskDefinitionError: there is no such option, or its value does not fit.
        NotImplementedError: the behaviour of an option is not built yet.

    Example:
        >>> accept(TaskOptions(), {"name": "load", "retries": 0}, where="task 'load'").name
        'load'
    """
    table: dict[str, Field[Any]] = {option.name: option for option in fields(base)}
    given = _by_first_name(given, where)
    for name, value in given.items():
        if name not in table:
            _refuse_unknown(name, list(table), where)
        _check(table[name], value, type(base), where)
    taken = {name: value for name, value in given.items() if table[name].metadata["built"]}
    if "tags" in taken:
        taken["tags"] = frozenset(taken["tags"] or ())
    return replace(base, **taken)


def _by_first_name(given: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    second = [name for name in given if name in SECOND_NAMES]
    for name in second:
        if SECOND_NAMES[name] in given:
            problem = f"{name} and {SECOND_NAMES[name]} are two names of one option"
            raise TaskDefinitionError(problem, where=where, fix="give one of them")
    return {SECOND_NAMES.get(name, name): value for name, value in given.items()} if second else given


def not_built(what: str, *, where: str, works: str = "") -> NoReturn:
    """The one place that refuses what is planned but not built."""
    ending = f"; {works}" if works else ""
    raise NotImplementedError(f"{where}: {what} is not built yet{ending}")


def _check(option: Field[Any], value: Any, kind: type[TaskOptions | FlowOptions], where: str) -> None:
    if not option.metadata["built"]:
        if not _means_default(value, option.metadata["same"]):
            works = f"options that work: {', '.join(built_options(kind))}"
            not_built(f"the option {option.name}={value!r}", where=where, works=works)
        return
    fits, words = option.metadata["check"]
    if not fits(value):
        problem = f"the option {option.name} is {value!r}"
        raise TaskDefinitionError(problem, where=where, fix=f"{option.name}= takes {words}")


def _means_default(value: Any, same: tuple[Any, ...]) -> bool:
    # Compared by type too, so that an array or a policy is never asked for its equality.
    return any(value is known or (type(value) is type(known) and bool(value == known)) for known in same)


def _refuse_unknown(name: str, known: list[str], where: str) -> NoReturn:
    classic = CLASSIC_NAMES.get(name)
    near = [classic] if classic in known else difflib.get_close_matches(name, known, n=1)
    fix = f"{near[0]}=" if near else f"one of {', '.join(known)}"
    raise TaskDefinitionError(f"there is no option {name!r}", where=where, fix=fix)
