"""The written definition of what a flow means: every node, one element at a time, without batches or stages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import dask

from dataflow.errors import MapError, MapLengthError, UpstreamFailed
from dataflow.graph.containers import fill
from dataflow.graph.nodes import Argument, Collection, Constant, Elements, Input, Items, Node, Rows, Template, Whole

__all__ = ["Outcome", "interpret"]

StateName = Literal["Completed", "Failed", "UpstreamFailed"]
Outcomes = Mapping[Node, "Outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an element or a node: its value if completed, else the exception at the root of it."""

    state: StateName = "Completed"
    value: Any = None
    elements: tuple[Outcome, ...] | None = None
    """Of a mapped node: what became of each element. None for a plain node and for an element."""
    causes: tuple[BaseException, ...] = ()
    """If it was not run: the roots of all inputs that failed. Which of them is named is left open."""
    as_whole: bool = False
    """A mapped node that failed before its index space was known; one element stands for all of them."""

    @property
    def completed(self) -> bool:
        return self.state == "Completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An iterated argument: what each element gets, and the outcome that stands for all if it failed as a whole."""

    items: list[Outcome]
    failure: Outcome | None = None


def interpret(nodes: Iterable[Node]) -> dict[Node, Outcome]:
    """Give the outcome of every node; a node must come after the nodes it uses."""
    outcomes: dict[Node, Outcome] = {}
    for node in nodes:
        arguments = [argument for _, argument in node.labelled_arguments()]
        outcomes[node] = (_run if node.space is None else _map)(node, [_resolve(each, outcomes) for each in arguments])
    return outcomes


def _map(node: Node, arguments: Sequence[Outcome | Source]) -> Outcome:
    """Zip the sources. If they do not fit, one element that did not run stands for all."""
    sources = [argument for argument in arguments if isinstance(argument, Source)]
    lengths = {len(source.items) for source in sources}
    if node.strict and len(lengths) > 1:
        return _did_not_fit(sources)
    elements = [
        _run(node, [argument.items[i] if isinstance(argument, Source) else argument for argument in arguments])
        for i in range(min(lengths))
    ]
    return _summary(elements)


def _did_not_fit(sources: Sequence[Source]) -> Outcome:
    error: Exception = MapLengthError("iterated arguments of different lengths")
    failures = [source.failure for source in sources if source.failure]
    state: StateName = "UpstreamFailed" if failures else "Failed"
    causes = tuple(cause for failure in failures for cause in _roots(failure))
    pseudo = Outcome(state=state, value=[*causes, error][0], causes=causes)
    return Outcome(state=state, value=pseudo.value, causes=causes, elements=(pseudo,), as_whole=True)


def _run(node: Node, arguments: Sequence[Any]) -> Outcome:
    """Run one element: only if all it needs is completed. It completes if its function returns."""
    causes = tuple(cause for argument in arguments if not argument.completed for cause in _roots(argument))
    if causes:
        return Outcome(state="UpstreamFailed", value=causes[0], causes=causes)
    values = [argument.value for argument in arguments]
    positional = len(node.arguments)
    keywords = dict(zip(node.keywords, values[positional:], strict=False))
    try:
        value = node.task.function(*values[:positional], **keywords)
        return Outcome(value=asyncio.run(value) if node.task.is_async else value)
    except Exception as error:  # noqa: BLE001 - boundary: the function is the user's
        return Outcome(state="Failed", value=error)


def _roots(failed: Outcome) -> tuple[BaseException, ...]:
    return failed.causes or (failed.value,)


def _summary(elements: Sequence[Outcome]) -> Outcome:
    """A list of elements as one outcome: failed if one failed, else blocked if one was; the first of them is why."""
    unsuccessful = [element for element in elements if not element.completed]
    if not unsuccessful:
        return Outcome(value=[element.value for element in elements], elements=tuple(elements))
    state: StateName = "Failed" if any(element.state == "Failed" for element in unsuccessful) else "UpstreamFailed"
    causes = tuple(cause for element in unsuccessful for cause in _roots(element))
    return Outcome(state=state, value=causes[0], causes=causes, elements=tuple(elements))


