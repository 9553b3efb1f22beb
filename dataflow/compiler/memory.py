"""Memories: what a step of a program must know to find its results in a store, and to keep new ones there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dataflow_results as results  # its names are loaded when used: most runs keep no results
from dataflow.errors import TaskDefinitionError
from dataflow.functions import plain_function
from dataflow.graph.nodes import Constant, Elements, Items, Node, Rows, TaskSpec
from dataflow.persistence import FlowPersistence, Persistence, StoreAddress
from dataflow_results.errors import StoringError, TemplateError
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.keying.positions import position_keys
from dataflow_results.policies import DEFAULT, CachePolicy
from dataflow_results.records import ResultReference
from dataflow_results.serializers.registry import resolve
from dataflow_results.templates import Place, Template, serializer_for

if TYPE_CHECKING:
    from dataflow_results.keying.keys import KeyPlan

__all__ = ["Memories", "Memory", "identity_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How the results of one step are found and kept. The same for all elements; travels with the program."""

    plan: KeyPlan | None
    """What keys are made of; None where they follow from the lineage, or from the run, the node and the index."""
    is_lineage: bool
    """Whether keys are made of how the arguments came to be; see `lineage`."""
    isolation: str | None
    """``"SERIALIZABLE"``: two runs that want one key compute it once; None: so for plain nodes, but not in maps."""
    defaults: Mapping[str, Any]
    """Values of parameters that a call need not give; they count as if they were given."""
    rest: str
    """Name of the parameter that takes further positional arguments; empty if there is none."""
    collection: str
    """Group of results in the store: those of one task."""
    task: str
    flow: str
    run_id: str
    store: StoreAddress
    serializer: Any = None
    expires_after_seconds: float | None = None
    refresh: bool = False
    """Whether what is found is not taken, but replaced."""
    template: Template | None = None
    """File name of each result; None: packs."""

    @property
    def by_place(self) -> bool:
        """Whether keys follow from the run, the node and the index of the element."""
        return self.plan is None and not self.is_lineage

    def reference(self, slug: str, index: int, key: bytes) -> ResultReference:
        """Where the result of one element lies.

        Args:
            slug: of its node.
            index: of the element; 0 in a plain node.
            key: as the report told it; empty if it follows from the place.
        """
        found = key or position_keys(self.run_id, slug, (index,))
        return ResultReference(url=self.store.url, collection=self.collection, key=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memories:
    """Gives the tasks of one run their memories."""

    persistence: FlowPersistence
    flow: str
    run_id: str
    travels: bool = False
    """Whether worker processes must open the stores too."""
    _known: dict[TaskSpec, Memory | None] = field(default_factory=dict)
    _files: dict[str, bytes] = field(default_factory=dict)
    """Files of plain calls so far, with the canonical form of the arguments they are made from."""

    def of(self, task: TaskSpec) -> Memory | None:
        """The memory of a task; None if its results are not kept.

        Raises:
            KeyingError: its policy cannot be applied to it.
            StoreUrlError: worker processes cannot use its store.
            TaskDefinitionError: its serializer is not known.
            TemplateError: the template of its files is wrong.
        """
        if task not in self._known:
            asked = task.persistence
            keeps = asked is not None and self.persistence.keeps(asked)
            self._known[task] = self._make(task, asked) if keeps and asked is not None else None
        return self._known[task]

    def known(self, task: TaskSpec) -> Memory | None:
        """As `of`, of a task that was asked about before; nothing is made."""
        return self._known.get(task)

    def _make(self, task: TaskSpec, asked: Persistence) -> Memory:
        parameters = asked.signature.parameters.values()
        store = asked.storage or self.persistence.storage
        if self.travels:
            store.check_travels()
        text = asked.template or store.template
        policy = _policy(asked, text)
        identity = identity_of(task, reads_source=policy is not None and policy.reads_source)
        return Memory(
            plan=self._plan(identity, policy, asked),
            is_lineage=policy is not None and policy.is_lineage,
            isolation=None if policy is None else policy.isolation,
            defaults={p.name: p.default for p in parameters if p.default is not p.empty},
            rest=next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), ""),
            collection=identity.collection,
            task=task.name,
            flow=self.flow,
            run_id=self.run_id,
            store=store,
            serializer=_serializer(task.name, asked.serializer or self.persistence.serializer) or _by_ending(text),
            expires_after_seconds=asked.expires_after_seconds,
            refresh=asked.refresh,
            template=None if text is None else Template(text),
        )

    def check(self, node: Node) -> None:
        """Refuse a node whose results could not be kept, before anything runs.

        Raises:
            KeyingError: the cache policy cannot be applied to its task.
            TemplateError: two of its elements would get one file.
        """
        memory = self.of(node.task)
        if memory is None or memory.template is None:
            return
        if node.space is not None:
            _check_files(node, memory.template)
        else:
            self._check_own_file(node, memory, memory.template)

    def _check_own_file(self, node: Node, memory: Memory, template: Template) -> None:
        """Whether an earlier call with other arguments has the file of this one, as far as that is known already."""
        named = dict(node.labelled_arguments())
        given = {**memory.defaults, **{name: a.value for name, a in named.items() if isinstance(a, Constant)}}
        place = Place(task_name=memory.task, flow_name=memory.flow, run_id=memory.run_id, node=node.slug)
        if "date" in template.fields or not template.arguments <= given.keys():
            return
        name = template.name(place, 0, given)
        form = results.encode(given, "argument")
        if self._files.setdefault(name, form) != form:
            raise TemplateError(
                f"result_storage_key {template.text!r} gives two calls the file {name!r}",
                where=node.slug,
                fix="put {node} into it, or an argument in which they differ: {parameters[x]}",
            )

    def _plan(self, identity: TaskIdentity, policy: CachePolicy | None, asked: Persistence) -> KeyPlan | None:
        if policy is None or not policy.caches or policy.is_lineage:
            return None
        place = results.RunPlace(run=self.run_id, flow_parameters=self.persistence.parameters or {})
        return results.make_plan(
            identity, policy, results.CallArguments(names=tuple(asked.signature.parameters)), place
        )


