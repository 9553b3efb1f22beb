"""What ``flow.run()`` of the graph door gives: the state of the flow, of its handles and of their elements."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from dataflow.graph.nodes import Node
from dataflow.handles import Handle
from dataflow.states import FINAL, State, StateType

if TYPE_CHECKING:
    from dataflow.flow_view import FlowView
    from dataflow.session import Run

__all__ = ["ElementStates", "FlowState", "HandleState", "HandleStates"]


class KeptRun:
    """Keeps the values of a run on the cluster, and its exceptions, as long as a state of it is in use."""

    __slots__ = ("__weakref__", "_errors", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        # Not held by the run, which is held until the close below: frames of theirs lead back to this very object.
        self._errors = run.hand_over_errors()
        weakref.finalize(self, run.close)


class _Predicates:
    """The questions that users of the graph door ask of any state."""

    __slots__ = ()

    @property
    def state(self) -> State[Any]:
        """The state as the rest of the product knows it."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What it is called: ``"Completed"``, ``"Cached"``, ``"Failed"`` and so on."""
        return self.state.name

    @property
    def message(self) -> str:
        """One sentence about it."""
        return self.state.message

    def is_successful(self) -> bool:
        """Whether it ended well: with a value, or skipped."""
        return self.state.is_successful()

    def is_skipped(self) -> bool:
        """Whether it was left out on purpose."""
        return self.state.is_skipped()

    def is_cached(self) -> bool:
        """Whether it was not run, because its value was found in the store."""
        return self.state.is_cached()

    def is_failed(self) -> bool:
        """Whether it did not end well: an exception, a time limit, a failed input, or a lost worker."""
        return self.state.is_failed() or self.state.is_crashed()

    def is_timed_out(self) -> bool:
        """Whether it took longer than its limit."""
        return self.state.is_timed_out()

    def is_finished(self) -> bool:
        """Whether it will not change any more."""
        return self.state.is_final()

    def is_running(self) -> bool:
        """Whether part of it has started and it has not ended."""
        return self.state.is_running()

    def is_pending(self) -> bool:
        """Whether it has not started."""
        return self.state.is_pending()

    def is_cancelled(self) -> bool:
        """Whether somebody cancelled it."""
        return self.state.is_cancelled()

    def is_upstream_failed(self) -> bool:
        """Whether it was not run because an input failed."""
        return self.state.is_upstream_failed()

    def is_crashed(self) -> bool:
        """Whether it ended without an answer."""
        return self.state.is_crashed()

    def is_scheduled(self) -> bool:
        """Whether it is planned for a later time: a start, or the next try of it."""
        return self.state.is_scheduled()

    def is_retrying(self) -> bool:
        """Whether it is being tried again, or waits for that."""
        return self.state.is_retrying()

    def is_looped(self) -> bool:
        """Whether it is in a later round of its loop."""
        return self.state.is_looped()

    def is_paused(self) -> bool:
        """Whether it waits for somebody: for an approval, or to be taken up again."""
        return self.state.is_paused()


class HandleState(_Predicates):
    """The state of a handle, or of one element; its ``result`` is the value, or the exception of failed work."""

    __slots__ = ("_index", "_kept", "_node")

    def __init__(self, kept: KeptRun, node: Node, index: int | range | None = None) -> None:
        self._kept = kept
        self._node = node
        self._index = index

    def __repr__(self) -> str:
        element = "" if self._index is None else f"[{self._index}]"
        return f"<{self._node.slug}{element}: {self.state}>"

    @property
    def state(self) -> State[Any]:
        """Its state now."""
        index = self._index if isinstance(self._index, int) else None
        return self._kept.run.state(self._node, index)

    @property
    def result(self) -> Any:
        """The value, fetched from the cluster when asked for; of failed work the exception."""
        return self._kept.run.value(self._node, self._index, raise_on_failure=False)

    def is_mapped(self) -> bool:
        """Whether it stands for a list with one state for each element."""
        return self._node.space is not None and not isinstance(self._index, int)

    @property
    def map_states(self) -> ElementStates:
        """The states of the elements of a mapped handle.

        Raises:
            AttributeError: it is not mapped.
        """
        if not self.is_mapped():
            raise AttributeError(f"{self!r} is not mapped, so it has no map_states")
        length = self._kept.run.length(self._node)
        return ElementStates(self._kept, self._node, range(length) if self._index is None else _range(self._index))

    @property
    def n_map_states(self) -> int:
        """Number of elements of a mapped handle."""
        return len(self.map_states)


def _range(index: int | range) -> range:
    return index if isinstance(index, range) else range(index, index + 1)


class ElementStates(Sequence[HandleState]):
    """The states of the elements of a mapped handle, each made when it is looked at."""

    __slots__ = ("_indices", "_kept", "_node")

    def __init__(self, kept: KeptRun, node: Node, indices: range) -> None:
        self._kept = kept
        self._node = node
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: Any) -> Any:
        picked = self._indices[position]
        if isinstance(picked, range):
            return ElementStates(self._kept, self._node, picked)
        return HandleState(self._kept, self._node, picked)

    def __repr__(self) -> str:
        return f"<states of {len(self)} elements of {self._node.slug}>"


