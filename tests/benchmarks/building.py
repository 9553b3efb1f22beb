"""B7: building and compiling a large flow of plain nodes."""

from __future__ import annotations

import gc

from dataflow import Flow, task
from dataflow.compiler.plan import compile_stages
from dataflow.compiler.program import Compiler
from tests.benchmarks.elements import same
from tests.benchmarks.harness import Row, seconds

NODES = 100_000
LEAVES = 8
LIMIT_US = 30


def join(*parts: int) -> int:
    """The root of a tree."""
    return sum(parts)


leaf = task(same, name="leaf")
root = task(join, name="root")


def chain_of_trees(count: int) -> Flow:
    """Trees of eight leaves and a root; each root feeds all leaves of the next tree."""
    with Flow("trees") as flow:
        last = leaf(0)
        for _ in range(count // (LEAVES + 1)):
            last = root(*[leaf(last) for _ in range(LEAVES)])
    return flow


def build_and_compile(count: int) -> None:
    """Everything that happens on the client before the first task could be sent: calls, checks, stages, programs."""
    nodes = chain_of_trees(count).graph.nodes
    compiler = Compiler(lambda value: False)  # no argument of this flow is large
    compiled = compile_stages(nodes, compiler, kept=frozenset(nodes), cut_held=False)
    assert sum(len(stage.nodes) for stage, _ in compiled) == len(nodes)


def us_per_node(count: int) -> float:
    """Microseconds that a node costs in a flow of this size."""
    gc.collect()
    return seconds(lambda: build_and_compile(count)) / count * 1e6


def b7(repeat: int | None) -> list[Row]:
    """B7: microseconds per node, and that a node costs no more in a flow that is four times as large."""
    rounds = range(repeat or 3)
    us_per_node(NODES // 10)
    small = min(us_per_node(NODES // 4) for _ in rounds)
    large = min(us_per_node(NODES) for _ in rounds)
    return [
        Row(
            name="B7a",
            what="building and compiling 100,000 plain nodes, a chain of trees: per node",
            unit="us",
            ours=large,
            reference=LIMIT_US,
            ratio=large / LIMIT_US,
            bound="<= 1",
        ),
        Row(
            name="B7b",
            what="the same: a node of 100,000 against a node of 25,000",
            unit="us",
            ours=large,
            reference=small,
            ratio=large / small,
            bound="<= 1.5",
            note="linear",
        ),
    ]
