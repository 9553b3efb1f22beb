"""The options of tasks and flows as frozen values, and the table that says which of them are built."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, NoReturn, TypedDict, TypeVar

from dataflow.errors import TaskDefinitionError
from dataflow.option_checks import (
    ANYTHING,
    CHOICE,
    CONDITION,
    COUNT,
    DELAYS,
    DURATION,
    FACTOR,
    FLAG,
    FUNCTION,
    HOOKS,
    ISOLATION,
    NAME,
    POLICY,
    POSITIVE,
    PROGRESS,
    RUN_NAME,
    SERIALIZER,
    SIZE,
    STORAGE,
    TEXT,
    TRIGGER,
    WORDS,
    Check,
)

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
    retries: int | None = built(0, COUNT)
    """How many more attempts failed work gets."""
    retry_delay_seconds: Any = built(None, DELAYS)
    """Before each of them. Nothing waits in a worker meanwhile."""
    retry_jitter_factor: float | None = built(None, FACTOR)
    """A delay is drawn between itself and itself times (1 + this)."""
    retry_condition_fn: Any = built(None, CONDITION)
    """Which failures are worth another attempt; None: all."""
    timeout_seconds: float | timedelta | None = built(None, DURATION)
    """How long each attempt may take."""
    trigger: Any = built(None, TRIGGER)
    """On which ends of its inputs it runs; None: ``all_successful``."""
    skip_on_upstream_skip: bool = built(True, FLAG)
    """Whether it is skipped if something it uses was."""
    isolation: str | None = built(None, ISOLATION)
    """``"process"``: each attempt runs in a process of its own, which can be ended and harms nothing."""
    memory_limit: int | str | None = built(None, SIZE)
    """Of that process."""
    concurrency_limit: int | None = built(None, POSITIVE)
    """How many elements of the task run at once, on the whole cluster."""
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
    log_prints: bool | None = built(None, CHOICE)
    """Whether what it prints is a line of its log; None: as the flow, or the setting, says."""
    on_running: Any = built(None, HOOKS)
    """Called with (task, task_run, state) for each element when an attempt has begun; one function or a list."""
    on_completion: Any = built(None, HOOKS)
    on_failure: Any = built(None, HOOKS)
    """Not for elements that were not run because an input failed."""
    on_cancellation: Any = built(None, HOOKS)
    on_crashed: Any = built(None, HOOKS)
    state_handlers: Any = built(None, HOOKS)
    """Called with (task, old_state, new_state) for each change of the state of each element."""
    on_commit: Any = built(None, HOOKS)
    """Called with (transaction) for each completed element of a transaction that counts."""
    on_rollback: Any = built(None, HOOKS)
    """Called with (transaction) for each completed element of a transaction that is taken back."""
    viz_return_value: Any = planned(None)
    asset_deps: Any = planned(None, [])


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
    flow_run_name: Any = built(None, RUN_NAME)
    """What a run is called: a template such as ``"load-{year}"``, or a function; None: as its flow."""
    retries: int | None = built(0, COUNT)
    """How often the body is run again if it failed, under the same run id."""
    retry_delay_seconds: Any = built(None, DELAYS)
    progress: str | bool | None = built(None, PROGRESS)
    """How it shows how far it is: ``"auto"``, ``"on"``, ``"plain"``, ``"json"`` or ``"off"``; None: see the setting."""
    task_runner: Any = planned(None)
    timeout_seconds: float | timedelta | None = built(None, DURATION)
    """How long each attempt may take; what has not ended then is cancelled."""
    persist_result: bool | None = built(None, CHOICE)
    result_storage: Any = built(None, STORAGE)
    result_serializer: Any = built(None, SERIALIZER)
    cache_result_in_memory: bool = planned(True)
    log_prints: bool | None = built(None, CHOICE)
    """Whether what it and its tasks print is a line of their log; None: as the flow around it, or the setting, says."""
    show_logs: bool | None = built(None, CHOICE)
    """Whether each line of the run's log is shown as it comes; None: as the flow around it, or the setting, says."""
    on_running: Any = built(None, HOOKS)
    """Called with (flow, flow_run, state) when an attempt begins; one function or a list."""
    on_completion: Any = built(None, HOOKS)
    on_failure: Any = built(None, HOOKS)
    on_cancellation: Any = built(None, HOOKS)
    on_crashed: Any = built(None, HOOKS)
    state_handlers: Any = built(None, HOOKS)
    """Called with (flow, old_state, new_state) for each change of its state."""


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
    progress: str | bool | None
    task_runner: Any
    timeout_seconds: float | timedelta | None
    persist_result: bool | None
    result_storage: Any
    result_serializer: Any
    cache_result_in_memory: bool
    log_prints: bool | None
    show_logs: bool | None
    on_running: Any
    on_completion: Any
    on_failure: Any
    on_cancellation: Any
    on_crashed: Any
    state_handlers: Any


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
    timeout_seconds: float | timedelta | None
    trigger: Any
    skip_on_upstream_skip: bool
    isolation: str | None
    memory_limit: int | str | None
    concurrency_limit: int | None
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
    on_running: Any
    on_completion: Any
    on_failure: Any
    on_cancellation: Any
    on_crashed: Any
    state_handlers: Any
    on_commit: Any
    on_rollback: Any
    viz_return_value: Any
    asset_deps: Any


CLASSIC_NAMES = {
    "cache_key": "cache_key_fn",
    "executor": "cluster",
}
"""What options of classic Prefect are called here."""

SECOND_NAMES = {
    "cache_for": "cache_expiration",
    "cache_validator": "cache_policy",
    "checkpoint": "persist_result",
    "log_stdout": "log_prints",
    "max_retries": "retries",
    "result": "result_storage",
    "retry_delay": "retry_delay_seconds",
    "retry_on": "retry_condition_fn",
    "target": "result_storage_key",
    "timeout": "timeout_seconds",
}
"""Options of classic Prefect that mean the same here, and are taken under both names."""

Options = TypeVar("Options", TaskOptions, FlowOptions)


def built_options(kind: type[TaskOptions | FlowOptions]) -> list[str]:
    """Names of the options that work now.

    Example:
        >>> built_options(TaskOptions)
        ['name', 'description', 'tags', 'version', 'batch_size', 'nout', 'retries', 'retry_delay_seconds', ...]
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
