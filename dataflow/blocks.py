"""Blocks inside ``with Flow(...)``: what ``with case(...)`` and its like change in the calls made inside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.annotations import Annotation, mapped, strip
from dataflow.calls import Call, Operation
from dataflow.errors import UsageError
from dataflow.flow_edits import as_list, moved_call
from dataflow.graph.nodes import Node, Reference
from dataflow.handles import Handle

if TYPE_CHECKING:
    from dataflow.flow_graph import FlowGraph

__all__ = ["Block", "Guarded", "called_inside", "entered", "flow_for", "outside", "references"]


class Block(ABC):
    """Something that the calls inside it are changed by."""

    def __init__(self, flow: FlowGraph) -> None:
        self.flow = flow
        self.nodes: dict[Node, Handle] = {}
        """What was added inside so far, in the order of the calls."""

    @abstractmethod
    def inside(self, call: Call) -> Call:
        """What becomes of a call inside the block."""

    def added(self, handle: Handle) -> Handle:
        """Take note of what a call inside gave; gives what the caller gets."""
        self.nodes[handle.node] = handle
        return handle

    def holds(self, reference: Reference) -> bool:
        """Whether a reference is to a node that was added inside."""
        own = self.flow.find(reference)
        return own is not None and own.node in self.nodes


class Guarded(Block):
    """A block whose nodes wait for one node, the guard: each one that waits for no other node of the block."""

    @abstractmethod
    def guard(self) -> Handle:
        """What the nodes wait for."""

    def inside(self, call: Call) -> Call:
        """The call, waiting for the guard; element by element if both are mapped."""
        used = references(call)
        argument = call.task.guard_argument if isinstance(call.task, Operation) else None
        waits_already = all if argument else any
        if used and waits_already(self.holds(reference) for reference in used):
            return call
        guard = self.guard()
        given = mapped(guard) if guard.is_mapped and is_map(call) else guard
        if argument:
            # A merge runs although something was skipped, so it has to see for itself that the guard was.
            return replace(call, keywords={argument: given, **call.keywords})
        return replace(call, wait_for=[*as_list(call.wait_for), given])


def references(call: Call) -> list[Reference]:
    """Every handle in the arguments of a call, at any depth, and in what it waits for."""
    found: list[Reference] = []

    def note(reference: Reference) -> Reference:
        found.append(reference)
        return reference

    moved_call(call, note)
    return found


def is_map(call: Call) -> bool:
    """Whether a call will be repeated for the elements of something."""
    values = (*call.arguments, *call.keywords.values(), *as_list(call.wait_for))
    return call.mapped or any(isinstance(value, Annotation) and mapped in strip(value)[1] for value in values)


def called_inside(blocks: list[Block], call: Call) -> Call:
    """What becomes of a call inside blocks; the innermost, which is the last of them, changes it first."""
    for block in reversed(blocks):
        call = block.inside(call)
    return call


@contextmanager
def entered(block: Block) -> Iterator[None]:
    """Calls inside, in the flow of the block, are calls inside the block."""
    blocks = block.flow.blocks
    block.flow.blocks = [*blocks, block]
    try:
        yield
    finally:
        block.flow.blocks = blocks


@contextmanager
def outside(block: Block) -> Iterator[None]:
    """For a moment, calls are calls just outside the block."""
    flow, blocks = block.flow, block.flow.blocks
    flow.blocks = blocks[: blocks.index(block)] if block in blocks else blocks
    try:
        yield
    finally:
        flow.blocks = blocks


def flow_for(current: FlowGraph | None, what: str, instead: str, *values: Any) -> FlowGraph:
    """The flow that something is part of: of the surrounding block, else of the handles it is given.

    Raises:
        UsageError: there is none.
    """
    bare = (strip(value)[0] for value in values)
    found = current or next((value.flow for value in bare if isinstance(value, Handle)), None)
    if found is None:
        raise UsageError(f"{what} outside `with Flow(...)`", fix=instead)
    return found
