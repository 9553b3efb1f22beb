"""Looking at the graph of a ``with Flow(...)`` block: its handles, edges, ends, and what decides its final state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from dataflow.calls import Call, Operation
from dataflow.errors import FlowValidationError, HandleError, UsageError
from dataflow.flow_edits import Edge, Edit, edges_of
from dataflow.graph.drawing import to_dot, to_mermaid
from dataflow.graph.nodes import Graph, Node
from dataflow.graph.validation import complaints, topological_order
from dataflow.handles import Handle
from dataflow.parameters import Parameter
from dataflow.pictures import Picture

if TYPE_CHECKING:
    from dataflow.blocks import Block

__all__ = ["FlowView"]


class FlowView(ABC):
    """What a flow holds, and the questions that can be asked of it; each answer is linear in the number of nodes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.graph = Graph(name)
        self._handles: dict[Node, Handle] = {}
        """The nodes of the flow, in the order of their calls; a replaced node is taken out."""
        self._calls: dict[Node, Call] = {}
        """The call of each node, but of parameters."""
        self._edits: dict[Node, Edit] = {}
        """What was added to calls and is not in their nodes yet."""
        self._complaints: dict[Node, UsageError] = {}
        """Why the call of a node could not be built; such a node has no arguments."""
        self._aliases: dict[Node, Node] = {}
        """Nodes of other flows, or replaced ones, and the node that stands for them here."""
        self._own: dict[Any, Handle] = {}
        """Handles of tasks that were added as themselves, not by a call."""
        self._parameters: dict[str, Parameter] = {}
        self._reference_nodes: list[Node] | None = None
        self.blocks: list[Block] = []
        """The blocks, such as that of a `case`, that calls are made in at the moment; the innermost last."""
        self._is_as_called = True
        """Whether every node is as its call built it. Then each comes after those it uses, and the builder has refused
        whatever is wrong, so that neither has to be looked for."""

    @abstractmethod
    def _refresh(self) -> None:
        """Bring the nodes up to their edits."""

    def __repr__(self) -> str:
        return f"<Flow {self.name!r} with {len(self._handles)} tasks>"

    def __len__(self) -> int:
        return len(self._handles)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return self.find(item) is not None

    def find(self, item: Any) -> Handle | None:
        """The flow's own handle for a handle, a parameter, or a task added as itself; None if there is none."""
        if not isinstance(item, Handle):
            return self._own.get(item)
        node = self._aliases.get(item.node, item.node)
        own = self._handles.get(node)
        if own is None or item.index is None:
            return own
        return Handle(own.flow, node, item.index, task=own.task)

    def handle(self, item: Any) -> Handle:
        """As `find`.

        Raises:
            HandleError: it does not belong to this flow.
        """
        found = self.find(item)
        if found is None:
            fix = "use a handle that a call inside this flow gave"
            raise HandleError(f"{item!r} is not in this flow", where=f"flow {self.name!r}", fix=fix)
        return found

    @property
    def tasks(self) -> set[Handle]:
        """Handles of all nodes, parameters included."""
        return set(self._handles.values())

    @property
    def edges(self) -> set[Edge]:
        """Every use of one node by another."""
        self._refresh()
        return set(edges_of(self._handles))

    def parameters(self) -> set[Parameter]:
        """The parameters of the flow."""
        return set(self._parameters.values())

    def sorted_tasks(self) -> tuple[Handle, ...]:
        """The handles, each after those it uses.

        Raises:
            CycleError: some wait for each other.
        """
        return tuple(self._handles[node] for node in self._sorted_nodes())

    def _sorted_nodes(self) -> list[Node]:
        self._refresh()
        return list(self._handles) if self._is_as_called else topological_order(list(self._handles))

    def get_tasks(
        self, name: str | None = None, slug: str | None = None, tags: Iterable[str] | None = None,
        task_type: type | None = None,
    ) -> list[Handle]:  # fmt: skip
        """The handles that fit everything that is given: name, slug, all of the tags, the class of the task."""
        wanted = frozenset(tags or ())
        return [
            handle
            for handle in self._handles.values()
            if (name is None or handle.name == name)
            and (slug is None or handle.slug == slug)
            and wanted <= handle.tags
            and (task_type is None or isinstance(handle.task or handle, task_type))
        ]

    def edges_to(self, task: Any) -> set[Edge]:
        """The edges that lead to a task."""
        self._refresh()
        own = self.handle(task)
        return {edge for edge in edges_of(self._handles, only=own) if edge.downstream_task is own}

    def edges_from(self, task: Any) -> set[Edge]:
        """The edges that lead from a task."""
        own = self.handle(task)
        return {edge for edge in self.edges if edge.upstream_task is own}

    def upstream_tasks(self, task: Any) -> set[Handle]:
        """The tasks that a task uses or waits for."""
        return {edge.upstream_task for edge in self.edges_to(task)}

    def downstream_tasks(self, task: Any) -> set[Handle]:
        """The tasks that use a task or wait for it."""
        return {edge.downstream_task for edge in self.edges_from(task)}

    def root_tasks(self) -> set[Handle]:
        """The tasks that use no other."""
        self._refresh()
        return {handle for node, handle in self._handles.items() if not node.inputs()}

    def terminal_tasks(self) -> set[Handle]:
        """The tasks that no other uses."""
        return self._ends(self._handles)

    def _ends(self, nodes: Collection[Node]) -> set[Handle]:
        """Handles of those nodes that none of them uses."""
        self._refresh()
        used = {use.node for node in nodes for use in node.inputs()}
        return {self._handles[node] for node in nodes if node not in used}

    def reference_tasks(self) -> set[Handle]:
        """The tasks whose states decide the final state of the flow; if not set, the terminal ones.

        What cleans up after a `resource_manager` block is left out.
        """
        if self._reference_nodes is None:
            return self._ends({node for node, handle in self._handles.items() if not _is_aside(handle)})
        return {self._handles[node] for node in self._reference_nodes}

    def set_reference_tasks(self, tasks: Collection[Any]) -> None:
        """Say which tasks decide the final state; none at all means the terminal ones."""
        self._reference_nodes = [self.handle(task).node for task in tasks] or None

    def complaints(self) -> list[UsageError]:
        """Everything that is wrong with the flow, as far as can be seen before it runs."""
        self._refresh()
        found = [] if self._is_as_called else complaints(list(self._handles))
        return [*self._complaints.values(), *found]

    def validate(self) -> None:
        """Look for everything that is wrong.

        Raises:
            FlowValidationError: it holds all complaints, each naming node, argument and fix.
        """
        found = self.complaints()
        if found:
            raise FlowValidationError(self.name, found)

    def visualize(self) -> Picture:
        """The graph as a picture in a notebook, and as text (``str(...)``, ``.mermaid``, ``.dot``) elsewhere."""
        self._refresh()
        nodes = list(self._handles)
        return Picture(mermaid=to_mermaid(nodes), dot=to_dot(nodes))


def _is_aside(handle: Handle) -> bool:
    return isinstance(handle.task, Operation) and handle.task.is_aside
