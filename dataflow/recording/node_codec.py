"""Nodes as the database of runs keeps them: which nodes each one uses and how, its rules, and nodes made of that again.

Only what can be told of later is kept: references to other nodes, never values. The text of a use is the number of the
node, or ``[number, index, depth, flags]`` where it is more than the node as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from dataflow.database.rows import NodeRow
from dataflow.graph.nodes import (
    Argument,
    Collection,
    Constant,
    Elements,
    Graph,
    Input,
    Items,
    Node,
    Rows,
    Space,
    TaskSpec,
    Template,
    Whole,
    inputs_of,
)
from dataflow.retries import RetryPolicy
from dataflow.rules import PLAIN, Rules
from dataflow.triggers import Trigger

__all__ = ["MOST_USES", "decode_nodes", "encode_rules", "encode_uses", "uses_left_out"]

MOST_USES = 1000
"""So many uses in one argument are kept: of a list of 100,000 futures the first ones."""
ALLOWS_FAILURE, IS_JUDGED = 1, 2
"""Flags of a use."""
LITERAL = Constant(None)
"""Stands for a literal item among iterated ones."""

ONLY_LITERALS = frozenset({Constant, Collection, Items})
"""Kinds of arguments that use no node."""

Use = int | list[Any]


# To text


def encode_uses(node: Node) -> str:
    """Which nodes a node uses, and how: a JSON list of ``[name of the parameter, kind, uses]``.

    Where uses were left out, the number of all of them stands behind.

    Example:
        >>> graph, task = Graph("example"), TaskSpec(name="half", function=abs, parameters=("number",))
        >>> one = Node(graph=graph, task=task, slug="half")
        >>> two = Node(graph=graph, task=task, slug="half-2", arguments=(Elements(Input(one, depth=1)),))
        >>> encode_uses(one), encode_uses(two)
        ('[]', '[["number", "elements", [[0, null, 1, 0]]]]')
    """
    if not (node.keywords or node.after) and ONLY_LITERALS.issuperset(map(type, node.arguments)):
        return "[]"  # most calls of a loop of submits
    found = [
        [label, *written]
        for label, argument in node.labelled_arguments()
        if (written := _written(argument)) is not None
    ]
    return json.dumps(found) if found else "[]"


def _written(argument: Argument) -> list[Any] | None:
    """Kind and uses of an argument; None if it uses nothing."""
    match argument:
        case Whole(used):
            return ["whole", [_use(used)]]
        case Elements(used):
            return ["elements", [_use(used)]]
        case Template(_, many):
            uses = [_use(used) for used in islice(many, MOST_USES) if isinstance(used, Input)]
            return _cut(["template", uses], len(many)) if uses else None
        case Rows(rows):
            return _cut(["rows", _of_rows(rows)], len(rows))
        case _:
            return None


def _of_rows(rows: Sequence[Argument]) -> list[list[Use]]:
    return [[_use(used) for used in inputs_of(row)[:MOST_USES]] for row in rows[:MOST_USES]]


def _cut(written: list[Any], total: int) -> list[Any]:
    return [*written, total] if total > MOST_USES else written


def _use(used: Input) -> Use:
    flags = ALLOWS_FAILURE * used.allow_failure + IS_JUDGED * used.judged
    if used.index is None and not used.depth and not flags:
        return used.node.id
    index = [used.index.start, used.index.stop, used.index.step] if isinstance(used.index, range) else used.index
    return [used.node.id, index, used.depth, flags]


def encode_rules(node: Node) -> str:
    """What its task says of how a node is run, and where it was called: a JSON object of what is not as usual."""
    rules = node.task.rules
    if rules is PLAIN:
        return json.dumps({"site": node.site})
    trigger = rules.trigger
    given: dict[str, Any] = {
        "site": node.site,
        "retries": rules.retry.retries,
        "delays_seconds": rules.retry.delays_seconds,
        "timeout_seconds": rules.timeout_seconds,
        "trigger": None if trigger == PLAIN.trigger else [trigger.name, trigger.at_least, trigger.at_most],
        "ignores_skips": not rules.skip_on_upstream_skip,
        "isolated": rules.isolation is not None,
        "tags": sorted(rules.tags),
        "limits": [name for name, _ in rules.limits],
    }
    return json.dumps({name: value for name, value in given.items() if value})


# And back


def decode_nodes(rows: Sequence[NodeRow]) -> list[Node]:
    """Nodes that use each other as those did that the rows were made of; good enough to tell of them, not to run them.

    Args:
        rows: of one execution. Uses of nodes that are not among them are left out.

    Returns:
        A node for each row, in order of their numbers, which are the ids of the nodes.
    """
    tasks = Tasks()
    graph = Graph("past")
    nodes: dict[int, Node] = {}
    for row in sorted(rows, key=lambda row: row.number):
        node = tasks.node(graph, row)
        node.id = row.number
        nodes[row.number] = node
    for row in rows:
        if row.uses != "[]":
            arguments = _arguments(json.loads(row.uses), nodes)
            nodes[row.number].keywords = arguments
            _share_space(nodes[row.number], arguments)
    return list(nodes.values())


def uses_left_out(row: NodeRow) -> int:
    """How many uses a node makes of others that its row does not name, because there are too many.

    Example:
        >>> row = NodeRow(execution_id="", number=1, slug="total", task="total", is_mapped=False, state=2)
        >>> uses_left_out(row)
        0
    """
    return sum(entry[3] - MOST_USES for entry in json.loads(row.uses) if len(entry) > 3)


class Tasks:
    """Gives nodes their tasks; calls of one task at one line share theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[TaskSpec, str]] = {}

    def node(self, graph: Graph, row: NodeRow) -> Node:
        """A node that uses nothing yet."""
        known = (row.task, row.rules)
        if known not in self._known:  # there may be 100,000 of such calls
            self._known[known] = _task(row.task, json.loads(row.rules))
        task, site = self._known[known]
        space = Space(row.length) if row.is_mapped else None
        return Node(graph=graph, task=task, slug=row.slug, space=space, site=site)


