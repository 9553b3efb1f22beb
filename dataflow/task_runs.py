"""Task runs: one element of a task as its hooks are told of it, and the states that it went through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.element_inputs import InputFinder
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.failures import unpack_error
from dataflow.engine.report import Try
from dataflow.graph.nodes import Node
from dataflow.run_states import state_of, times_of, was_tried
from dataflow.states import AwaitingRetry, Looping, Paused, Retrying, Running, State, StateType
from dataflow.storytelling import Teller
from dataflow.triggers import manual_only
from dataflow.values import Values

if TYPE_CHECKING:
    from dataflow.session import Run

__all__ = ["Lives", "TaskRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One element of a task (or its only one), at one moment."""

    name: str
    """The slug of its node, with the index if there are many: ``"load[3]"``."""
    task_name: str
    index: int | None
    """Of the element in its map; None of a plain call."""
    run_count: int
    """How many times it was tried."""
    state: State[Any]
    flow_run_id: str
    tags: frozenset[str] = frozenset()
    run: Any = field(default=None, repr=False)
    """The run it belongs to."""
    find_parameters: Callable[[], Mapping[str, Any]] = field(default=dict, repr=False)

    @property
    def id(self) -> str:
        """Its identity, the same if the run is resumed."""
        return f"{self.flow_run_id}/{self.name}"

    @property
    def state_name(self) -> str:
        """What its state is called."""
        return self.state.name

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arguments of the function by name, found again when asked for.

        Raises:
            UsageError: the element was not run, or an input is not there any more.
        """
        return self.find_parameters()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Tells what the elements of one run went through; asking counts as looking at no failure.

    Args:
        run: the run.
        values: gives its values and exceptions.
    """

    run: Run
    values: Values

    def task_run(self, node: Node, index: int, state: State[Any]) -> TaskRun:
        """An element in a state."""
        at = None if node.space is None else index
        task = node.task
        return TaskRun(
            name=node.slug if at is None else f"{node.slug}[{at}]",
            task_name=task.name,
            index=at,
            run_count=state.attempt,
            state=state,
            flow_run_id=self.run.id,
            tags=task.rules.tags,
            run=self.run,
            find_parameters=partial(self._parameters, node, at),
        )

    def last_state(self, facts: NodeFacts, index: int) -> State[Any]:
        """What an element has ended in."""
        at = None if facts.node.space is None else index
        return state_of(facts, at, self.values, run=self.run, load=partial(self._value, facts, index))

    def states(
        self, facts: NodeFacts, segment: Segment, index: int, wants: Callable[[StateType], bool]
    ) -> Iterator[State[Any]]:
        """The states of an element that has ended, after Pending, in order; of its end only if it is wanted."""
        node, tries = facts.node, segment.tries_of(index)
        tried = was_tried(segment, index) or self._skipped_itself(node, segment, index)
        if tried or tries:
            if node.task.rules.trigger == manual_only:
                yield self._made(Paused())
            yield self._made(Running(), 1, tries[0].started if tries else _began(segment, index))
        number = 1
        for position, one in enumerate(tries, start=1):
            number = 1 if one.state == StateType.LOOPING else number + 1
            yield from self._again(one, number, is_followed=tried or position < len(tries))
        if wants(StateType(segment.state_of(index))):
            yield self.last_state(facts, index)

    def _again(self, one: Try, number: int, *, is_followed: bool) -> Iterator[State[Any]]:
        """What came after an attempt that did not end the element; ``number`` is that of the next one."""
        ended = one.started + one.seconds
        if one.state == StateType.LOOPING:
            yield self._made(Looping(f"round {one.round + 1}"), number, ended)
            return
        error = unpack_error(one.error)
        message = f"{type(error).__name__}: {error}"
        if not one.delay_seconds:
            yield self._made(Retrying(message), number, ended)
            return
        yield self._made(AwaitingRetry(message, data=error), number - 1, one.started, one.seconds)
        if is_followed:
            yield self._made(Retrying(message), number)

    def _made(
        self, state: State[Any], attempt: int = 0, started: float | None = None, seconds: float | None = None
    ) -> State[Any]:
        return State(
            type=state.type,
            message=state.message,
            data=state.data,
            attempt=attempt,
            started=started,
            seconds=seconds,
            run=self.run,
        )

    def _skipped_itself(self, node: Node, segment: Segment, index: int) -> bool:
        """Whether an element was skipped by its own function; the story knows, which few have to be asked for."""
        if segment.state_of(index) != StateType.SKIPPED or segment.report is None:
            return False
        story = Teller(facts_of=self.run.facts_of, kept_at=self.run.memory_of).story(
            node, None if node.space is None else index
        )
        return any(step.state is StateType.RUNNING for step in story)

    def _value(self, facts: NodeFacts, index: int) -> Any:
        segment = facts.segment_at(index)
        if segment is not None and segment.valued() and segment.key is None:  # it was left out, and is run now
            return self.run.value(facts.node, None if facts.node.space is None else index)
        return self.values.one(facts, index, raise_on_failure=True)

    def _parameters(self, node: Node, index: int | None) -> Mapping[str, Any]:
        finder = InputFinder(
            facts_of=self.run.facts_of, values=self.values, reference_of=self.run.reference, recompute=False
        )
        found = finder.reproduce(node, index)
        return {**dict(zip(node.task.parameters, found.arguments, strict=False)), **found.keywords}


def _began(segment: Segment, index: int) -> float | None:
    times = times_of(segment, index)
    return None if times is None else times.started