def _policy(asked: Persistence, template: str | None) -> CachePolicy | None:
    """A file is an answer only as long as the inputs and the function are those it was made with."""
    return DEFAULT if asked.policy is None and template is not None else asked.policy


def _serializer(task: str, given: Any) -> Any:
    """What was given, if there is such a serializer."""
    try:
        resolve(given)
    except StoringError as error:
        raise TaskDefinitionError(error.problem, where=f"result_serializer of task {task!r}", fix=error.fix) from None
    return given


def _by_ending(template: str | None) -> str | None:
    return None if template is None else serializer_for(template)


def _check_files(node: Node, template: Template) -> None:
    """Whether the elements of a map get files of their own."""
    iterated = {name: given for name, given in node.labelled_arguments() if isinstance(given, Items | Rows | Elements)}
    answer = template.tells_apart(frozenset(iterated))
    literal = {name: given.source for name, given in iterated.items() if isinstance(given, Items) and given.length}
    if answer is None and len(literal) == 1 and template.arguments & iterated.keys() == literal.keys():
        (values,) = literal.values()
        answer = len(set(map(str, values))) == len(values)  # type: ignore[arg-type]
    if answer is False:
        raise TemplateError(
            f"result_storage_key {template.text!r} gives two elements one file",
            where=f"{node.slug}.map(...)",
            fix=f"put {{index}} into it: {_with_index(template.text)!r}",
        )


def _with_index(text: str) -> str:
    head, dot, ending = text.rpartition(".")
    return f"{head}-{{index}}.{ending}" if dot else f"{text}-{{index}}"


def _module_of(function: Any) -> str:
    """The module of a function; of what was run as a script or typed in a notebook the name of that file.

    So a script and its import agree, and functions of one name in two notebooks are told apart.
    """
    module = str(getattr(function, "__module__", ""))
    if module != "__main__":
        return module
    file = getattr(sys.modules["__main__"], "__file__", None) or os.environ.get("JPY_SESSION_NAME")
    return Path(file).stem if file else module


def identity_of(task: TaskSpec, *, reads_source: bool = True) -> TaskIdentity:
    """A task as keys know it: by name and place, and by its source where a policy looks at that."""
    asked = task.persistence
    function = plain_function(task.function if asked is None else asked.function)
    return TaskIdentity(
        name=task.name,
        module_qualname=f"{_module_of(function)}.{getattr(function, '__qualname__', task.name)}",
        version=None if asked is None else asked.version,
        source=results.source_of(function if asked is None else asked.function) if reads_source else None,
    )
