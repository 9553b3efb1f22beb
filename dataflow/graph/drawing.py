"""Pictures of a graph as text: Mermaid and Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflow.graph.nodes import Argument, Elements, Input, Node, Rows, inputs_of

__all__ = ["to_dot", "to_mermaid"]

WAITS = "wait_for["

Edge = tuple[int, int, str, bool]
"""Positions of both nodes, what the edge is called, and whether it carries no data."""


def to_mermaid(nodes: Sequence[Node], *, direction: str = "TD") -> str:
    """A Mermaid flowchart: mapped nodes have a double frame and their length, ``wait_for`` is a dashed line.

    Example:
        >>> from dataflow.graph.nodes import Graph, Space, TaskSpec
        >>> graph, task = Graph("example"), TaskSpec(name="load", function=list, parameters=("x",))
        >>> load = Node(graph=graph, task=task, slug="load")
        >>> iterated = Elements(Input(load, depth=1))
        >>> each = Node(graph=graph, task=task, slug="each", arguments=(iterated,), space=Space(None))
        >>> print(to_mermaid([load, each]))
        flowchart TD
            n0["load"]
            n1[["each [?]"]]
            n0 -->|"x, iterated"| n1
    """
    lines = [f"flowchart {direction}"]
    for position, node in enumerate(nodes):
        opening, closing = ("[", "]") if node.space is None else ("[[", "]]")
        lines.append(f'    n{position}{opening}"{_mermaid_text(_title(node))}"{closing}')
    for start, end, label, waits in _edges(nodes):
        arrow = "-.->" if waits else f'-->|"{_mermaid_text(label)}"|'
        lines.append(f"    n{start} {arrow} n{end}")
    return "\n".join(lines)


def to_dot(nodes: Sequence[Node], *, name: str = "flow") -> str:
    """A Graphviz digraph, drawn like the Mermaid one; mapped nodes are stacked boxes.

    Example:
        >>> from dataflow.graph.nodes import Graph, TaskSpec
        >>> load = Node(graph=Graph("example"), task=TaskSpec(name="load", function=list, parameters=()), slug="load")
        >>> print(to_dot([load], name="example"))
        digraph "example" {
            node [shape=box]
            n0 [label="load"]
        }
    """
    lines = [f"digraph {_dot_text(name)} {{", "    node [shape=box]"]
    for position, node in enumerate(nodes):
        shape = "" if node.space is None else ", shape=box3d"
        lines.append(f"    n{position} [label={_dot_text(_title(node))}{shape}]")
    for start, end, label, waits in _edges(nodes):
        style = "style=dashed" if waits else f"label={_dot_text(label)}"
        lines.append(f"    n{start} -> n{end} [{style}]")
    return "\n".join([*lines, "}"])


def _title(node: Node) -> str:
    if node.space is None:
        return node.slug
    length = node.space.length
    return f"{node.slug} [{'?' if length is None else f'{length:,}'}]"


def _edges(nodes: Sequence[Node]) -> Iterator[Edge]:
    """One edge for each pair of nodes and kind; several arguments share a label. Nodes not given are left out."""
    positions = {node: position for position, node in enumerate(nodes)}
    labels: dict[tuple[int, int, bool], dict[str, None]] = {}
    for node in nodes:
        for path, argument in node.labelled_arguments():
            for used in inputs_of(argument):
                if used.node in positions:
                    key = (positions[used.node], positions[node], path.startswith(WAITS))
                    labels.setdefault(key, {})[path + _how(argument, used)] = None
    for (start, end, waits), names in labels.items():
        yield start, end, "; ".join(names), waits


def _how(argument: Argument, used: Input) -> str:
    """What of the node is used, where that is not simply its value or its element."""
    if isinstance(argument, Rows):
        return ", iterated"
    if isinstance(used.index, int):
        return f", element {used.index}"
    flattens = used.depth - (isinstance(argument, Elements) and used.node.space is None)
    if flattens > 0:
        return ", flattened"
    if isinstance(argument, Elements):
        return "" if used.node.space else ", iterated"
    return ", gathered" if used.node.space else ""


def _mermaid_text(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
