"""The ``@flow`` door: a function whose body runs here while its tasks run on the cluster; and `Flow` for imports."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Literal, ParamSpec, SupportsIndex, TypeVar, Unpack, overload

from dataflow.asking import check_input
from dataflow.bodies import Body, surrounding_body
from dataflow.conclusions import resolved
from dataflow.context import inside_task
from dataflow.engine.clusters import portable_cluster
from dataflow.engine.slots import leave_slot
from dataflow.errors import TaskDefinitionError
from dataflow.flow_attempts import Attempts
from dataflow.flow_block import Flow
from dataflow.flow_hooks import FlowTeller
from dataflow.flow_runs import FlowRun
from dataflow.functions import (
    annotation_names,
    imported,
    is_importable,
    name_of,
    plain_function,
    signature_of,
    undecorated,
)
from dataflow.futures import Future
from dataflow.graph.nodes import Graph
from dataflow.hooks import Hookable, as_functions, hooks_of, traveling
from dataflow.option_checks import seconds_of
from dataflow.options import FlowKeywords, FlowOptions, accept
from dataflow.parameters import Validator
from dataflow.pauses import Given
from dataflow.persistence import flow_persistence
from dataflow.progress.display import display_of
from dataflow.recording.descriptions import Description, parameters_json, pickled_arguments, run_name
from dataflow.recording.entrypoints import entrypoint_of
from dataflow.run_starts import open_run
from dataflow.states import State
from dataflow.task_rules import flow_retries
from dataflow.tracebacks import folding

__all__ = ["Flow", "FlowFunction", "FlowRun", "flow"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

RESERVED = frozenset({"return_state", "wait_for"})
"""Keywords of every call that do not reach the function."""


class FlowFunction(Hookable, Generic[P, R_co]):
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
        self._retry = flow_retries(self.options, name)
        hooks_of(self.options, self, "flow")
        self.is_async = inspect.iscoroutinefunction(plain_function(function))
        self._names = dict(names or {})
        self._validator = Validator(function, self.signature, self._names, where=f"flow {name!r}")
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<flow {self.name!r}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickles as its name, where a worker can import it; else as what it holds."""
        module, path = getattr(self.fn, "__module__", ""), getattr(self.fn, "__qualname__", "")
        return (imported, (module, path)) if is_importable(self, module, path) else super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        """What it holds, with the address in the place of a cluster or client, which cannot travel."""
        cluster = portable_cluster(self.options.cluster)
        return {**self.__dict__, "options": replace(traveling(self.options), cluster=cluster)}

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
        twin._retry = flow_retries(accepted, twin.name)
        hooks_of(accepted, twin, "flow")
        return twin

    def _add_hook(self, option: str, function: Callable[..., Any]) -> None:
        hooks = [*as_functions(getattr(self.options, option)), function]
        self.options = accept(self.options, {option: hooks}, where=f"flow {self.name!r}")
        hooks_of(self.options, self, "flow")

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
        __tracebackhide__ = True
        return_state = bool(kwargs.pop("return_state", False))
        if self.is_async:
            return self._call_async(args, kwargs, return_state=return_state)
        with folding():
            state = self._run(args, kwargs)
            return state if return_state else state.result()

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> State[R_co]:
        if self._needs_a_thread():
            return self._start(args, kwargs, resume=None).wait()
        bound = self._bind(args, kwargs)
        return self._attempts(bound).execute(self._body_of(bound))

    def _needs_a_thread(self) -> bool:
        """Whether only another thread than this one can be told on time that the time of the flow is over."""
        is_main = threading.current_thread() is threading.main_thread()
        return self.options.timeout_seconds is not None and not is_main and inside_task.get() is None

    async def _call_async(self, arguments: tuple[Any, ...], keywords: dict[str, Any], *, return_state: bool) -> Any:
        __tracebackhide__ = True
        leave_slot()
        with folding():
            bound = await asyncio.to_thread(self._bind, arguments, keywords)
            attempts = await asyncio.to_thread(self._attempts, bound)
            state = await attempts.execute_async(self._body_of(bound))
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
            kwargs: keyword arguments, as for a call; ``run_input=`` what a suspended run asks for.

        Raises:
            InputError: the input does not fit; nothing was run.
            RunSuspended: it is suspended again.
        """
        return self._start(args, kwargs, resume=run_id).result()

    def take_up(self, run_id: str, /, *args: Any, **kwargs: Any) -> State[R_co]:
        """As `resume`; gives the state in which it ends, or is suspended again."""
        return self._start(args, kwargs, resume=run_id).wait()

    def _brought(self, run_id: str | None, keywords: dict[str, Any]) -> Given | None:
        """What a run that is taken up is given; taken out of the keywords of the call."""
        if run_id is None:
            return None
        is_said = "run_input" in keywords and "run_input" not in self.signature.parameters
        given = Given(value=keywords.pop("run_input") if is_said else None, is_explicit=is_said)
        check_input(run_id, given)
        return given

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, resume: str | None) -> FlowRun[R_co]:
        brought = self._brought(resume, kwargs)
        bound = self._bind(args, kwargs)
        attempts = self._attempts(bound, resume)
        attempts.run.pauses.brought = brought
        function = self._body_of(bound)
        if self.is_async:
            return FlowRun(attempts, lambda: asyncio.run(attempts.execute_async(function)))
        return FlowRun(attempts, lambda: attempts.execute(function))

    def _body_of(self, bound: inspect.BoundArguments) -> Callable[[], Any]:
        return partial(self.fn, *bound.args, **bound.kwargs)

    def _attempts(self, bound: inspect.BoundArguments, resume: str | None = None) -> Attempts[R_co]:
        description, hooks = self._described(bound), hooks_of(self.options, self, "flow")
        known = _all_arguments(bound)
        return Attempts(
            partial(self._open, bound, description, resume),
            retry=self._retry,
            timeout_seconds=seconds_of(self.options.timeout_seconds),
            display=display_of(self.options.progress),
            teller=None if hooks is None else FlowTeller(hooks=hooks, name=description.name, parameters=known),
        )

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments of the function: futures replaced by their values, then checked."""
        resolved(keywords.pop("wait_for", None))
        bound = self._validator.bind(resolved(arguments), resolved(keywords))
        return self._validator.validate(bound) if self.options.validate_parameters else bound

    def _described(self, bound: inspect.BoundArguments) -> Description:
        """What the history is told of a run with these arguments."""
        parameters = _all_arguments(bound)
        return Description(
            name=run_name(self.options.flow_run_name, self.name, parameters),
            parameters=parameters_json(parameters),
            entrypoint=entrypoint_of(self),
            log_prints=self.options.log_prints,
            show_logs=self.options.show_logs,
            arguments=pickled_arguments(bound.args, bound.kwargs),
        )

    def _open(
        self, bound: inspect.BoundArguments, description: Description, resume: str | None, run_id: str | None
    ) -> Body:
        """A run; of a flow called by another one where and as that one runs, if nothing else is said."""
        outer = surrounding_body()
        cluster = outer.cluster if self.options.cluster is None and outer is not None else self.options.cluster
        persistence = flow_persistence(
            self.options, parameters=_all_arguments(bound), outer=None if outer is None else outer.persistence
        )
        if run_id is not None:
            resume = None  # a later attempt: it takes up its own run, and nobody has to look whether it may
        elif outer is not None:
            run_id = outer.id_of_called(self.name)
        run = open_run(
            self.name,
            Graph(self.name),
            cluster,
            persistence=persistence,
            resume=resume,
            run_id=run_id,
            description=description,
        )
        return Body(run, cluster=cluster, is_async=self.is_async, persistence=persistence)


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
    """Local names that occur in the annotations of a nested function; of a module's function none."""
    if "<locals>" not in getattr(function, "__qualname__", ""):
        return {}
    return annotation_names(function, names)


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