def _task(name: str, rules: Mapping[str, Any]) -> tuple[TaskSpec, str]:
    """A task, and where it was called."""
    return TaskSpec(name=name, function=_forgotten, parameters=(), rules=_rules(rules)), rules.get("site", "")


def _forgotten(*_: Any) -> None:
    """Stands for the functions of tasks of the past, which nobody calls."""


def _rules(given: Mapping[str, Any]) -> Rules:
    delays = tuple(given.get("delays_seconds", ()))
    return Rules(
        retry=RetryPolicy(retries=given.get("retries", 0), delays_seconds=delays),
        timeout_seconds=given.get("timeout_seconds"),
        trigger=Trigger(*given["trigger"]) if "trigger" in given else PLAIN.trigger,
        skip_on_upstream_skip=not given.get("ignores_skips"),
        tags=frozenset(given.get("tags", ())),
        limits=tuple((name, None) for name in given.get("limits", ())),
    )


def _arguments(entries: Sequence[Sequence[Any]], nodes: Mapping[int, Node]) -> dict[str, Argument]:
    return {label: _KINDS[kind](uses, nodes) for label, kind, uses, *_ in entries}


def _inputs(uses: Sequence[Use], nodes: Mapping[int, Node]) -> tuple[Input, ...]:
    opened: Iterable[Sequence[Any]] = (use if isinstance(use, list) else (use, None, 0, 0) for use in uses)
    return tuple(
        Input(
            node=nodes[number],
            index=range(*index) if isinstance(index, list) else index,
            depth=depth,
            allow_failure=bool(flags & ALLOWS_FAILURE),
            judged=bool(flags & IS_JUDGED),
        )
        for number, index, depth, flags in opened
        if number in nodes
    )


def _single(kind: Callable[[Input], Argument], uses: Sequence[Use], nodes: Mapping[int, Node]) -> Argument:
    found = _inputs(uses, nodes)
    return kind(found[0]) if found else LITERAL


_KINDS: dict[str, Callable[[Sequence[Any], Mapping[int, Node]], Argument]] = {
    "whole": lambda uses, nodes: _single(Whole, uses, nodes),
    "elements": lambda uses, nodes: _single(Elements, uses, nodes),
    "template": lambda uses, nodes: Template(None, _inputs(uses, nodes)),
    "rows": lambda rows, nodes: Rows(tuple(Template(None, _inputs(uses, nodes)) if uses else LITERAL for uses in rows)),
}


def _share_space(node: Node, arguments: Mapping[str, Argument]) -> None:
    """Give a node that is mapped over another one, element by element, the space of that one."""
    for argument in arguments.values():
        if isinstance(argument, Elements) and node.space is not None:
            used = argument.input
            if used.index is None and not used.depth and used.node.space is not None:
                node.space.merge(used.node.space)
