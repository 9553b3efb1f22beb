"""Hooks: functions of users that are called when a task or a flow comes into a state, and how they are called."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import cloudpickle

from dataflow.errors import TaskDefinitionError
from dataflow.signals import Signal
from dataflow.states import State, StateType

if TYPE_CHECKING:
    from dataflow.options import FlowOptions, TaskOptions

__all__ = ["RAISED", "Committable", "Hook", "Hookable", "Hooks", "as_functions", "call", "hooks_of", "traveling"]

logger = logging.getLogger("dataflow")
HookFunction = Callable[..., Any]
F = TypeVar("F", bound=HookFunction)
Options = TypeVar("Options", "TaskOptions", "FlowOptions")

trying: contextvars.ContextVar[bool] = contextvars.ContextVar("trying", default=False)
"""Whether it is being tried whether hooks can be pickled."""

RAISED: Final = object()
"""What `call` gives of a hook that raised."""
BY_STATE: Mapping[StateType, str] = {
    StateType.RUNNING: "on_running",
    StateType.RETRYING: "on_running",
    StateType.COMPLETED: "on_completion",
    StateType.CACHED: "on_completion",
    StateType.FAILED: "on_failure",
    StateType.TIMED_OUT: "on_failure",
    StateType.CRASHED: "on_crashed",
    StateType.CANCELLED: "on_cancellation",
}
"""Which option holds the hooks of a state; the other states are told to ``state_handlers`` only."""
WITH_A_RUN, CLASSIC = 3, 2
"""How many arguments a hook takes: task, task run and state, or as in classic Prefect task and state."""


class Shape(NamedTuple):
    """What the functions of an option may look like."""

    arities: tuple[int, ...]
    """How many arguments they may take; what is tried first stands first."""
    example: str


SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(
        BY_STATE.values(),
        Shape((WITH_A_RUN, CLASSIC), "def hook({0}, {0}_run, state), or the classic def hook({0}, state)"),
    ),
    "state_handlers": Shape((3,), "def handler({0}, old_state, new_state)"),
    "on_commit": Shape((1,), "def hook(transaction)"),
    "on_rollback": Shape((1,), "def hook(transaction)"),
}


class Hook(NamedTuple):
    """A function and how many arguments it takes."""

    function: HookFunction
    arity: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hooks:
    """The hooks of one task or flow. They stay where its runs are begun; workers know nothing of them."""

    owner: Any
    """The task or flow."""
    by_state: Mapping[StateType, tuple[Hook, ...]]
    handlers: tuple[HookFunction, ...] = ()
    """Called at every change of state, with the old state and the new one."""
    on_commit: tuple[HookFunction, ...] = ()
    on_rollback: tuple[HookFunction, ...] = ()
    _warned: set[int] = field(default_factory=set, repr=False)
    """Positions of the handlers that gave another state, which was said."""

    @property
    def follows(self) -> bool:
        """Whether more than the last state of an element has to be told."""
        return bool(self.handlers) or StateType.RUNNING in self.by_state

    @property
    def is_transactional(self) -> bool:
        """Whether it wants to hear of commits or rollbacks."""
        return bool(self.on_commit or self.on_rollback)

    @property
    def needs_values(self) -> bool:
        """Whether somebody may ask for the value of an element when it has completed."""
        return bool(self.on_commit) or self.wants(StateType.COMPLETED)

    def wants(self, kind: StateType) -> bool:
        """Whether a state is told to anybody."""
        return bool(self.handlers) or kind in self.by_state

    def tell(self, subject: Any, old: State[Any], new: State[Any]) -> None:
        """The owner has come from one state into another.

        Args:
            subject: what hooks get as the run of the task, or of the flow.
            old: the state before.
            new: the state now.
        """
        for hook in self.by_state.get(new.type, ()):
            given = (self.owner, subject, new) if hook.arity == WITH_A_RUN else (self.owner, new)
            call(hook.function, *given, of=self.owner, at=subject.name)
        for position, handler in enumerate(self.handlers):
            returned = call(handler, self.owner, old, new, of=self.owner, at=subject.name)
            if returned is not None and isinstance(returned, State) and returned is not new:
                self._warn(position, handler, returned)

    def _warn(self, position: int, handler: HookFunction, returned: State[Any]) -> None:
        if position not in self._warned:
            self._warned.add(position)
            said = "the state handler %s of %r gave the state %s, which changes nothing here"
            logger.warning(said, _name_of(handler), self.owner, returned)


def hooks_of(options: TaskOptions | FlowOptions, owner: Any, subject: str) -> Hooks | None:
    """The hooks that options ask for; None if they ask for none.

    Args:
        options: of the task or flow.
        owner: the task or flow itself, which hooks are given.
        subject: ``"task"`` or ``"flow"``.

    Raises:
        TaskDefinitionError: a hook that takes other arguments.

    Example:
        >>> from dataflow.options import TaskOptions
        >>> def alarm(task, task_run, state): ...
        >>> hooks_of(TaskOptions(on_failure=alarm), "load", "task").by_state[StateType.FAILED][0].function is alarm
        True
    """
    named = {name: as_functions(getattr(options, name, None)) for name in SHAPES}
    if not any(named.values()):
        return None
    arities = {name: _arities(name, functions, owner, subject) for name, functions in named.items()}
    return Hooks(
        owner=owner,
        by_state={kind: arities[name] for kind, name in BY_STATE.items() if arities[name]},
        handlers=named["state_handlers"],
        on_commit=named["on_commit"],
        on_rollback=named["on_rollback"],
    )


def as_functions(given: Any) -> tuple[HookFunction, ...]:
    """The functions that a user gave for one option: one, several, or none."""
    if given is None:
        return ()
    return (given,) if callable(given) else tuple(given)


def traveling(options: Options) -> Options:
    """The options as they travel to workers: without hooks, if these cannot; there they are rarely asked for.

    Args:
        options: of a task or flow.

    Example:
        >>> import threading
        >>> from dataflow.options import TaskOptions
        >>> stays = TaskOptions(name="load", on_failure=threading.Lock().acquire)
        >>> traveling(stays) == TaskOptions(name="load")
        True
    """
    given = {name: value for name in SHAPES if (value := getattr(options, name, None)) is not None}
    left: dict[str, Any] = dict.fromkeys(given)
    return options if not given or _travels(given) else replace(options, **left)


def _travels(given: Mapping[str, Any]) -> bool:
    if trying.get():
        return False  # hooks that lead back to tasks with hooks
    token = trying.set(True)
    try:
        cloudpickle.dumps(given)
    except Exception:  # noqa: BLE001 - boundary: pickling asks objects of users, which raise what they like
        return False
    finally:
        trying.reset(token)
    return True


def _arities(name: str, functions: tuple[HookFunction, ...], owner: Any, subject: str) -> tuple[Hook, ...]:
    return tuple(Hook(function, _arity(name, function, owner, subject)) for function in functions)


def _arity(name: str, function: HookFunction, owner: Any, subject: str) -> int:
    for count in SHAPES[name].arities:
        if _takes(function, count):
            return count
    problem = f"the function {_name_of(function)} cannot be called with what {name} gives"
    raise TaskDefinitionError(problem, where=repr(owner), fix=SHAPES[name].example.format(subject))


def _takes(function: HookFunction, count: int) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a function of C without a signature
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def call(function: HookFunction, *arguments: Any, of: Any, at: str, then: str = "nothing else changes") -> Any:
    """Call a hook to its end, an async one too; what it raises is logged, and not raised here.

    Args:
        function: the hook.
        arguments: what it gets.
        of: whose hook it is, for the log.
        at: the run of the task or flow that it is called for.
        then: what follows if it raises, for the log.

    Returns:
        What it gave, or `RAISED`.
    """
    try:
        given = function(*arguments)
        return given if given is None or not inspect.isawaitable(given) else _awaited(given)
    except (Exception, Signal, SystemExit, asyncio.CancelledError):
        logger.exception("the hook %s of %r raised for %s; %s", _name_of(function), of, at, then)
        return RAISED


def _awaited(given: Awaitable[Any]) -> Any:
    async def awaited() -> Any:
        return await given

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    context = contextvars.copy_context()  # an event loop runs here already, and cannot be waited for in its own thread
    with ThreadPoolExecutor(1, thread_name_prefix="dataflow-hook") as pool:
        return pool.submit(context.run, asyncio.run, awaited()).result()


def _name_of(function: HookFunction) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


class Hookable:
    """What tasks and flows have in common: hooks that are added to what is there already, as decorators.

    Calls that were made before are not concerned.
    """

    def _add_hook(self, option: str, function: HookFunction) -> None:
        raise NotImplementedError

    def on_running(self, function: F) -> F:
        """Call this function when an attempt begins."""
        self._add_hook("on_running", function)
        return function

    def on_completion(self, function: F) -> F:
        """Call this function when there is a value, computed or found in the store."""
        self._add_hook("on_completion", function)
        return function

    def on_failure(self, function: F) -> F:
        """Call this function when it has failed or took too long, and no retry is left."""
        self._add_hook("on_failure", function)
        return function

    def on_cancellation(self, function: F) -> F:
        """Call this function when it was cancelled."""
        self._add_hook("on_cancellation", function)
        return function

    def on_crashed(self, function: F) -> F:
        """Call this function when it ended without an answer: its process died, or it was interrupted."""
        self._add_hook("on_crashed", function)
        return function


class Committable(Hookable):
    """What tasks have besides: hooks of the transactions that their elements are part of."""

    def on_commit(self, function: F) -> F:
        """Call this function for each completed element of a transaction that counts."""
        self._add_hook("on_commit", function)
        return function

    def on_rollback(self, function: F) -> F:
        """Call this function for each completed element of a transaction that is taken back."""
        self._add_hook("on_rollback", function)
        return function
