"""The graph as values: tasks as the engine sees them, nodes, their arguments and the index spaces they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dataflow.rules import PLAIN, Rules

if TYPE_CHECKING:
    from dataflow.hooks import Hooks
    from dataflow.persistence import Persistence

__all__ = [
    "Argument",
    "Collection",
    "Constant",
    "Elements",
    "Graph",
    "Input",
    "Items",
    "Node",
    "Reference",
    "Rows",
    "Slot",
    "Space",
    "TaskSpec",
    "Template",
    "Whole",
    "inputs_of",
    "judged",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskSpec:
    """A task as the graph and the engine see it: a function and the options that decide how it runs.

    Compared by identity: two calls of one task share one ``TaskSpec``, so that they can share a batch.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    """Names of the positional parameters, in order; used to name arguments in messages."""
    is_async: bool = False
    batch_size: int | None = None
    """Elements per batch; None lets the engine choose by measuring."""
    persistence: Persistence | None = None
    """What it says about its results; None: nothing."""
    rules: Rules = PLAIN
    """How often it is tried, how long it may take, where an attempt runs, and on which inputs."""
    hooks: Hooks | None = None
    """What is called on the client when its elements come into states; None: nothing."""


class Space:
    """An index space 0…n-1. ``length`` is None until known (a generator, or a list that a task returns)."""

    __slots__ = ("_length", "_parent")

    def __init__(self, length: int | None) -> None:
        self._length = length
        self._parent: Space | None = None

    def root(self) -> Space:
        """The space this one was merged into, or itself."""
        space = self
        while space._parent is not None:
            if space._parent._parent is not None:
                space._parent = space._parent._parent
            space = space._parent
        return space

    def merge(self, other: Space) -> None:
        """Make both names of one space; they must have the same known length."""
        mine, theirs = self.root(), other.root()
        if mine is not theirs:
            theirs._parent = mine

    @property
    def length(self) -> int | None:
        """Number of elements, or None while unknown."""
        return self.root()._length


@dataclass(frozen=True, slots=True)
class Input:
    """One use of a node by another.

    ``index`` None takes the node whole (the ordered list of a mapped node), an int one element, a range some of them.
    ``depth`` says how many levels of nesting are opened. In a `Whole` it counts how often the value is flattened. In
    `Elements` of a mapped node, or of a slice of it, it counts the flattens too; of a plain node or of one element it
    is one more, since iterating its value is the first.
    """

    node: Node
    index: int | range | None = None
    depth: int = 0
    allow_failure: bool = False
    judged: bool = False
    """Whether a trigger judges its state, so that a failure of it reaches the worker instead of ending the element."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands in a template where a reference stood; ``position`` counts the template's inputs."""

    position: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A value without references, the same for every element."""

    value: Any


@dataclass(frozen=True, slots=True)
class Collection:
    """A Dask collection or delayed object; computed on the cluster, in the same graph."""

    value: Any


@dataclass(frozen=True, slots=True)
class Whole:
    """Another node's value (or one element, or the gathered list), the same for every element."""

    input: Input


@dataclass(frozen=True, slots=True)
class Template:
    """A container in which references were replaced by slots; slot k is filled from ``inputs[k]``."""

    skeleton: Any
    inputs: tuple[Input | Collection, ...]
    judged: bool = False
    """Whether a trigger judges its inputs, if it has any."""


@dataclass(frozen=True, slots=True)
class Items:
    """A literal sequence (``length`` known) or iterator (None), iterated; element i gets item i."""

    source: Sequence[Any] | Iterator[Any]
    length: int | None


@dataclass(frozen=True, slots=True)
class Rows:
    """A literal sequence with references in it, iterated; element i gets ``rows[i]``."""

    rows: tuple[Constant | Whole | Template, ...]


@dataclass(frozen=True, slots=True)
class Elements:
    """A node iterated: element-wise at depth 0, opened to ``input.depth`` levels otherwise."""

    input: Input


Argument = Constant | Collection | Whole | Template | Items | Rows | Elements


NO_KEYWORDS: Mapping[str, Argument] = MappingProxyType({})


