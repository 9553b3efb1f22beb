"""The inputs of one element, found again after it ran: from its report, the graph, the cluster, the store, or made."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dataflow_results as results  # its names are loaded when used: most runs keep no results
from dataflow.engine.columns import open_levels
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.failures import Failure, exception_of
from dataflow.engine.items import slice_of
from dataflow.engine.judged import opened
from dataflow.engine.report import Report
from dataflow.errors import UsageError
from dataflow.functions import ImportedFunction
from dataflow.graph.containers import fill
from dataflow.graph.nodes import Argument, Collection, Constant, Elements, Input, Items, Node, Rows, Template, Whole
from dataflow.reproductions import Reproduction
from dataflow.states import NAMES, SUCCESSFUL, StateType
from dataflow.values import Values
from dataflow_results.records import ResultReference

__all__ = ["InputFinder"]

SKIPPED = int(StateType.SKIPPED)


@dataclass(slots=True, kw_only=True, eq=False)
class InputFinder:
    """Finds the inputs of elements of one run.

    Args:
        facts_of: what is known of a node, None before it was sent.
        values: gives what is still on the cluster.
        reference_of: gives where the result of an element is kept, None if it is not.
        recompute: whether any function may be called again for its value; else only those of steps that ran in the
            same batch, whose values never left it.
    """

    facts_of: Callable[[Node], NodeFacts | None]
    values: Values
    reference_of: Callable[[Node, int], ResultReference | None]
    recompute: bool
    _made: dict[str, Any] = field(default_factory=dict)
    """Values that were computed again, by place."""
    _batch: Report | None = None
    """Of the element whose inputs are looked for."""

    def reproduce(self, node: Node, at: int | None) -> Reproduction:
        """The function and the inputs of an element.

        Args:
            node: that it is an element of.
            at: its index; None of a plain node.

        Raises:
            UsageError: there is no such element, it was not run, or an input is not there any more.
        """
        index = self._index(node, at)
        segment = self._segment(node, index)
        self._batch = segment.report
        arguments, keywords = self._inputs(node, index, segment)
        ended_well = segment.state_of(index) in SUCCESSFUL
        return Reproduction(
            task=node.task.name,
            node=node.slug,
            index=None if node.space is None else index,
            function=_bare(node),
            arguments=arguments,
            keywords=keywords,
            error=None if ended_well else self.values.error(self._facts(node), index, segment),
            recomputed=tuple(self._made),
        )

    def _index(self, node: Node, at: int | None) -> int:
        if node.space is None or at is not None:
            return at or 0
        failed = self._facts(node).first_failure()
        example = f"{node.slug}[{0 if failed is None else failed[0]}]"
        raise UsageError("it is a map, and one element is reproduced", where=node.slug, fix=f'reproduce("{example}")')

    def _facts(self, node: Node) -> NodeFacts:
        facts = self.facts_of(node)
        if facts is None:
            raise UsageError("it was not sent yet", where=node.slug, fix="wait for it first")
        return facts

    def _segment(self, node: Node, index: int) -> Segment:
        facts = self._facts(node)
        found = next((s for s in self.values.segments(facts) if s.start <= index < s.stop), None)
        if found is not None:
            return found
        if facts.length is not None and index not in range(facts.length):
            raise UsageError("there is no such element", where=_place_of(node, index), fix=f"0 to {facts.length - 1}")
        raise UsageError("it has not ended", where=_place_of(node, index), fix="wait for it first")

    def _inputs(self, node: Node, index: int, segment: Segment) -> tuple[tuple[Any, ...], dict[str, Any]]:
        sent = None if segment.report is None else segment.report.steps[segment.step].inputs
        packed = (sent or {}).get(segment.offset + index - segment.start)
        if packed is not None:
            found = pickle.loads(packed)
        else:
            given = (*node.arguments, *node.keywords.values())
            found = tuple([self._argument(argument, node, index) for argument in given])  # a StopIteration passes
        count = len(node.arguments)
        return found[:count], dict(zip(node.keywords, found[count:], strict=True))

    # From what an argument is made

    def _argument(self, argument: Argument, node: Node, index: int) -> Any:
        match argument:
            case Constant(value):
                return value
            case Collection(value):
                return self._computed(value)
            case Whole(used):
                return self._whole(used, node, index)
            case Template(skeleton, many):
                return fill(skeleton, [self._filling(one, node, index) for one in many])
            case Items():
                return self._item(argument, node, index)
            case Rows(rows):
                return self._argument(rows[index], node, index)
            case Elements(used):
                return self._given(self._iterated(used, index), used, node, index)

    def _filling(self, one: Input | Collection, node: Node, index: int) -> Any:
        return self._whole(one, node, index) if isinstance(one, Input) else self._computed(one.value)

    def _computed(self, collection: Any) -> Any:
        self._made[type(collection).__name__] = None
        return collection.compute()

    def _item(self, items: Items, node: Node, index: int) -> Any:
        if items.length is None:
            problem = "its inputs came from a generator, which has given them away"
            raise UsageError(problem, where=_place_of(node, index), fix="map over a list to reproduce any element")
        return next(iter(slice_of(items.source, index, index + 1)))

    def _whole(self, used: Input, node: Node, index: int) -> Any:
        if used.node.space is None or isinstance(used.index, int):
            value = self._element(used.node, used.index if isinstance(used.index, int) else 0)
            if not used.depth or isinstance(value, Failure):
                return self._given(value, used, node, index)
            found = list(open_levels([value], used.depth + 1, used.node.slug))
        else:
            within = used.index if isinstance(used.index, range) else None
            failed = self._facts(used.node).first_failure(within)
            if failed is not None and not (used.judged or used.allow_failure):
                raise self._not_run(_place_of(used.node, failed[0]), failed[1].state_of(failed[0]), node, index)
            found = list(open_levels(self._elements(used), used.depth, used.node.slug))
        left = [value for value in found if not _is_skipped(value)]
        return [self._given(value, used, node, index) for value in left]

    def _iterated(self, used: Input, index: int) -> Any:
        if used.node.space is not None and used.index is None and not used.depth:
            return self._element(used.node, index)
        single = used.node.space is None or isinstance(used.index, int)
        at = used.index if isinstance(used.index, int) else 0
        values = [self._element(used.node, at)] if single else self._elements(used)
        return list(open_levels(values, used.depth, used.node.slug))[index]

    def _given(self, value: Any, used: Input, node: Node, index: int) -> Any:
        """What the function gets of an input that may have failed."""
        if not isinstance(value, Failure):
            return value
        if used.judged:
            return opened(value, node.task.rules.trigger)
        if used.allow_failure and not _is_skipped(value):
            return exception_of(value)
        at = used.index if isinstance(used.index, int) else index
        raise self._not_run(_place_of(used.node, at), value.state, node, index)

    def _not_run(self, root: str, state: int, node: Node, index: int) -> UsageError:
        problem = f"it was not run, because {root} is {NAMES[StateType(state)]}"
        return UsageError(problem, where=_place_of(node, index), fix=f'reproduce("{root}")')

    # Values of nodes

    def _elements(self, used: Input) -> list[Any]:
        """The values of a mapped node, with failures in the places of those without one."""
        facts = self._facts(used.node)
        values: list[Any] = []
        for segment in self.values.segments(facts):
            if segment.stop - segment.start > 1 and self.values.are_at_hand(facts, segment):
                values += self.values.of_segment(segment)
            else:
                values += [self._element(used.node, at) for at in range(segment.start, segment.stop)]
        return values if used.index is None else [values[at] for at in used.index]  # type: ignore[union-attr]

    def _element(self, node: Node, index: int) -> Any:
        """The value of an element, or its failure."""
        segment, facts = self._segment(node, index), self._facts(node)
        if segment.state_of(index) not in SUCCESSFUL:
            return Failure(segment.state_of(index), segment.error_of(index) or b"")
        if self.values.are_at_hand(facts, segment):
            return self.values.one(facts, index, raise_on_failure=False)
        reference = self.reference_of(node, index if node.space is not None else 0)
        if reference is not None:
            return results.load(reference)
        place = _place_of(node, index)
        if place not in self._made:
            self._made[place] = self._made_again(node, index, segment)
        return self._made[place]

    def _made_again(self, node: Node, index: int, segment: Segment) -> Any:
        place = _place_of(node, index)
        ran_together = segment.report is not None and segment.report is self._batch
        if not self.recompute and not ran_together:
            fix = (
                "ask while its future is held or the run's state is in use, keep results (persist_result=True), or "
                "reproduce(..., recompute=True), which calls the functions before it again"
            )
            raise UsageError("its value, which is an input, is not on the cluster any more", where=place, fix=fix)
        arguments, keywords = self._inputs(node, index, segment)
        try:
            value = _bare(node)(*arguments, **keywords)
            return asyncio.run(value) if inspect.iscoroutine(value) else value
        except BaseException as error:
            error.add_note(f"raised when {place} was computed again, to be an input")
            raise


def _bare(node: Node) -> Callable[..., Any]:
    function = node.task.function
    return function.__wrapped__ if isinstance(function, ImportedFunction) else function


def _place_of(node: Node, index: int) -> str:
    return node.slug if node.space is None else f"{node.slug}[{index}]"


def _is_skipped(value: Any) -> bool:
    return isinstance(value, Failure) and value.state == SKIPPED
