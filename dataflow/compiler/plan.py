"""Plans: what would be sent for some nodes, known before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflow.collection import rarely
from dataflow.compiler.program import Compiled, Compiler
from dataflow.graph.nodes import Elements, Node
from dataflow.graph.stages import Stage, form_stages

__all__ = ["Plan", "PlanRow", "compile_found", "compile_stages", "plan_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One line of a plan: stages that share a program, so that their elements can share batches."""

    program: str
    """Names of the tasks that run together, element by element."""
    level: int
    """Number of barriers before it."""
    stages: int
    elements: int | None
    """None if it is known only at run time."""
    outputs: int
    """How many of its nodes have values that leave the batch."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be sent, line by line."""

    rows: tuple[PlanRow, ...]

    @property
    def elements(self) -> int:
        """Elements of all lines whose number is known."""
        return sum(row.elements or 0 for row in self.rows)

    def __str__(self) -> str:
        heads = ("level", "together", "stages", "elements", "kept")
        lines = [heads, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
        )


def _cells(row: PlanRow) -> tuple[str, ...]:
    elements = "at run time" if row.elements is None else f"{row.elements:,}"
    return str(row.level), row.program, f"{row.stages:,}", elements, f"{row.outputs}"


def plan_of(nodes: Sequence[Node], compiler: Compiler, *, kept: frozenset[Node]) -> Plan:
    """What would be sent for nodes that come each after those it uses."""
    by_key: dict[object, list[tuple[Stage, Compiled]]] = {}
    for stage, compiled in compile_stages(nodes, compiler, kept=kept, cut_held=False):
        by_key.setdefault(compiled.key, []).append((stage, compiled))
    rows = [_row(together) for together in by_key.values()]
    return Plan(tuple(sorted(rows, key=lambda row: row.level)))


def _row(together: list[tuple[Stage, Compiled]]) -> PlanRow:
    stage, compiled = together[0]
    return PlanRow(
        program=compiled.program.name,
        level=min(stage.level for stage, _ in together),
        stages=len(together),
        elements=len(together) if stage.space is None else stage.space.length,
        outputs=len(compiled.program.outputs),
    )


def compile_stages(
    nodes: Sequence[Node], compiler: Compiler, *, kept: frozenset[Node], cut_held: bool
) -> list[tuple[Stage, Compiled]]:
    """The stages of nodes that are sent together, compiled.

    Args:
        nodes: each after those it uses.
        compiler: knows the programs that were compiled before.
        kept: nodes whose values must outlive their consumers.
        cut_held: whether a plain node whose future is held must end its stage.
    """
    with rarely:
        stages = form_stages(nodes, cut_held=cut_held)
        used_outside: set[Node] = set(kept)
        depths: dict[Node, set[int]] = {}
        for stage in stages:
            used_outside.update(used.node for used in stage.outside)
            if stage.space is not None:
                _note_depths(stage, depths)

        def keeps(node: Node) -> bool:
            # In this order: whoever drops its future of a node has added the nodes that use it before.
            return node.holders > 0 or node.unsent_uses > 0 or node in used_outside

        return [(stage, compiler.compile(stage, keeps=keeps, depths=depths)) for stage in stages]


def compile_found(nodes: Sequence[Node], compiler: Compiler) -> list[tuple[Stage, Compiled]]:
    """Stages that only load the results of plain nodes, whatever those are made from."""
    return [(Stage((node,), 0, None, ()), compiler.compile_found(node)) for node in nodes]


def _note_depths(stage: Stage, depths: dict[Node, set[int]]) -> None:
    for node in stage.nodes:
        for _, argument in node.labelled_arguments():
            if isinstance(argument, Elements) and argument.input.depth and argument.input.index is None:
                depths.setdefault(argument.input.node, set()).add(argument.input.depth)
