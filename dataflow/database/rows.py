"""Rows of the database of runs, one frozen value per table; elements are columns in blobs, never rows of their own."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ArtifactRow",
    "BatchRow",
    "ExecutionRow",
    "LogRow",
    "NodeRow",
    "PlainNodesRow",
    "RequestRow",
    "Row",
    "RunRow",
    "SegmentRow",
    "StateRow",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run: one execution of a flow as its user sees it; a later one of the same id replaces it."""

    id: str
    flow: str
    name: str
    """What this run is called: ``flow_run_name``, or the name of the flow."""
    state: int
    """`StateType` number."""
    message: str = ""
    started: float
    """Seconds since the epoch."""
    ended: float | None = None
    door: str = "function"
    """``"function"`` (``@flow``), ``"graph"`` (``with Flow``) or ``"task"`` (submitted inside of a task)."""
    parent: str = ""
    """Id of the run it was begun in; empty if there is none."""
    parent_place: str = ""
    """What of that run began it: ``"load[3]"``; empty for the body of its flow."""
    parameters: str = "{}"
    """JSON object: the text of each parameter, cut."""
    tags: str = "[]"
    """JSON list."""
    entrypoint: str = ""
    """Where its flow is found again: ``"/path/file.py:flow"`` or ``"package.module:flow"``; empty if nowhere."""
    arguments: bytes | None = None
    """The pickled arguments of the flow, where they are small enough to be kept."""
    store: str = ""
    """URL of the store of its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """One attempt at a run, in one process: the first, a retry of the flow, or a resumed one."""

    id: str
    run_id: str
    state: int
    message: str = ""
    started: float
    ended: float | None = None
    heartbeat: float
    """When its process last said that it goes on."""
    process: str
    """As `dataflow_results.liveness.processes.this_process` says it."""
    host: str = ""
    user: str = ""
    cluster: str = ""
    """Name or address."""
    facts: str = "{}"
    """JSON object: worker threads, versions, and what else is known of where it ran."""
    lost: int = 0
    """Rows that could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """That a run came into a state."""

    run_id: str
    time: float
    state: int
    name: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node of an execution and the sums over its elements; a later one of the same number replaces it."""

    execution_id: str
    number: int
    """Its position in the graph."""
    slug: str
    task: str
    is_mapped: bool
    length: int | None = None
    """Number of elements; None while unknown. 1 for a plain node."""
    state: int
    done: int = 0
    counts: str = "{}"
    """JSON object: number of elements by `StateType` number, as text; those that wait for another attempt included."""
    seconds: float = 0.0
    """Sum of the durations of its elements."""
    started: float | None = None
    ended: float | None = None
    message: str = ""
    causes: str = "[]"
    """JSON list: why elements failed, grouped; see `dataflow.causes`."""
    collection: str = ""
    """Group of its kept results in their store; empty if it keeps none."""
    store: str = ""
    """URL of that store."""
    uses: str = "[]"
    """JSON list: which nodes it uses, and how."""
    rules: str = "{}"
    """JSON object: retries, trigger, tags, where it was called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainNodesRow:
    """Many plain nodes that ended well, each with its element; rows of their own replace them."""

    execution_id: str
    first: int
    """The lowest of their numbers."""
    last: int
    """The highest of them."""
    count: int
    columns: bytes
    """See `dataflow.database.plain_nodes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch that has reported."""

    execution_id: str
    number: int
    worker: str
    started: float
    seconds: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """Consecutive elements of a node that ended together: their columns."""

    execution_id: str
    node: int
    """Number of the node."""
    start: int
    stop: int
    batch: int | None = None
    """Number of the batch; None if they were never sent."""
    step: int = 0
    """Position of the node among those that the batch ran."""
    offset: int = 0
    """Of the first of them among the elements of the batch."""
    state: int | None = None
    """`StateType` number of all of them; None: one byte for each in ``states``."""
    states: bytes | None = None
    seconds: bytes | None = None
    """Durations, two bytes each, as the engine packs them; None if they were never sent."""
    keys: bytes | None = None
    """Keys of results, one after the other; None where there are none, or where they follow from the place."""
    rare: bytes | None = None
    """What few elements have: errors, tries, notes; see `dataflow.database.columns`."""
    before_seconds: float = 0.0
    """Of its batch, spent on the elements before the first of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """Lines that elements of one node (None: the body of the flow) logged or printed at about the same time."""

    execution_id: str
    node: int | None = None
    first_time: float
    last_time: float
    highest_level: int
    """Number of the most severe level, as of `logging`; 0 for what was printed."""
    count: int
    lines: bytes
    """See `dataflow.database.columns`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """Something that was made to be looked at; a later one of the same id replaces it."""

    id: str
    run_id: str
    """Empty if it was made outside of runs."""
    execution_id: str = ""
    node: int | None = None
    element: int | None = None
    key: str = ""
    """Artifacts of one key are versions of one thing, the newest is shown; empty: of its run only."""
    kind: str
    """``"markdown"``, ``"table"``, ``"link"``, ``"image"`` or ``"progress"``."""
    data: bytes
    """UTF-8 JSON, or for an image that is not elsewhere its bytes."""
    description: str = ""
    created: float
    updated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """What somebody, perhaps in another process, asks of a run, and the answer."""

    id: str
    run_id: str
    kind: str
    """``"cancel"``, ``"pause"``, ``"resume"``, ``"approve"``, or ``"input"`` for what the run itself asks for."""
    key: str = ""
    """Which of several: the name of a pause, the place that is approved."""
    body: str = "{}"
    """JSON."""
    asked: float
    answered: float | None = None
    answer: str = ""
    """JSON; empty if there is none yet."""


Row = (
    RunRow
    | ExecutionRow
    | StateRow
    | NodeRow
    | PlainNodesRow
    | BatchRow
    | SegmentRow
    | LogRow
    | ArtifactRow
    | RequestRow
)
