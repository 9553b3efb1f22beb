"""The graph door: ``with Flow("name") as flow:`` builds a graph of handles, ``flow.run()`` runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Any, Self, Unpack

from dataflow.collection import rarely
from dataflow.compiler.plan import Plan
from dataflow.context import current_flow
from dataflow.errors import TaskDefinitionError, UsageError
from dataflow.flow_graph import FlowGraph
from dataflow.flow_states import FlowState
from dataflow.graph.nodes import Node
from dataflow.options import FlowKeywords, FlowOptions, accept
from dataflow.parameters import give_value, parameter_values
from dataflow.persistence import flow_persistence
from dataflow.session import Run, plan_flow, start_graph

__all__ = ["Flow"]


@contextmanager
def not_left_running(run: Run) -> Iterator[None]:
    """After Ctrl-C, or when the cluster is lost, nothing goes on without anybody who waits for it."""
    try:
        yield
    except BaseException:
        run.cancel()
        run.close()
        raise


class Flow(FlowGraph):
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
        self._tokens: list[Token[Any]] = []
        self._parameters_lock = threading.Lock()
        """Held while the values of one run are in the nodes of the parameters."""

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
        """Run the flow and wait until all of it has ended.

        Args:
            parameters: values of parameters by name.
            cluster: where it runs; None takes the flow's own, then the setting, then the default.
            keep: ``"all"`` keeps the value of every handle on the cluster while the state is in use;
                ``"terminal"`` only those that no other task uses, for large flows.
            resume: id of an earlier run of this flow; results that it kept are taken, only the others are computed.
            more_parameters: values of parameters as keywords.

        Returns:
            The final state; ``state.result[handle]`` is the state of a handle, and its ``result`` the value.

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
        with self._parameters_lock:
            waited = [give_value(self._parameters[name].node, value) for name, value in values.items()]
            chosen = self.options.cluster if cluster is None else cluster
            persistence = flow_persistence(self.options, parameters=values or None)
            run = Run(self.name, self.graph, chosen, cut_held=False, persistence=persistence, resume=resume)
            start_graph(run, nodes, keep=kept)
            # Once a parameter's node has ended its value has left the graph, and the next run may put in its own.
            with not_left_running(run):
                for node in waited:
                    run.wait(node)
        with not_left_running(run):
            run.finish()
        state = FlowState(self, run, tuple(self._handles[node] for node in nodes))
        run.conclude(state.state)
        return state

    def resume(self, run_id: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> FlowState:
        """Run the flow again as the run with this id; the same as ``run(..., resume=run_id)``."""
        return self.run(parameters, resume=run_id, **options)

    def copy(self) -> Flow:
        """Another flow with the same tasks; the handles of this one can be used for it too."""
        twin = Flow(self.name)
        twin.options = self.options
        twin.update(self)
        if self._reference_nodes is not None:
            twin.set_reference_tasks([self._handles[node] for node in self._reference_nodes])
        return twin
