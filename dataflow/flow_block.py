"""The graph door: ``with Flow("name") as flow:`` builds a graph of handles, ``flow.run()`` runs it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack

from dataflow.collection import rarely
from dataflow.compiler.plan import Plan
from dataflow.conclusions import OVERDUE_GRACE_SECONDS, overdue
from dataflow.context import current_flow
from dataflow.deadlines import Deadline, limited
from dataflow.engine.clusters import portable_cluster
from dataflow.engine.slots import patiently, slot_release
from dataflow.errors import TaskDefinitionError, UsageError
from dataflow.flow_attempts import RETRIED
from dataflow.flow_graph import FlowGraph
from dataflow.flow_hooks import FlowTeller
from dataflow.flow_states import FlowState
from dataflow.graph.nodes import Node
from dataflow.hooks import Hookable, as_functions, hooks_of, traveling
from dataflow.option_checks import seconds_of
from dataflow.options import FlowKeywords, FlowOptions, accept
from dataflow.parameters import give_value, parameter_values
from dataflow.persistence import flow_persistence
from dataflow.progress.display import display_of
from dataflow.recording.descriptions import Description, parameters_json, pickled_arguments, run_name
from dataflow.recording.entrypoints import entrypoint_of
from dataflow.run_starts import plan_flow, start_graph
from dataflow.session import Run
from dataflow.states import AwaitingRetry, State
from dataflow.task_rules import flow_retries

__all__ = ["Flow"]


def within(run: Run, deadline: Deadline, work: Callable[[], Any]) -> State[Any] | None:
    """Do this part of a run; gives the state of the flow if its time is over.

    After Ctrl-C, or when the cluster is lost, nothing goes on without anybody who waits for it.
    """
    try:
        with limited(deadline, cancel=partial(run.cancel, grace_seconds=OVERDUE_GRACE_SECONDS)):
            work()
    except BaseException as error:
        if deadline.has_ended(error):
            return overdue(run, deadline.seconds)  # not with the frames of the error, which would keep the run alive
        run.cancel()
        run.hooks.crashed(error)
        run.close()
        raise
    return overdue(run, deadline.seconds) if deadline.is_over else None


class Flow(Hookable, FlowGraph):
    """A flow whose graph is built first and run later, as often as wanted.

    Args:
        name: what it is called.
        options: those of `FlowOptions`.

    Raises:
        TaskDefinitionError: the name is empty, or an option does not exist or fit.
        NotImplementedError: an option whose behaviour is not built yet.

    Example:
        >>> from dataflow import Flow, task
        >>> @task
        ... def add(x, y):
        ...     return x + y
        >>> with Flow("sums") as flow:
        ...     sums = add.map([1, 2, 3], 10)
        ...     total = task(sum)(sums)
        >>> state = flow.run(cluster="inline")
        >>> state.result[sums].result, state.result[total].result
        ([11, 12, 13], 36)
    """

    def __init__(self, name: str, /, **options: Unpack[FlowKeywords]) -> None:
        if not name or not isinstance(name, str):
            raise TaskDefinitionError(f"the name of a flow is {name!r}", where="Flow", fix="Flow('my flow')")
        super().__init__(name)
        self.options = accept(FlowOptions(), options, where=f"flow {name!r}")
        flow_retries(self.options, name)
        hooks_of(self.options, self, "flow")
        self._tokens: list[Token[Any]] = []
        self._parameters_lock = threading.RLock()  # inline, a task may run the flow again while its own run begins
        """Held while the values of one run are in the nodes of the parameters."""

    def __getstate__(self) -> dict[str, Any]:
        """What a task on a worker gets of it: all but what belongs to blocks and runs that are open here."""
        left = {name: value for name, value in self.__dict__.items() if name not in ("_tokens", "_parameters_lock")}
        return {**left, "options": replace(traveling(self.options), cluster=portable_cluster(self.options.cluster))}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state, _tokens=[], _parameters_lock=threading.RLock())

    def __enter__(self) -> Self:
        self._tokens.append(current_flow.set(self))
        rarely.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        rarely.__exit__()
        current_flow.reset(self._tokens.pop())
        if kind is None:
            self.validate()

    def _add_hook(self, option: str, function: Callable[..., Any]) -> None:
        hooks = [*as_functions(getattr(self.options, option)), function]
        self.options = accept(self.options, {option: hooks}, where=f"flow {self.name!r}")
        hooks_of(self.options, self, "flow")

    def plan(self, *, keep: str = "all") -> Plan:
        """What `run` would send, without running it: which tasks share a batch, and how many elements there are.

        Raises:
            FlowValidationError: something is wrong with the flow.

        Example:
            >>> from dataflow import Flow, task
            >>> @task
            ... def double(x):
            ...     return 2 * x
            >>> with Flow("doubles") as flow:
            ...     total = task(sum)(double.map(double.map(range(1000))))
            >>> print(flow.plan(keep="terminal"))
            level  together       stages  elements  kept
            0      double+double  1       1,000     1
            1      sum            1       1         1
        """
        self.validate()
        nodes = self._sorted_nodes()
        return plan_flow(nodes, kept=self._kept_nodes(nodes, keep))

    def _kept_nodes(self, nodes: list[Node], keep: str) -> list[Node]:
        if keep not in ("all", "terminal"):
            where = f"flow {self.name!r}"
            raise UsageError(f"keep is {keep!r}", where=where, fix='keep="all" or keep="terminal"')
        return nodes if keep == "all" else [handle.node for handle in self.terminal_tasks() | self.reference_tasks()]

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        cluster: Any = None,
        keep: str = "all",
        resume: str | None = None,
        **more_parameters: Any,
    ) -> FlowState:
        """Run the flow and wait until all of it has ended; again if it failed and ``retries`` are left, as one run.

        Args:
            parameters: values of parameters by name.
            cluster: where it runs; None takes the flow's own, then the setting, then the default.
            keep: ``"all"`` keeps the value of every handle on the cluster while the state is in use;
                ``"terminal"`` only those that no other task uses, for large flows.
            resume: id of an earlier run of this flow; results that it kept are taken, only the others are computed.
            more_parameters: values of parameters as keywords.

        Returns:
            The final state; ``state.result[handle]`` is the state of a handle, and its ``result`` the value. If
            nothing goes on without an approval (``trigger=manual_only``) it is Paused; see `FlowState.approve`.

        Raises:
            FlowValidationError: something is wrong with the flow; nothing was run.
            ParameterError: a parameter is missing, unknown or does not fit; nothing was run.
        """
        where = f"flow {self.name!r}"
        if current_flow.get() is self:
            raise UsageError("run() inside its own block", where=where, fix="call flow.run() after the block")
        self.validate()
        values = parameter_values(self._parameters, {**(parameters or {}), **more_parameters}, where=where)
        nodes = self._sorted_nodes()
        kept = self._kept_nodes(nodes, keep)
        description = self._described(values)
        opened = self._opened(values, self.options.cluster if cluster is None else cluster, description)
        hooks = hooks_of(self.options, self, "flow")
        teller = None if hooks is None else FlowTeller(hooks=hooks, name=description.name, parameters=values)
        attempted = partial(self._attempted, nodes, kept, values, teller)
        with display_of(self.options.progress) as display:
            state = self._tried(attempted, display.opening(opened), resume)
            display.close(state.state)
        state.run.conclude(state.state)
        state.run.recording.settle()
        return state

    def _tried(self, attempted: Callable[..., FlowState], opened: Callable[..., Run], resume: str | None) -> FlowState:
        """Make attempts until one succeeds, or none is left."""
        state, number = attempted(partial(opened, resume=resume)), 1
        while (delay := self._delay(state, number)) is not None:
            state.run.conclude(AwaitingRetry())
            state.run.close()
            with slot_release.get()():
                time.sleep(delay)
            number += 1
            state = attempted(partial(opened, run_id=state.run.id), number)
        return state

    def _opened(self, values: Mapping[str, Any], cluster: Any, description: Description) -> Callable[..., Run]:
        """Opens a run with these values of parameters."""
        persistence = flow_persistence(self.options, parameters=values or None)
        return partial(
            Run, self.name, self.graph, cluster, cut_held=False, persistence=persistence, description=description
        )

    def _described(self, values: Mapping[str, Any]) -> Description:
        """What the history is told of a run with these values of parameters."""
        return Description(
            name=run_name(self.options.flow_run_name, self.name, values),
            door="graph",
            log_prints=self.options.log_prints,
            show_logs=self.options.show_logs,
            parameters=parameters_json(values),
            entrypoint=entrypoint_of(self),
            arguments=pickled_arguments((), values),
        )

    def _delay(self, state: FlowState, number: int) -> float | None:
        """How long to wait for another attempt after this one; None if there is none."""
        if state.state.type not in RETRIED:
            return None
        return flow_retries(self.options, self.name).delay_seconds(number, random.random())  # noqa: S311 - jitter, no secret

    def _attempted(
        self,
        nodes: list[Node],
        kept: list[Node],
        values: Mapping[str, Any],
        teller: FlowTeller | None,
        opened: Callable[[], Run],
        number: int = 1,
    ) -> FlowState:
        deadline = Deadline(seconds_of(self.options.timeout_seconds))
        with patiently(self._parameters_lock):
            waited = [give_value(self._parameters[name].node, value) for name, value in values.items()]
            run = opened()
            run.voice.attempt = number
            run.hooks.begin_flow(teller, number)
            start_graph(run, nodes, keep=kept)
            # Once a parameter's node has ended its value has left the graph, and the next run may put in its own.
            late = within(run, deadline, lambda: [run.wait(node) for node in waited])
        if late is None:
            late = within(run, deadline, partial(run.finish, or_paused=True))
        return FlowState(self, run, tuple(self._handles[node] for node in nodes), ended=late, attempt=number)

    def resume(self, run_id: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> FlowState:
        """Run the flow again as the run with this id; the same as ``run(..., resume=run_id)``."""
        return self.run(parameters, resume=run_id, **options)

    def take_up(self, run_id: str, /, **parameters: Any) -> State[Any]:
        """As `resume`; gives the state in which it ends."""
        return self.run(parameters, resume=run_id).state

    def copy(self) -> Flow:
        """Another flow with the same tasks; the handles of this one can be used for it too."""
        twin = Flow(self.name)
        twin.options = self.options
        twin.update(self)
        if self._reference_nodes is not None:
            twin.set_reference_tasks([self._handles[node] for node in self._reference_nodes])
        return twin
