"""The ``@flow`` door: a function whose body runs here while its tasks run on the cluster; and `Flow` for imports."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Literal, ParamSpec, TypeVar, Unpack, overload

from dataflow.bodies import Body, current_body, entered
from dataflow.conclusions import concluded, interrupted, resolved
from dataflow.context import inside_task
from dataflow.errors import TaskDefinitionError
from dataflow.flow_block import Flow
from dataflow.flow_runs import FlowRun
from dataflow.functions import name_of, plain_function, signature_of, undecorated
from dataflow.futures import Future
from dataflow.graph.nodes import Graph
from dataflow.options import FlowKeywords, FlowOptions, accept, not_built
from dataflow.parameters import Validator
from dataflow.persistence import flow_persistence
from dataflow.session import open_run
from dataflow.states import State

__all__ = ["Flow", "FlowFunction", "FlowRun", "flow"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

RESERVED = frozenset({"return_state", "wait_for"})
"""Keywords of every call that do not reach the function."""


class FlowFunction(Generic[P, R_co]):
    """A function plus options, as ``@flow`` makes it; not changed after it is made.

    Calling it runs the body here, and its tasks on the cluster; it ends when all submitted work has ended, and gives
    the body's value. Returned futures are replaced by their values.

    Raises:
        TaskDefinitionError: it is not a function, or an option does not exist or fit.
        NotImplementedError: an option whose behaviour is not built yet.
    """

    def __init__(
        self, fn: Callable[P, R_co], /, names: Mapping[str, Any] | None = None, **options: Unpack[FlowKeywords]
    ) -> None:
        function = undecorated(fn, "flow")
        self.fn: Callable[P, R_co] = function
        """The bare function."""
        self.signature = signature_of(function, "flow", RESERVED)
        name = options.get("name") or name_of(function).replace("_", "-")
        self.options = accept(FlowOptions(), options, where=f"flow {name!r}")
        self.name = name
        self.is_async = inspect.iscoroutinefunction(plain_function(function))
        self._names = dict(names or {})
        self._validator = Validator(function, self.signature, self._names, where=f"flow {name!r}")
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"

    def with_options(self, **options: Unpack[FlowKeywords]) -> FlowFunction[P, R_co]:
        """Another flow: the same function, some options changed.

        Example:
            >>> from dataflow import flow
            >>> @flow
            ... def nightly():
            ...     return 1
            >>> nightly.with_options(name="weekly", cluster="inline").name
            'weekly'
        """
        accepted = accept(self.options, options, where=f"flow {self.name!r}")
        twin = FlowFunction(self.fn, self._names, name=accepted.name or self.name)
        twin.options = accepted
        return twin

    @overload
    def __call__(
        self: FlowFunction[..., Coroutine[Any, Any, T]], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> Coroutine[Any, Any, State[T]]: ...

    @overload  # P cannot hold return_state, because no function with such a parameter becomes a flow
    def __call__(  # type: ignore[overload-overlap]
        self, *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> State[R_co]: ...

    @overload
    def __call__(
        self: FlowFunction[P, Coroutine[Any, Any, Future[T]]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...

    @overload
    def __call__(self: FlowFunction[P, Future[T]], *args: P.args, **kwargs: P.kwargs) -> T: ...

    @overload
    def __call__(self: FlowFunction[P, list[Future[T]]], *args: P.args, **kwargs: P.kwargs) -> list[T]: ...

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R_co: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow; gives its value, of an ``async def`` flow an awaitable of it.

        Args:
            args: arguments of the function; futures stand for their values.
            kwargs: keyword arguments of the function, and of the call: ``return_state=True`` gives the final state
                instead of the value; ``wait_for=`` things that must have succeeded before.

        Raises:
            ParameterError: an argument is missing, unknown, or does not fit its annotation; nothing was run.
            FlowFailed: work failed and nobody looked at it.
            Exception: whatever the body, or a returned future, raises.
        """
        return_state = bool(kwargs.pop("return_state", False))
        if self.is_async:
            return self._call_async(args, kwargs, return_state=return_state)
        bound = self._bind(args, kwargs)
        state = self._execute(self._open(bound), bound)
        return state if return_state else state.result()

    async def _call_async(self, arguments: tuple[Any, ...], keywords: dict[str, Any], *, return_state: bool) -> Any:
        bound = await asyncio.to_thread(self._bind, arguments, keywords)
        body = await asyncio.to_thread(self._open, bound)
        state = await self._execute_async(body, bound)
        return state if return_state else state.result()

    def start(self, *args: Any, **kwargs: Any) -> FlowRun[R_co]:
        """Start the flow; gives its run at once, while the body runs in a thread.

        Raises:
            ParameterError: an argument is missing, unknown, or does not fit its annotation; nothing was run.

        Example:
            >>> from dataflow import flow, task
            >>> @task
            ... def double(x):
            ...     return 2 * x
            >>> @flow(cluster="inline")
            ... def work():
            ...     return double(4)
            >>> run = work.start()
            >>> run.result(), run.state.name
            (8, 'Completed')
        """
        return self._start(args, kwargs, resume=None)

    def resume(self, run_id: str, /, *args: Any, **kwargs: Any) -> R_co:
        """Run the flow again as the run with this id: results that it kept are taken, only the others are computed.

        The arguments must be those of that run, and so must the order of the calls in the body.

        Args:
            run_id: the ``id`` of the earlier run.
            args: arguments of the function, as for a call.
            kwargs: keyword arguments, as for a call.
        """
        return self._start(args, kwargs, resume=run_id).result()

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, resume: str | None) -> FlowRun[R_co]:
        bound = self._bind(args, kwargs)
        body = self._open(bound, resume)
        if self.is_async:
            return FlowRun(body.run, lambda: asyncio.run(self._execute_async(body, bound)))
        return FlowRun(body.run, lambda: self._execute(body, bound))

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments of the function: futures replaced by their values, then checked."""
        if inside_task.get():
            not_built("calling a flow inside a task", where=f"flow {self.name!r}", works="call its tasks there")
        resolved(keywords.pop("wait_for", None))
        bound = self._validator.bind(resolved(arguments), resolved(keywords))
        return self._validator.validate(bound) if self.options.validate_parameters else bound

    def _open(self, bound: inspect.BoundArguments, resume: str | None = None) -> Body:
        """A run; of a flow called by another one where and as that one runs, if nothing else is said."""
        outer = current_body.get()
        cluster = outer.cluster if self.options.cluster is None and outer is not None else self.options.cluster
        persistence = flow_persistence(
            self.options, parameters=_all_arguments(bound), outer=None if outer is None else outer.persistence
        )
        called = None if outer is None else outer.id_of_called(self.name)
        run = open_run(self.name, Graph(self.name), cluster, persistence=persistence, resume=resume, run_id=called)
        return Body(run, cluster=cluster, is_async=self.is_async, persistence=persistence)

    def _execute(self, body: Body, bound: inspect.BoundArguments) -> State[Any]:
        try:
            with entered(body):
                returned: Any = self.fn(*bound.args, **bound.kwargs)
                return body.run.conclude(concluded(body.run, returned))
        except BaseException as error:  # noqa: BLE001 - boundary: an error of the user's body becomes the final state
            return body.run.conclude(interrupted(body.run, error))
        finally:
            body.run.close()

    async def _execute_async(self, body: Body, bound: inspect.BoundArguments) -> State[Any]:
        try:
            with entered(body):
                returned: Any = await self.fn(*bound.args, **bound.kwargs)  # type: ignore[misc]
                return body.run.conclude(await asyncio.to_thread(concluded, body.run, returned))
        except BaseException as error:  # noqa: BLE001 - boundary: as above
            return body.run.conclude(interrupted(body.run, error))
        finally:
            await asyncio.to_thread(body.run.close)


@overload
def flow(fn: Callable[P, R], /, **options: Unpack[FlowKeywords]) -> FlowFunction[P, R]: ...


@overload
def flow(fn: None = None, /, **options: Unpack[FlowKeywords]) -> Callable[[Callable[P, R]], FlowFunction[P, R]]: ...


def flow(fn: Any = None, /, **options: Unpack[FlowKeywords]) -> Any:
    """Make a flow of a function, as ``@flow`` or ``@flow(name=...)``.

    Raises:
        TaskDefinitionError: what stands below is not a function, or an option does not exist or fit.
        NotImplementedError: an option whose behaviour is not built yet.

    Example:
        >>> from dataflow import flow, task
        >>> @task
        ... def double(x):
        ...     return 2 * x
        >>> @flow(cluster="inline")
        ... def doubled(n: int):
        ...     return double.map(range(n))
        >>> doubled("3")
        [0, 2, 4]
    """
    names = sys._getframe(1).f_locals
    if fn is None:
        return lambda function: FlowFunction(_given(function), _names_for(function, names), **options)
    return FlowFunction(_given(fn), _names_for(fn, names), **options)


def _names_for(function: Any, names: Mapping[str, Any]) -> Mapping[str, Any]:
    """Local names that the annotations of a nested function may need; of a module's function none."""
    return names if "<locals>" in getattr(function, "__qualname__", "") else {}


def _all_arguments(bound: inspect.BoundArguments) -> dict[str, Any]:
    """The arguments with the defaults of those that were not given."""
    full = inspect.BoundArguments(bound.signature, bound.arguments.copy())
    full.apply_defaults()
    return dict(full.arguments)


def _given(function: Any) -> Any:
    if isinstance(function, FlowFunction):
        fix = "flow.with_options(...)"
        raise TaskDefinitionError(f"{function!r} is a flow already", where="@flow", fix=fix)
    return function
