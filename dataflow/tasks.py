"""Tasks: a function plus options, made by ``@task``, by ``Task(function)`` or by a class with ``run``."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Generic, Literal, ParamSpec, SupportsIndex, TypeVar, Unpack, cast, overload

from dataflow.bodies import submitting_body, surrounding_body
from dataflow.calls import RESERVED, Call, Operation, read_call
from dataflow.context import current_flow
from dataflow.errors import HandleError, TaskDefinitionError, UsageError
from dataflow.filters import filtering
from dataflow.flow_block import Flow
from dataflow.functions import (
    imported,
    is_importable,
    name_of,
    nout_of,
    portable,
    signature_of,
    undecorated,
)
from dataflow.futures import Future, MappedFuture
from dataflow.graph.nodes import TaskSpec
from dataflow.handles import link
from dataflow.hooks import Committable, as_functions, hooks_of
from dataflow.local_calls import run_here
from dataflow.options import TaskKeywords, TaskOptions, accept, chosen_options
from dataflow.retries import exponential_backoff
from dataflow.states import State
from dataflow.task_specs import spec_of, traveling_parts

__all__ = ["Task", "exponential_backoff", "task"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Task(Committable, Generic[P, R_co]):
    """A function plus options; not changed after it is made, ``with_options`` makes another.

    Calling it adds a node inside ``with Flow(...)``, runs it on the cluster inside a ``@flow`` body, and simply calls
    the function everywhere else. ``task.fn`` is the bare function.

    Args:
        fn: the function; a subclass defines ``run`` instead.
        options: those of `TaskOptions`.

    Raises:
        TaskDefinitionError: it is not a function, or an option does not exist or fit.
        NotImplementedError: an option whose behaviour is not built yet.

    Example:
        >>> class Add(Task):
        ...     def run(self, x, y=1):
        ...         return x + y
        >>> add = Add(name="plus one")
        >>> add.name, add(2)
        ('plus one', 3)
    """

    _binds: bool
    """Whether it stands for a plain function, which becomes a method in a class body."""

    def __init__(self, fn: Callable[P, R_co] | None = None, /, **options: Unpack[TaskKeywords]) -> None:
        function = undecorated(self._function(fn), "task")
        signature = signature_of(function, "task", RESERVED)
        name = str(options.get("name") or (name_of(function) if fn is not None else type(self).__name__))
        accepted = accept(TaskOptions(), options, where=f"task {name!r}")
        self.__dict__.update(_fn=function, _name=name, _options=accepted, _signature=signature)
        self.__dict__["_spec"] = spec_of(
            self, name, accepted, function=function, sent=portable(function), signature=signature
        )
        self.__dict__["_binds"] = inspect.isfunction(fn)
        functools.update_wrapper(self, function, updated=())
        if fn is not None:
            self.__dict__["run"] = function

    def _function(self, fn: Callable[P, R_co] | None) -> Any:
        run = getattr(type(self), "run", None)
        if fn is None and run is None:
            fix = "def run(self, ...) in the class, or Task(function)"
            raise TaskDefinitionError("there is no function to run", where=type(self).__name__, fix=fix)
        if isinstance(fn, Task) or (isinstance(fn, type) and issubclass(fn, Task)):
            made = f"{fn.__name__}()" if isinstance(fn, type) else "task.with_options(...)"
            raise TaskDefinitionError(f"{fn!r} is a task already", where="@task", fix=made)
        return fn if fn is not None else types.MethodType(run, self)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED:
            fix = f"task.with_options({name}=...) makes another"
            raise UsageError(f"{name!r} of a task cannot be changed", where=self.__dict__.get("_name", ""), fix=fix)
        super().__setattr__(name, value)

    @property
    def fn(self) -> Callable[P, R_co]:
        """The bare function."""
        return self.__dict__["_fn"]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """What it, and its nodes in a flow, are called."""
        return self.__dict__["_name"]  # type: ignore[no-any-return]

    @property
    def options(self) -> TaskOptions:
        """Its options."""
        return self.__dict__["_options"]  # type: ignore[no-any-return]

    @property
    def signature(self) -> inspect.Signature:
        """The parameters of the function."""
        return self.__dict__["_signature"]  # type: ignore[no-any-return]

    @property
    def spec(self) -> TaskSpec:
        """The task as the engine sees it; calls of one task share it."""
        return self.__dict__["_spec"]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>"

    def __dataflow_key__(self) -> object:
        """What a key is made of where a task is an argument: its function, and what the user set on it."""
        if "run" in self.__dict__:
            return self.fn
        own = {name: value for name, value in self.__dict__.items() if name not in _OURS and not name.startswith("__")}
        return type(self).run, own  # type: ignore[attr-defined]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickles as its name, where a worker can import it; else as what it holds."""
        module, path = getattr(self.fn, "__module__", ""), getattr(self.fn, "__qualname__", "")
        return (imported, (module, path)) if is_importable(self, module, path) else super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        """What it holds, without hooks that cannot travel."""
        return {**self.__dict__, **traveling_parts(self.options, self.spec)}

    @overload
    def __get__(self, instance: None, owner: type) -> Task[P, R_co]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Task[..., R_co]: ...

    def __get__(self, instance: object | None, owner: type) -> Task[..., R_co]:
        """Bind ``self``, when a function below ``@task`` stands in a class body, as Python does for functions."""
        if instance is None or not self._binds:
            return self
        return Task(types.MethodType(self.fn, instance), **_as_keywords(self))

    def with_options(self, **options: Unpack[TaskKeywords]) -> Task[P, R_co]:
        """Another task: the same function, some options changed.

        Example:
            >>> from dataflow import task
            >>> @task(tags=["io"])
            ... def load():
            ...     return 1
            >>> slow = load.with_options(name="slow load")
            >>> slow.name, sorted(slow.options.tags), load.name
            ('slow load', ['io'], 'load')
        """
        where = f"task {self.name!r}"
        accepted = accept(self.options, options, where=where)
        name = accepted.name or self.name
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, _options=accepted, _name=name)
        function = self.fn if "run" in self.__dict__ else types.MethodType(type(self).run, copy)  # type: ignore[attr-defined]
        sent = self.spec.function if "run" in self.__dict__ else function
        spec = spec_of(copy, name, accepted, function=function, sent=sent, signature=self.signature)
        copy.__dict__.update(_fn=function, _spec=spec)
        copy.__dict__.pop("nout", None)
        copy.__dict__.pop("_filter", None)
        return copy

    def _add_hook(self, option: str, function: Callable[..., Any]) -> None:
        hooks = [*as_functions(getattr(self.options, option)), function]
        options = accept(self.options, {option: hooks}, where=f"task {self.name!r}")
        spec = replace(self.spec, hooks=hooks_of(options, self, "task"))
        self.__dict__.update(_options=options, _spec=spec)
        self.__dict__.pop("_filter", None)

    @property
    def tags(self) -> frozenset[str]:
        """Its tags."""
        return self.options.tags

    @functools.cached_property
    def nout(self) -> int | None:
        """Number of values it returns as a tuple, from its option or its annotation."""
        return self.options.nout or nout_of(self.fn)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __call__(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> Coroutine[Any, Any, State[T]]: ...

    @overload
    def __call__(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R_co]: ...

    @overload
    def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R_co: ...

    @overload
    def __call__(self, *args: Any, upstream_tasks: Any, **kwargs: Any) -> R_co: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task: a handle inside ``with Flow``, its value in a ``@flow`` body, else the function's value.

        Args:
            args: arguments of the function; handles and futures stand for their values.
            kwargs: keyword arguments of the function, and of the call: ``wait_for=`` (or ``upstream_tasks=``) things
                that must have succeeded before; ``return_state=True`` gives the state instead of the value;
                ``task_args=`` options for this call.

        Raises:
            ArgumentError: the arguments do not fit the function.
            HandleError: a handle or future of another flow.
        """
        call = read_call(self, args, kwargs)
        flow = call.flow or current_flow.get()
        if flow is not None:
            return flow.call(call)
        body = surrounding_body()
        return run_here(call) if body is None else body.value(call)

    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> Future[T]: ...

    @overload
    def submit(self, *args: Any, return_state: Literal[False] = False, **kwargs: Any) -> Future[R_co]: ...

    @overload
    def submit(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R_co]: ...

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task on the cluster; gives a future at once. Keywords as for a call.

        Raises:
            UsageError: outside a flow.
        """
        return self._start(read_call(self, args, kwargs), "submit")

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, return_state: Literal[False] = False, **kwargs: Any
    ) -> MappedFuture[T]: ...

    @overload
    def map(self, *args: Any, return_state: Literal[False] = False, **kwargs: Any) -> MappedFuture[R_co]: ...

    @overload
    def map(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[R_co]]: ...

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task for each element of its iterable arguments; gives a mapped future at once.

        Args:
            args: lists, ranges, generators, arrays, futures and handles are iterated together; scalars, str, bytes
                and models are given to every element, and so is ``unmapped(x)``.
            kwargs: as for a call, and ``strict=False``, which lets the shortest decide.

        Raises:
            MapError: an argument cannot be iterated, or nothing is.
            MapLengthError: the lengths differ.
            UsageError: outside a flow.
        """
        return self._start(read_call(self, args, kwargs, mapped=True), "map")

    @overload
    def filter(self, *args: Any, return_state: Literal[False] = False, **kwargs: Any) -> MappedFuture[Any]: ...

    @overload
    def filter(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[Any]]: ...

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        """As `map`, but gives the elements of the first argument that the task is true of; the others are skipped.

        Elements keep their indices: a map over what is left skips the others too, and lists leave them out.

        Args:
            args: as for `map`; the first is what is filtered.
            kwargs: as for `map`.

        Raises:
            MapError: an argument cannot be iterated, or nothing is.
            MapLengthError: the lengths differ.
            UsageError: outside a flow.

        Example:
            >>> from dataflow import flow, task
            >>> @task
            ... def larger(x, least):
            ...     return x >= least
            >>> @flow(cluster="inline")
            ... def large():
            ...     return larger.filter([5, 20, 7, 30], 10)
            >>> large()
            [20, 30]
        """
        call = read_call(self, args, kwargs, mapped=True)
        return self._start(replace(call, task=cast("Task[..., Any]", call.task)._filter), "filter")

    @functools.cached_property
    def _filter(self) -> Operation:
        """What `filter` calls."""
        return Operation(spec=filtering(self.spec), signature=self.signature, tags=self.tags)

    def _start(self, call: Call, verb: str) -> Any:
        flow = call.flow or current_flow.get()
        if flow is not None:
            return flow.call(call)
        body = submitting_body()
        if body is None:
            fix = f"put it in a function below @flow, or in `with Flow(...)`; {self.name}(...) calls the function"
            raise UsageError(f".{verb} outside a flow", where=self.name, fix=fix)
        future = body.submit(call)
        if not call.return_state:
            return future
        future.wait()
        return [element.state for element in future] if isinstance(future, MappedFuture) else future.state

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        """Give this very task its arguments in the flow of the block (or ``flow=``); gives its handle.

        Other than a call, binding twice changes the one node: a later argument takes the place of an earlier one.
        """
        call = read_call(self, args, kwargs)
        return self._flow(call.flow).bind(call)

    def set_upstream(self, other: Any, *, key: str | None = None, mapped: bool = False, flow: Any = None) -> None:
        """Make it wait for ``other``, or take its value as the argument ``key``."""
        link(self._flow(flow), other, self, key=key, mapped=mapped)

    def set_downstream(self, other: Any, *, key: str | None = None, mapped: bool = False, flow: Any = None) -> None:
        """Make ``other`` wait for it, or take its value as the argument ``key``."""
        link(self._flow(flow), self, other, key=key, mapped=mapped)

    def _flow(self, flow: Flow | None) -> Flow:
        found = flow or current_flow.get()
        if found is None:
            raise HandleError("there is no flow", where=self.name, fix="do it inside `with Flow(...)`, or give flow=")
        return found


_FIXED = frozenset({"fn", "name", "options", "signature", "spec"})
_OURS = frozenset({*(f"_{name}" for name in _FIXED), "_binds", "_filter", "nout"})
"""Attributes that are not of the user."""


def _as_keywords(made: Task[..., Any]) -> TaskKeywords:
    return cast("TaskKeywords", {**chosen_options(made.options), "name": made.name})


@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskKeywords]) -> Task[P, R]: ...


@overload
def task(fn: None = None, /, **options: Unpack[TaskKeywords]) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(fn: Any = None, /, **options: Unpack[TaskKeywords]) -> Any:
    """Make a task of a function, as ``@task`` or ``@task(name=...)``.

    Raises:
        TaskDefinitionError: what stands below is not a function, or an option does not exist or fit.
        NotImplementedError: an option whose behaviour is not built yet.

    Example:
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> double(4)
        8
    """
    if fn is None:
        return lambda function: Task(function, **options)
    return Task(fn, **options)
