"""Ways to begin: a run whose nodes come while it goes on, a run of a whole graph, and only the plan of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataflow.compiler.plan import Plan, plan_of
from dataflow.compiler.program import Compiler
from dataflow.graph.nodes import Graph, Node
from dataflow.large_values import is_large
from dataflow.session import Run

__all__ = ["open_run", "plan_flow", "start_graph"]


def open_run(name: str, graph: Graph, cluster: Any = None, **options: Any) -> Run:
    """A run to which nodes are added while it goes on (the ``@flow`` door); options as those of `Run`."""
    return Run(name, graph, cluster, **options)


def start_graph(run: Run, nodes: Sequence[Node], *, keep: Sequence[Node] = ()) -> Run:
    """Start a run of nodes that are all known (the graph door); ``nodes`` come each after those it uses."""
    run.keep(keep)
    for node in nodes:
        run.announce(node)
    run.send()
    return run


def plan_flow(nodes: Sequence[Node], *, kept: Sequence[Node]) -> Plan:
    """What would be sent for nodes that come each after those it uses."""
    return plan_of(nodes, Compiler(is_large), kept=frozenset(kept))
