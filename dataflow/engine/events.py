"""Events that go into the machine and instructions that come out: frozen values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataflow.compiler.program import Compiled
from dataflow.engine.report import Report
from dataflow.graph.nodes import Node
from dataflow.graph.stages import Stage
from dataflow.known_limits import Place

if TYPE_CHECKING:
    from dataflow.engine.records import BatchRecord, StageRecord

__all__ = [
    "Approved",
    "AskPlaces",
    "BatchAway",
    "BatchLost",
    "BatchReported",
    "CancelAsked",
    "CancelKeys",
    "CancelOverdue",
    "Event",
    "FreePlaces",
    "HoldersGone",
    "Instruction",
    "ItemsPulled",
    "NodesCancelled",
    "PlacesGranted",
    "Pull",
    "Recall",
    "Release",
    "RestReturned",
    "SendingHeld",
    "StagesAdded",
    "Stop",
    "Submit",
    "ThreadsChanged",
    "TimerFired",
    "Withdraw",
]


@dataclass(frozen=True, slots=True)
class StagesAdded:
    """Stages to run, each after the stages it uses, and the nodes whose values must be kept to the end."""

    stages: tuple[tuple[Stage, Compiled], ...]
    kept: frozenset[Node] = frozenset()
    unneeded: tuple[Node, ...] = ()
    """Nodes that are not run, because everything that uses them was found in the store."""


@dataclass(frozen=True, slots=True)
class BatchReported:
    """A worker ended a batch."""

    report: Report


@dataclass(frozen=True, slots=True)
class BatchLost:
    """A batch will not report: the cluster lost it, or it could not be sent.

    ``again`` says whether nobody is to blame, so that it is simply tried again; ``error`` is packed. If the state is
    CRASHED, some element may have killed its worker: the batch is tried again in pieces.
    """

    batch: int
    error: bytes
    again: bool
    state: int
    element: int | None = None
    """The one element (offset in the batch) that is to blame, if it is known."""


@dataclass(frozen=True, slots=True)
class RestReturned:
    """A batch under way will end after ``limit`` elements; the others may run elsewhere now."""

    batch: int
    limit: int


@dataclass(frozen=True, slots=True)
class BatchAway:
    """A batch under way waits for something, and has given its thread to others meanwhile."""

    batch: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """It is ``now`` (seconds on some clock); sent when something is due, or `Dispatcher.wants_timer`."""

    now: float


@dataclass(frozen=True, slots=True)
class ItemsPulled:
    """A generator gave items; ``exhausted`` says that there are no more, ``error`` that it raised."""

    stage: StageRecord
    count: int
    exhausted: bool
    error: bytes | None = None


@dataclass(frozen=True, slots=True)
class ThreadsChanged:
    """The cluster has this many worker threads now."""

    threads: int


@dataclass(frozen=True, slots=True)
class HoldersGone:
    """User code dropped its last future of these nodes."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class PlacesGranted:
    """Places of limits are held now for a batch; 0: there is no such limit any more."""

    number: int
    count: int


@dataclass(frozen=True, slots=True)
class NodesCancelled:
    """These nodes are to be cancelled; what uses them is not run."""

    nodes: tuple[Node, ...]
    error: bytes


@dataclass(frozen=True, slots=True)
class CancelOverdue:
    """Batches that were asked to stop have not told in time how far they came."""

    error: bytes


@dataclass(frozen=True, slots=True)
class Approved:
    """Elements of these nodes that wait for an approval may run."""

    nodes: tuple[Node, ...]
    approval: bytes | None = None
    """Pickled: what their code is told by who approved."""


@dataclass(frozen=True, slots=True)
class SendingHeld:
    """Nothing is to be sent from now on, or everything may go on."""

    held: bool


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Everything that has not ended is to be cancelled."""

    error: bytes


Event = (
    StagesAdded
    | BatchReported
    | BatchLost
    | RestReturned
    | BatchAway
    | TimerFired
    | ItemsPulled
    | ThreadsChanged
    | HoldersGone
    | PlacesGranted
    | Approved
    | SendingHeld
    | CancelAsked
    | CancelOverdue
    | NodesCancelled
)


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a batch."""

    batch: BatchRecord


@dataclass(frozen=True, slots=True)
class Pull:
    """Take this many items from the generator of a stage."""

    stage: StageRecord
    count: int


@dataclass(frozen=True, slots=True)
class Release:
    """Drop a column; nobody needs it any more."""

    key: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask batches to stop after the element they are in, and its attempt at once where that is possible."""

    batches: tuple[BatchRecord, ...]


@dataclass(frozen=True, slots=True)
class CancelKeys:
    """Drop batches that were sent."""

    batches: tuple[BatchRecord, ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask batches that take long, while threads are idle, to give their rest back."""

    batches: tuple[BatchRecord, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Ask all batches up to this number to give back what they have not begun."""

    last: int


@dataclass(frozen=True, slots=True)
class AskPlaces:
    """Ask for places of limits, as many of each as are free and at most so many."""

    number: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class FreePlaces:
    """Give places back, or do without those that were not granted yet."""

    numbers: tuple[int, ...]


Instruction = Submit | Pull | Release | CancelKeys | Stop | Recall | Withdraw | AskPlaces | FreePlaces