class HandleStates(Mapping[Handle, HandleState]):
    """The states of all handles of a run, by handle, parameter, or task that was added as itself."""

    __slots__ = ("_flow", "_handles", "_kept")

    def __init__(self, flow: FlowView, kept: KeptRun, handles: tuple[Handle, ...]) -> None:
        self._flow = flow
        self._kept = kept
        self._handles = dict.fromkeys(handles)

    def __getitem__(self, item: Any) -> HandleState:
        handle = self._flow.handle(item)
        return HandleState(self._kept, handle.node, handle.index)

    def __contains__(self, item: object) -> bool:
        return item in self._flow

    def __iter__(self) -> Iterator[Handle]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __repr__(self) -> str:
        return f"<states of {len(self)} tasks of flow {self._flow.name!r}>"


class FlowState(_Predicates):
    """What became of a run of the graph door. The reference tasks decide it.

    Example:
        >>> from dataflow import Flow, task
        >>> @task
        ... def half(x):
        ...     return 1 / x
        >>> with Flow("halves") as flow:
        ...     halves = half.map([1, 0, 4])
        >>> state = flow.run(cluster="inline")
        >>> state.is_successful(), [element.is_failed() for element in state.result[halves].map_states]
        (False, [False, True, False])
        >>> state.result[halves].map_states[2].result
        0.25
    """

    __slots__ = ("_attempt", "_deciding", "_state", "result", "run")

    def __init__(
        self,
        flow: FlowView,
        run: Run,
        handles: tuple[Handle, ...],
        *,
        ended: State[Any] | None = None,
        attempt: int = 1,
    ) -> None:
        kept = KeptRun(run)
        self._deciding = [handle.node for handle in flow.reference_tasks()]
        self._attempt = attempt
        self.run = run
        """The run it is the state of."""
        self.result = HandleStates(flow, kept, handles)
        """The state of each handle."""
        self._state = replace(ended or decided_state(run, self._deciding), attempt=attempt)

    def __repr__(self) -> str:
        return f"<{self.state}>"

    @property
    def state(self) -> State[Any]:
        """The state of the flow; a paused one may have been approved elsewhere."""
        if self._state.type is StateType.PAUSED:
            self._look_again()
        return self._state

    def wait(self) -> Self:
        """Wait until nothing of the flow is paused any more: somebody approves it here, or from another process."""
        self.run.finish()
        self._look_again()
        return self

    def _look_again(self) -> None:
        found = replace(decided_state(self.run, self._deciding), attempt=self._attempt)
        if found.type is not StateType.PAUSED:
            self._state = self.run.conclude(found)
            self.run.recording.settle()

    def approve(self, *places: Any, run_input: Any = None) -> Self:
        """Let tasks run that wait for it (``trigger=manual_only``); wait until the flow has ended or is paused again.

        Args:
            places: the tasks: handles or names. None: all that wait.
            run_input: what their code finds as ``dataflow.context.get("approval")``.

        Raises:
            UsageError: there is no such task in the run.

        Example:
            >>> from dataflow import Flow, task
            >>> from dataflow.triggers import manual_only
            >>> @task
            ... def build():
            ...     return "v1"
            >>> @task(trigger=manual_only)
            ... def release(version):
            ...     return f"released {version}"
            >>> with Flow("release") as flow:
            ...     released = release(build())
            >>> state = flow.run(cluster="inline")
            >>> state.name, state.approve(released).name, state.result[released].result
            ('Paused', 'Completed', 'released v1')
        """
        for place in places or [None]:
            self.run.approve(place, run_input)
        self.run.finish(or_paused=True)
        self._look_again()
        return self


FINAL_STATES = (
    (StateType.CANCELLED, "were cancelled"),
    (StateType.CRASHED, "crashed"),
    (StateType.FAILED, "failed"),
    (StateType.TIMED_OUT, "took too long"),
    (StateType.UPSTREAM_FAILED, "were not run, because an input failed"),
)
"""What makes a flow end badly, the strongest first."""
AS_FAILED = frozenset({StateType.TIMED_OUT, StateType.UPSTREAM_FAILED})
"""States of reference tasks that make the flow Failed, because the flow itself was not in them."""


def decided_state(run: Run, nodes: Sequence[Node]) -> State[Any]:
    """The final state of a flow, decided by the states of some of its nodes."""
    types = [run.state(node).type for node in nodes]
    waiting = sum(kind not in FINAL for kind in types)
    if waiting:
        message = f"{waiting} of {len(types)} reference tasks wait for an approval"
        return State(type=StateType.PAUSED, message=message, run=run)
    for kind, words in FINAL_STATES:
        if kind in types:
            final = StateType.FAILED if kind in AS_FAILED else kind
            message = f"{types.count(kind)} of {len(types)} reference tasks {words}"
            return State(type=final, message=message, run=run)
    return State(type=StateType.COMPLETED, message="all reference tasks succeeded", run=run)