class Graph:
    """Identity of the flow that nodes belong to, and their numbering."""

    __slots__ = ("__weakref__", "_slugs", "name", "nodes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        """All nodes in the order they were added; a node's ``id`` is its position here."""
        self._slugs: dict[str, int] = {}

    def slug_for(self, name: str) -> str:
        """A readable slug, unique in this graph and equal in every identical build: ``load``, ``load-2``."""
        count = self._slugs.get(name, 0) + 1
        slug = name if count == 1 else f"{name}-{count}"
        while count > 1 and slug in self._slugs:  # a task that is itself called load-2
            count += 1
            slug = f"{name}-{count}"
        self._slugs[name] = count
        self._slugs.setdefault(slug, 1)
        return slug


class Node:
    """One call of a task in a flow.

    ``space`` is None for a plain node (which has exactly one element). ``holders`` counts the handles and futures that
    user code still has, ``unsent_uses`` the uses by nodes that were added and not sent yet; the engine drops the values
    of a node that has neither once its last consumer is done.
    """

    __slots__ = (
        "__weakref__", "after", "arguments", "graph", "holders", "id", "keywords", "site", "slug", "space", "strict",
        "task", "unsent_uses",
    )  # fmt: skip

    def __init__(
        self,
        *,
        graph: Graph,
        task: TaskSpec,
        slug: str,
        arguments: tuple[Argument, ...] = (),
        keywords: Mapping[str, Argument] | None = None,
        after: tuple[Argument, ...] = (),
        space: Space | None = None,
        strict: bool = True,
        site: str = "",
    ) -> None:
        self.graph = graph
        self.task = task
        self.slug = slug
        self.arguments = arguments
        self.keywords: Mapping[str, Argument] = keywords or NO_KEYWORDS
        self.after = after
        """Dependencies without data (``wait_for``): ``Whole``, or ``Elements`` where wrapped in ``mapped``."""
        self.space = space
        self.strict = strict
        """Whether iterated arguments of different lengths are an error (else the shortest decides)."""
        self.site = site
        """File and line of the call, for messages."""
        self.holders = 0
        self.unsent_uses = 0
        self.id = len(graph.nodes)
        graph.nodes.append(self)

    def __repr__(self) -> str:
        return f"<Node {self.slug}>"

    def labelled_arguments(self) -> list[tuple[str, Argument]]:
        """Every argument with the name of its parameter, then the dependencies without data as ``wait_for[i]``."""
        names = self.task.parameters
        labels = [names[i] if i < len(names) else f"argument {i}" for i in range(len(self.arguments))]
        return [
            *zip(labels, self.arguments, strict=True),
            *self.keywords.items(),
            *((f"wait_for[{i}]", argument) for i, argument in enumerate(self.after)),
        ]

    def inputs(self) -> list[Input]:
        """Every use this node makes of another, in the order of its arguments."""
        found: list[Input] = []
        for argument in (*self.arguments, *self.keywords.values(), *self.after):
            found.extend(inputs_of(argument))
        return found


def inputs_of(argument: Argument) -> tuple[Input, ...]:
    """The uses of nodes in one argument."""
    match argument:
        case Whole(used) | Elements(used):
            return (used,)
        case Template(_, used_many):
            return tuple(used for used in used_many if isinstance(used, Input))
        case Rows(rows):
            return tuple(used for row in rows for used in inputs_of(row))
        case _:
            return ()


def judged(argument: Argument) -> Argument:
    """The argument with all its inputs judged by a trigger."""
    match argument:
        case Whole(used):
            return Whole(replace(used, judged=True))
        case Elements(used):
            return Elements(replace(used, judged=True))
        case Template(skeleton, many):
            inputs = (replace(inner, judged=True) if isinstance(inner, Input) else inner for inner in many)
            return Template(skeleton, tuple(inputs), judged=True)
        case Rows(rows):
            # A row without inputs becomes a template without inputs, which counts as nothing.
            literal = (Template(row.value, ()) if isinstance(row, Constant) else row for row in rows)
            return Rows(tuple(judged(row) for row in literal))  # type: ignore[misc]  # a row stays one of its kind
        case _:
            return argument


class Reference:
    """Base of handles and futures: what the builder finds in arguments and turns into an input."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int | range | None = None) -> None:
        self.node = node
        self.index = index
