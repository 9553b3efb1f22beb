"""Making and changing the graph of a ``with Flow(...)`` block: calls, dependencies, edits, and parts of other flows."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from dataflow.annotations import flatten as flatten_annotation
from dataflow.annotations import mapped as mapped_annotation
from dataflow.blocks import called_inside
from dataflow.calls import Call
from dataflow.errors import CycleError, HandleError, ParameterError, UsageError
from dataflow.flow_edits import Edit, as_list, moved_call, stand_in, with_edit
from dataflow.flow_view import FlowView
from dataflow.graph.builder import Builder
from dataflow.graph.nodes import Input, Node, Reference, Whole
from dataflow.graph.validation import topological_order
from dataflow.handles import Handle
from dataflow.parameters import Parameter, loose_parameter
from dataflow.sites import caller_site

__all__ = ["FlowGraph"]

BUILT = ("arguments", "keywords", "after", "space", "strict")
"""What of a node comes from its call, and is replaced when the call changes."""


LENT = "rebuilt"
"""Name of the nodes that only lend their parts to others, so that the numbering of real names is not touched."""


class FlowGraph(FlowView):
    """The ways to make and change a graph.

    A call is kept as it was written, so that it can be built again: in a copy of the flow, or after an edit. Edits are
    gathered and built in together, so that any number of them costs no more than their sum.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._builder = Builder(self.graph)
        self._has_replaced = False
        """Whether handles of nodes that were taken out may still be in use."""

    def call(self, call: Call) -> Handle:
        """Add the node of a call. What is wrong with it is kept for the end of the block."""
        site = caller_site()
        if call.return_state:
            fix = "flow.run().result[handle], after the block"
            return self._broken(call, site, HandleError("return_state=True, but nothing has run yet", fix=fix))
        try:
            call = called_inside(self.blocks, call) if self.blocks else call
            handle = self._keep(call, self._built(call, site, None))
        except UsageError as error:
            handle = self._broken(call, site, error)
        for block in self.blocks:
            handle = block.added(handle)
        return handle

    def _built(self, call: Call, site: str, slug: str | None) -> Node:
        if self._has_replaced:
            call = moved_call(call, self._moved)
        try:
            return call.add_to(self._builder, site, slug)
        except HandleError:
            # A reference from elsewhere may have a node here: of a copied flow, or of a parameter made outside.
            return moved_call(call, self._moved).add_to(self._builder, site, slug)

    def _moved(self, reference: Reference) -> Reference:
        parameter = loose_parameter(reference.node)
        if parameter is not None and reference.node not in self._aliases:
            self.add_parameter(parameter)
        node = self._aliases.get(reference.node)
        return reference if node is None else Handle(self, node, reference.index)

    def _broken(self, call: Call, site: str, error: UsageError) -> Handle:
        task = call.task.spec
        node = Node(graph=self.graph, task=task, slug=self.graph.slug_for(task.name), site=site)
        self._complaints[node] = error
        return self._keep(call, node)

    def _keep(self, call: Call, node: Node) -> Handle:
        self._calls[node] = call
        handle = self._handles[node] = Handle(self, node, task=call.task)
        return handle

    def add_parameter(self, parameter: Parameter) -> None:
        """Take a parameter into the flow; a second one of the same name is a complaint."""
        mine = parameter if parameter.node.graph is self.graph else parameter.attached(self)
        self._handles[mine.node] = mine
        self._aliases[parameter.node] = mine.node
        if self._parameters.setdefault(mine.name, mine) is not mine:
            problem = f"two parameters are called {mine.name!r}"
            self._complaints[mine.node] = ParameterError(problem, where=mine.slug, fix="make it once and pass it on")

    def add_task(self, task: Any) -> Handle:
        """Add a task as itself, without a call; its arguments come by ``set_dependencies``, ``bind`` or edges."""
        if isinstance(task, Handle):
            loose = loose_parameter(task.node)
            if loose is not None and task.node not in self._aliases:
                self.add_parameter(loose)
            return self.handle(task)
        if task not in self._own:
            self._own[task] = self.call(Call(task=task, arguments=(), keywords={}))
        return self._own[task]

    def bind(self, call: Call) -> Handle:
        """Give a task that is added as itself (more of) its arguments."""
        handle = self.add_task(call.task)
        by_position = dict(zip(call.task.spec.parameters, call.arguments, strict=False))
        self._edit(handle.node, Edit(as_list(call.wait_for), {**by_position, **call.keywords}))
        if call.mapped:
            self._calls[handle.node] = dataclasses.replace(self._calls[handle.node], mapped=True)
        self._refresh()
        return handle

    def set_dependencies(
        self,
        task: Any,
        upstream_tasks: Iterable[Any] | None = None,
        downstream_tasks: Iterable[Any] | None = None,
        keyword_tasks: Mapping[str, Any] | None = None,
        mapped: bool = False,
    ) -> None:
        """Make a task wait for others, others wait for it, and give it arguments by name.

        Args:
            task: a handle, or a task that is added as itself.
            upstream_tasks: what it waits for.
            downstream_tasks: what waits for it.
            keyword_tasks: handles or values by the name of the argument.
            mapped: whether it is repeated for each element of these.
        """
        own = self.add_task(task)
        waits = [self._argument(upstream, mapped) for upstream in upstream_tasks or ()]
        keywords = {name: self._argument(value, mapped) for name, value in (keyword_tasks or {}).items()}
        if waits or keywords:
            self._edit(own.node, Edit(waits, keywords))
        for downstream in downstream_tasks or ():
            self._edit(self.add_task(downstream).node, Edit([self._argument(task, mapped)]))
        if keywords or mapped:
            self._refresh()

    def add_edge(
        self, upstream_task: Any, downstream_task: Any, key: str | None = None, *, mapped: bool = False,
        flattened: bool = False,
    ) -> None:  # fmt: skip
        """Make one task wait for another, or take its value as the argument ``key``."""
        own = self.add_task(upstream_task)
        value = flatten_annotation(own) if flattened else own
        if key is None:
            self.set_dependencies(downstream_task, upstream_tasks=[value], mapped=mapped)
        else:
            self.set_dependencies(downstream_task, keyword_tasks={key: value}, mapped=mapped)

    def chain(self, *tasks: Any) -> None:
        """Make each task wait for the one before it."""
        for before, after in itertools.pairwise(tasks):
            self.set_dependencies(after, upstream_tasks=[before])

    def update(self, other: FlowGraph, *, merge_parameters: bool = False) -> None:
        """Add everything of another flow; its handles can be used for this flow too.

        Args:
            other: the flow to add; it is not changed.
            merge_parameters: whether parameters of the same name become one; else that is a complaint.
        """
        for node in other._sorted_nodes():
            handle = other._handles[node]
            if not isinstance(handle, Parameter):
                self._aliases[node] = self.call(moved_call(other._calls[node], self._moved)).node
            elif merge_parameters and handle.name in self._parameters:
                self._aliases[node] = self._parameters[handle.name].node
            else:
                self.add_parameter(handle)
        self._aliases.update({old: self._aliases[new] for old, new in other._aliases.items() if new in self._aliases})
        self._own.update({task: self._handles[self._aliases[own.node]] for task, own in other._own.items()})

    def replace(self, old: Any, new: Any) -> None:
        """Put a task, a handle or a plain value in the place of a node; a task takes over its arguments."""
        self._refresh()
        node = self.handle(old).node
        if hasattr(new, "spec"):
            self._own[new] = self.call(dataclasses.replace(self._calls[node], task=new))
            new = self._own[new]
        users = [user for user in self._handles if any(use.node is node for use in user.inputs())]
        for user in users:
            self._calls[user] = moved_call(self._calls[user], lambda used: stand_in(used, node, new))
        self._forget(node, new)
        self._rebuild(users)

    def _forget(self, node: Node, replacement: Any) -> None:
        self._is_as_called = False
        del self._handles[node]
        self._calls.pop(node, None)
        self._complaints.pop(node, None)
        if isinstance(replacement, Handle):
            self._aliases[node] = replacement.node
            self._has_replaced = True
        self._parameters = {name: kept for name, kept in self._parameters.items() if kept.node is not node}
        if self._reference_nodes is not None:
            moved = [self._aliases.get(kept, kept) for kept in self._reference_nodes]
            self._reference_nodes = [kept for kept in moved if kept in self._handles] or None

    def _argument(self, value: Any, mapped: bool) -> Any:
        value = self.add_task(value) if hasattr(value, "spec") else value
        is_each = isinstance(value, Handle) and value.stands_for_each
        return mapped_annotation(value) if mapped or is_each else value

    def _edit(self, node: Node, added: Edit) -> None:
        self._is_as_called = False
        edit = self._edits.setdefault(node, Edit())
        edit.waits.extend(added.waits)
        edit.keywords.update(added.keywords)

    def _refresh(self) -> None:
        edits, self._edits = self._edits, {}
        anew: list[Node] = []
        for node, edit in edits.items():
            self._calls[node] = with_edit(self._calls[node], edit)
            if edit.only_waits_whole and node not in self._complaints:
                waits = [self.handle(wait) for wait in edit.waits]
                is_judged = node.task.rules.judges
                node.after += tuple(Whole(Input(wait.node, wait.index, judged=is_judged)) for wait in waits)
            else:
                anew.append(node)
        self._rebuild(anew)

    def _rebuild(self, nodes: Iterable[Node]) -> None:
        changed = [self._rebuilt(node) for node in nodes]
        if not any(changed):
            return
        try:
            for node in topological_order(list(self._handles)):
                self._rebuilt(node)
        except CycleError:
            # The validation names it, together with all other complaints.
            return

    def _rebuilt(self, node: Node) -> bool:
        """Build the call of a node again; says whether what its consumers see has changed."""
        call = self._calls.get(node)
        if call is None:
            return False
        try:
            fresh = self._built(call, node.site, LENT)
        except UsageError as error:
            self._complaints[node] = error
            return False
        self.graph.nodes.pop()  # The fresh node only lends its parts.
        space = node.space
        for name in BUILT:
            setattr(node, name, getattr(fresh, name))
        self._complaints.pop(node, None)
        return node.space is not space
