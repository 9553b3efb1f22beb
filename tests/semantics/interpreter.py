"""The written definition of what a flow means: every node, one element at a time, without batches or stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask

from dataflow.errors import MapError, MapLengthError
from dataflow.graph.containers import fill
from dataflow.graph.nodes import Argument, Collection, Constant, Elements, Input, Items, Node, Rows, Template, Whole
from dataflow.rules import Rules
from tests.semantics.attempts import Given, Outcome, StateName, given_outcomes, run, upstream_failed

__all__ = ["Outcome", "interpret"]

Outcomes = Mapping[Node, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An iterated argument: what each element gets, and the outcome that stands for all if it ended as a whole."""

    items: list[Given]
    as_whole: Outcome | None = None


def interpret(nodes: Iterable[Node]) -> dict[Node, Outcome]:
    """Give the outcome of every node; a node must come after the nodes it uses."""
    outcomes: dict[Node, Outcome] = {}
    for node in nodes:
        rules = node.task.rules
        arguments = [_resolve(argument, outcomes, rules) for _, argument in node.labelled_arguments()]
        outcomes[node] = _map(node, arguments) if node.space is not None else _call(node, [_one(a) for a in arguments])
    return outcomes


def _map(node: Node, arguments: Sequence[Given | Source]) -> Outcome:
    """Zip the sources. If they do not fit, one element that did not run stands for all."""
    sources = [argument for argument in arguments if isinstance(argument, Source)]
    lengths = {len(source.items) for source in sources}
    if node.strict and len(lengths) > 1:
        return _did_not_fit(sources)
    elements = [
        _call(node, [argument.items[i] if isinstance(argument, Source) else argument for argument in arguments])
        for i in range(min(lengths))
    ]
    return _summary(elements)


def _did_not_fit(sources: Sequence[Source]) -> Outcome:
    """What failed or was skipped as a whole has no length; else different lengths are the failure."""
    wholes = [source.as_whole for source in sources if source.as_whole]
    if any(whole.skipped for whole in wholes):
        pseudo = Outcome(state="Skipped")
    elif wholes:
        pseudo = upstream_failed(root for whole in wholes for root in whole.roots)
    else:
        pseudo = Outcome(state="Failed", value=MapLengthError("iterated arguments of different lengths"))
    return replace(_summary([pseudo]), as_whole=True)


def _call(node: Node, given: Sequence[Given]) -> Outcome:
    """One element."""
    positional = len(node.arguments)
    values = [each.value for each in given]
    keywords = dict(zip(node.keywords, values[positional:], strict=False))
    return run(node.task, given, lambda: node.task.function(*values[:positional], **keywords))


def _summary(elements: Sequence[Outcome]) -> Outcome:
    """What elements make of their node: the worst of them; skipped only if all of them were."""
    causes = tuple(root for element in elements for root in element.roots)
    state = _worst([element.state for element in elements])
    value = [element.value for element in elements if element.completed] if not causes else causes[0]
    return Outcome(state=state, value=value, causes=causes, elements=tuple(elements))


def _worst(states: Sequence[StateName]) -> StateName:
    if not {"Failed", "Crashed", "TimedOut"}.isdisjoint(states):
        return "Failed"
    bad: tuple[StateName, ...] = ("UpstreamFailed", "Cancelled")
    worst = next((state for state in bad if state in states), None)
    return worst or ("Skipped" if states and set(states) == {"Skipped"} else "Completed")


def _resolve(argument: Argument, outcomes: Outcomes, rules: Rules) -> Given | Source:
    """What an argument is: one value for every element, or a source with an item for each."""
    match argument:
        case Constant(value):
            return Given(value=value)
        case Collection(value):
            return Given(value=dask.compute(value, scheduler="sync")[0])
        case Whole(used):
            return _whole(used, outcomes, rules)
        case Template(skeleton, inputs):
            return _filled(skeleton, inputs, outcomes, rules)
        case Items(items, _):
            return Source(items=[Given(value=item) for item in items])
        case Rows(rows):
            return Source(items=[_one(_resolve(row, outcomes, rules)) for row in rows])
        case Elements(used):
            return _elements(used, outcomes, rules)


def _whole(used: Input, outcomes: Outcomes, rules: Rules) -> Given:
    """A node's value, one element's value, or the gathered list; flattened ``depth`` times."""
    outcome = _used(used, outcomes)
    if outcome.elements is None and not used.depth:
        return given_outcomes([_allowed(outcome, used)], rules, gathered=False)
    opened = _opened([outcome], used.depth + 1) if outcome.elements is None else _opened(outcome.elements, used.depth)
    return given_outcomes([_allowed(item, used) for item in opened], rules, gathered=True)


def _filled(skeleton: Any, inputs: Sequence[Input | Collection], outcomes: Outcomes, rules: Rules) -> Given:
    """A container with what stands in it; each of its inputs counts as if it were an argument of its own."""
    sources = [each if isinstance(each, Collection) else Whole(each) for each in inputs]
    parts = [_one(_resolve(source, outcomes, rules)) for source in sources]
    return Given(
        value=fill(skeleton, [part.value for part in parts]),
        used=tuple(outcome for part in parts for outcome in part.used),
        skips=any(part.skips for part in parts),
    )


def _elements(used: Input, outcomes: Outcomes, rules: Rules) -> Source:
    """The elements of a mapped node, or the items of a plain node's value; opened to ``depth`` levels."""
    outcome = _used(used, outcomes)
    opened = _opened([outcome] if outcome.elements is None else outcome.elements, used.depth)
    items = [given_outcomes([_allowed(item, used)], rules, gathered=False) for item in opened]
    as_whole = outcome.as_whole or (outcome.elements is None and not outcome.completed)
    return Source(items=items, as_whole=outcome if as_whole else None)


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
    """Take away levels of nesting. What has no value stays one item; so does a value that is no sequence, failed."""
    opened = list(items)
    for _ in range(levels):
        opened = [inner for outer in opened for inner in (_open(outer) if outer.completed else [outer])]
    return opened


def _open(outer: Outcome) -> list[Outcome]:
    if isinstance(outer.value, (list, tuple, range)):
        return [Outcome(value=item) for item in outer.value]
    return [Outcome(state="Failed", value=MapError(f"a {type(outer.value).__name__} cannot be iterated"))]


def _allowed(outcome: Outcome, used: Input) -> Outcome:
    """Under ``allow_failure`` a failure counts as a success; the exception stands in the place of the value."""
    if not (outcome.failed and used.allow_failure):
        return outcome
    return Outcome(value=given_outcomes([outcome], Rules(), gathered=False).value)


def _one(resolved: Given | Source) -> Given:
    assert isinstance(resolved, Given), "what stands in a row or in a container, or is used by a plain node, is whole"
    return resolved