def _resolve(argument: Argument, outcomes: Outcomes) -> Outcome | Source:
    """What an argument is: one outcome for every element, or a source with an item for each."""
    match argument:
        case Constant(value):
            return Outcome(value=value)
        case Collection(value):
            return Outcome(value=dask.compute(value, scheduler="sync")[0])
        case Whole(used):
            return _whole(used, outcomes)
        case Template(skeleton, inputs):
            sources = [each if isinstance(each, Collection) else Whole(each) for each in inputs]
            filled = [_one(_resolve(source, outcomes)) for source in sources]
            causes = tuple(cause for each in filled if not each.completed for cause in _roots(each))
            if causes:
                return Outcome(state="Failed", value=causes[0], causes=causes)
            return Outcome(value=fill(skeleton, [each.value for each in filled]))
        case Items(items, _):
            return Source(items=[Outcome(value=item) for item in items])
        case Rows(rows):
            return Source(items=[_one(_resolve(row, outcomes)) for row in rows])
        case Elements(used):
            return _elements(used, outcomes)


def _whole(used: Input, outcomes: Outcomes) -> Outcome:
    """A node's value, one element's value, or the gathered list; flattened ``depth`` times."""
    outcome = _used(used, outcomes)
    if outcome.elements is None and not used.depth:
        return _allowed(outcome, used)
    opened = _opened([outcome], used.depth + 1) if outcome.elements is None else _opened(outcome.elements, used.depth)
    gathered = _summary([_allowed(item, used) for item in opened])
    return replace(gathered, elements=None)


def _elements(used: Input, outcomes: Outcomes) -> Source:
    """The elements of a mapped node, or the items of a plain node's value; opened to ``depth`` levels."""
    outcome = _used(used, outcomes)
    items = _opened([outcome] if outcome.elements is None else outcome.elements, used.depth)
    as_whole = outcome.as_whole or (outcome.elements is None and not outcome.completed)
    return Source(items=[_allowed(item, used) for item in items], failure=outcome if as_whole else None)


def _used(used: Input, outcomes: Outcomes) -> Outcome:
    outcome = outcomes[used.node]
    if used.index is None or outcome.elements is None:
        return outcome
    if isinstance(used.index, range):
        return _summary([outcome.elements[i] for i in used.index])
    if outcome.as_whole:
        return outcome.elements[0]
    if not -len(outcome.elements) <= used.index < len(outcome.elements):
        return Outcome(state="Failed", value=IndexError(f"there is no element {used.index}"))
    return outcome.elements[used.index]


def _opened(items: Iterable[Outcome], levels: int) -> list[Outcome]:
    """Take away levels of nesting. What failed stays one failed item; so does a value that is no sequence."""
    opened = list(items)
    for _ in range(levels):
        opened = [inner for outer in opened for inner in (_open(outer) if outer.completed else [outer])]
    return opened


def _open(outer: Outcome) -> list[Outcome]:
    if isinstance(outer.value, (list, tuple, range)):
        return [Outcome(value=item) for item in outer.value]
    return [Outcome(state="Failed", value=MapError(f"a {type(outer.value).__name__} cannot be iterated"))]


def _allowed(outcome: Outcome, used: Input) -> Outcome:
    """Under ``allow_failure`` the exception stands in the place of the value."""
    if outcome.completed or not used.allow_failure:
        return outcome
    if outcome.state == "Failed":
        return Outcome(value=outcome.value)
    error = UpstreamFailed("not run because an input failed")
    error.__cause__ = outcome.value
    return Outcome(value=error)


def _one(resolved: Outcome | Source) -> Outcome:
    assert isinstance(resolved, Outcome), "what stands in a row or in a container is not iterated again"
    return resolved
