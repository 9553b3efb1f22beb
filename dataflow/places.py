"""Places of a run as people write them: ``"load"`` is a node, ``"load[17]"`` one element of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from dataflow.errors import UsageError
from dataflow.graph.nodes import Node, Reference

__all__ = ["find_place", "parse_place"]

ELEMENT = re.compile(r"(?P<slug>.+)\[(?P<index>-?\d+)\]")
SHOWN_SLUGS = 8
"""So many nodes are named where none is similar to what was asked for."""


def parse_place(text: str) -> tuple[str, int | None]:
    """The slug of a node, and the index of the element, None for the node as a whole.

    Example:
        >>> parse_place("load[17]"), parse_place("load-2")
        (('load', 17), ('load-2', None))
    """
    found = ELEMENT.fullmatch(text.strip())
    return (found["slug"], int(found["index"])) if found else (text.strip(), None)


def find_place(nodes: Sequence[Node], place: object) -> tuple[Node, int | None]:
    """The node that a place means, and the index of the element, None for the node as a whole.

    Args:
        nodes: of the run.
        place: ``"load[17]"``, ``"load"``, a future or handle, or a pair of a slug and an index.

    Raises:
        UsageError: there is no such node in the run, or it is no place at all.

    Example:
        >>> from dataflow.graph.nodes import Graph, TaskSpec
        >>> load = Node(graph=Graph("example"), task=TaskSpec(name="load", function=list, parameters=()), slug="load")
        >>> find_place([load], "load")
        (<Node load>, None)
        >>> find_place([load], "lod[3]")
        Traceback (most recent call last):
        ...
        dataflow.errors.UsageError: lod[3]: no node of this run is called 'lod'
          instead: load[3]
    """
    if isinstance(place, Reference):
        return _in_run(nodes, place.node), place.index if isinstance(place.index, int) else None
    slug, index = place if isinstance(place, tuple) and len(place) == 2 else parse_place(str(place))
    if isinstance(slug, Node):
        return _in_run(nodes, slug), index
    node = next((node for node in nodes if node.slug == slug), None)
    if node is None:
        raise _unknown(nodes, slug, index)
    return node, index


def _in_run(nodes: Sequence[Node], node: Node) -> Node:
    if node not in nodes:
        raise UsageError("this run has no such node", where=node.slug, fix="ask the run that it belongs to")
    return node


def _unknown(nodes: Sequence[Node], slug: str, index: int | None) -> UsageError:
    element = "" if index is None else f"[{index}]"
    where, problem = f"{slug}{element}", f"no node of this run is called {slug!r}"
    near = difflib.get_close_matches(slug, [node.slug for node in nodes], n=3)
    return UsageError(problem, where=where, fix=" or ".join(f"{name}{element}" for name in near) or _listed(nodes))


def _listed(nodes: Sequence[Node]) -> str:
    more = ", …" if len(nodes) > SHOWN_SLUGS else ""
    shown = ", ".join(node.slug for node in nodes[:SHOWN_SLUGS])
    return f"one of {shown}{more}" if nodes else "a node of the run, once it has one"
