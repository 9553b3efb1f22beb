"""Resources that a flow sets up, uses and cleans up: `resource_manager`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from dataflow.blocks import Guarded, entered
from dataflow.bodies import Body, surrounding_body
from dataflow.calls import Call, Operation, read_call
from dataflow.context import current_flow
from dataflow.errors import TaskDefinitionError
from dataflow.functions import is_importable
from dataflow.graph.nodes import TaskSpec
from dataflow.handles import Handle
from dataflow.rules import Rules
from dataflow.tasks import Task
from dataflow.triggers import always_run

if TYPE_CHECKING:
    from dataflow.flow_graph import FlowGraph
    from dataflow.futures import Future

__all__ = ["ResourceManager", "resource_manager"]

Options = Mapping[str, Any]


def set_up(manager: Any) -> Any:
    """The resource of a manager."""
    return manager.setup()


def clean_up(manager: Any, resource: Any) -> None:
    """Let the manager put its resource away."""
    manager.cleanup(resource)


def nothing() -> None:
    """Ends at once; what matters is what its node waits for."""


ALWAYS = Rules(trigger=always_run, skip_on_upstream_skip=False)


class Using(Guarded):
    """The block of a resource: what is inside waits for the setup."""

    def __init__(self, flow: FlowGraph, resource: Handle) -> None:
        super().__init__(flow)
        self._resource = self.added(resource)  # so what uses the resource need not wait for it once more

    def guard(self) -> Handle:
        """The resource."""
        return self._resource


class ResourceManager:
    """What `resource_manager` makes of a class; calling it gives a context manager.

    Args:
        resource_class: the class, with ``setup`` and ``cleanup``.
        name: what its nodes are called by; None: the name of the class.
        init_task_kwargs: options of the task that makes the manager.
        setup_task_kwargs: options of the task that calls ``setup``.
        cleanup_task_kwargs: options of the task that calls ``cleanup``.

    Raises:
        TaskDefinitionError: a method is missing, or an option does not exist or fit.
    """

    def __init__(
        self,
        resource_class: Callable[..., Any],
        name: str | None = None,
        init_task_kwargs: Options | None = None,
        setup_task_kwargs: Options | None = None,
        cleanup_task_kwargs: Options | None = None,
    ) -> None:
        self.resource_class = resource_class
        self.name = name or getattr(resource_class, "__name__", "resource")
        self._check_methods()
        self.init = self._task(resource_class, "init", init_task_kwargs)
        self.setup = self._task(set_up, "setup", setup_task_kwargs)
        self.cleanup = self._task(clean_up, "cleanup", cleanup_task_kwargs)

    def _check_methods(self) -> None:
        if not isinstance(self.resource_class, type):
            return
        missing = [name for name in ("setup", "cleanup") if not hasattr(self.resource_class, name)]
        if missing:
            problem = f"it has no {' and no '.join(missing)}"
            fix = "def setup(self): return what is used, and def cleanup(self, resource): put it away"
            raise TaskDefinitionError(problem, where=f"resource manager {self.name!r}", fix=fix)

    def _task(self, function: Callable[..., Any], step: str, options: Options | None) -> Task[..., Any]:
        # Not persisted: a run that is resumed needs the resource again.
        return Task(function, **{"name": f"{self.name}.{step}", "persist_result": False, **(options or {})})

    def __repr__(self) -> str:
        return f"<resource manager {self.name!r}>"

    def __call__(self, *arguments: Any, flow: FlowGraph | None = None, **keywords: Any) -> AbstractContextManager[Any]:
        """A context manager that gives the resource: a handle, in a ``@flow`` body a future, else the thing itself.

        Args:
            arguments: those of the class; handles and futures stand for their values.
            flow: the flow that the nodes are added to; None: that of the block.
            keywords: likewise.
        """
        self._let_be_imported()
        found, body = flow or current_flow.get(), surrounding_body()
        if found is not None:
            return self._in_graph(found, read_call(self.init, arguments, keywords))
        if body is not None:
            return self._in_body(body, read_call(self.init, arguments, keywords))
        return self._here(arguments, keywords)

    def _let_be_imported(self) -> None:
        """Let instances pickle by the name of their class, under which the module now has this object."""
        found = self.resource_class
        if isinstance(found, type) and is_importable(self, found.__module__, found.__qualname__):
            found.__qualname__ += ".resource_class"

    @contextmanager
    def _in_graph(self, flow: FlowGraph, call: Call) -> Iterator[Handle]:
        manager = flow.call(call)
        resource = flow.call(Call(task=self.setup, arguments=(manager,), keywords={}))
        block = Using(flow, resource)
        with entered(block):
            yield resource
        used = flow.call(self._end_of_use(list(block.nodes.values())))
        flow.call(Call(task=self._aside, arguments=(manager, resource), keywords={}, wait_for=[used]))

    def _end_of_use(self, nodes: list[Handle]) -> Call:
        """Ends when all nodes have ended, whatever became of them."""
        spec = TaskSpec(name=f"{self.name}.used", function=nothing, parameters=(), rules=ALWAYS)
        ended = Operation(spec=spec, signature=inspect.signature(nothing), is_aside=True)
        return Call(task=ended, arguments=(), keywords={}, wait_for=nodes)

    @property
    def _aside(self) -> Operation:
        """The cleanup, which does not count for the final state of the flow."""
        return Operation(
            spec=self.cleanup.spec, signature=self.cleanup.signature, tags=self.cleanup.tags, is_aside=True
        )

    @contextmanager
    def _in_body(self, body: Body, call: Call) -> Iterator[Future[Any]]:
        manager = body.submit(call)
        resource = body.submit(Call(task=self.setup, arguments=(manager,), keywords={}))
        resource.wait()
        if not resource.state.is_completed():
            resource.result()
        first = len(body.run.graph.nodes)
        try:
            yield resource
        except Exception:
            self._clean_up_in(body, first, manager, resource)
            raise
        self._clean_up_in(body, first, manager, resource)

    def _clean_up_in(self, body: Body, first: int, manager: Future[Any], resource: Future[Any]) -> None:
        for node in body.run.graph.nodes[first:]:
            body.run.wait(node)
        body.submit(Call(task=self.cleanup, arguments=(manager, resource), keywords={})).result()

    @contextmanager
    def _here(self, arguments: tuple[Any, ...], keywords: Options) -> Iterator[Any]:
        manager = self.resource_class(*arguments, **keywords)
        resource = set_up(manager)
        try:
            yield resource
        finally:
            clean_up(manager, resource)


def resource_manager(
    resource_class: Any = None,
    name: str | None = None,
    init_task_kwargs: Options | None = None,
    setup_task_kwargs: Options | None = None,
    cleanup_task_kwargs: Options | None = None,
) -> Any:
    """Make something of a class that a flow sets up before a block of tasks, and cleans up after it.

    The class has ``setup(self)``, which gives the resource, and ``cleanup(self, resource)``. What is added inside
    ``with Resource(...) as resource:`` waits for the setup. When all of it has ended, whatever became of it, the
    cleanup runs, if the setup had succeeded; its end does not count for the final state of the flow. The manager and
    the resource must pickle, because the nodes may run on different workers. In the body of a ``@flow`` the end of the
    block waits for what was submitted inside; outside of flows it is an ordinary context manager.

    Args:
        resource_class: the class, if it is used as a decorator without brackets.
        name: what its nodes are called by; None: the name of the class.
        init_task_kwargs: options of the task that makes the manager.
        setup_task_kwargs: options of the task that calls ``setup``.
        cleanup_task_kwargs: options of the task that calls ``cleanup``.

    Raises:
        TaskDefinitionError: a method is missing, or an option does not exist or fit.

    Example:
        >>> from dataflow import Flow, resource_manager, task
        >>> @resource_manager
        ... class Notes:
        ...     def __init__(self, title):
        ...         self.title = title
        ...     def setup(self):
        ...         return [self.title]
        ...     def cleanup(self, notes):
        ...         print("put away:", notes)
        >>> with Flow("notes") as flow:
        ...     with Notes("today") as notes:
        ...         length = task(len)(notes)
        >>> flow.run(cluster="inline").result[length].result
        put away: ['today']
        1
    """
    options = (name, init_task_kwargs, setup_task_kwargs, cleanup_task_kwargs)
    if resource_class is None:
        return lambda found: ResourceManager(found, *options)
    return ResourceManager(resource_class, *options)
