"""What a run tells of itself: how far it is, what happened to an element, and how to do that again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dataflow.compiler.memory import Memories, Memory
from dataflow.element_inputs import InputFinder
from dataflow.engine.driver import Driver
from dataflow.engine.facts import NodeFacts, Segment
from dataflow.engine.nests import Nest
from dataflow.engine.notices import PlacedNotice
from dataflow.graph.nodes import Graph, Node
from dataflow.places import find_place
from dataflow.reproductions import Reproduction
from dataflow.run_facts import RunFacts
from dataflow.run_voices import RunVoice
from dataflow.stories import Story
from dataflow.storytelling import Teller
from dataflow.summaries import SummaryRow, summary_row
from dataflow.values import Values

if TYPE_CHECKING:
    from dataflow_results.records import ResultReference

__all__ = ["Telling"]


class Telling:
    """The part of a run that only reads what is known."""

    id: str
    name: str
    graph: Graph
    nested: Nest
    reference: Callable[..., ResultReference | None]
    _driver: Driver
    _memories: Memories
    _values: Values
    voice: RunVoice

    @property
    def nodes(self) -> list[Node]:
        """All nodes of the run, in the order they were added."""
        return self.graph.nodes

    def _facts(self, node: Node) -> NodeFacts | None:
        return self._driver.machine.facts.get(node)

    @property
    def facts(self) -> RunFacts:
        """What code of the run may ask about it."""
        return self.voice.facts

    @property
    def listeners(self) -> list[Callable[[Sequence[PlacedNotice]], None]]:
        """Called with what elements and the body of the flow say while they run."""
        return self.voice.listeners

    def tell(self, notices: Sequence[PlacedNotice]) -> None:
        """Pass on what was said to those who listen."""
        self.voice.tell(notices)

    # Read by the recorder, in the writer's thread and without the lock: nothing of this is ever taken back

    @property
    def log(self) -> list[tuple[NodeFacts, Segment]]:
        """What ended, in order; it only grows."""
        return self._driver.machine.log

    def is_own(self, node: Node) -> bool:
        """Whether a node is one of the graph, and not run again in the place of one that was left out."""
        return self.graph.nodes[node.id] is node

    def facts_of(self, node: Node) -> NodeFacts | None:
        """What is known of a node; None if it was not sent yet."""
        return self._facts(node)

    def waiting(self) -> list[tuple[Node, int]]:
        """Nodes of which elements wait for another attempt or an approval, or did, and how many do now."""
        return [(facts.node, len(facts.provisional)) for facts in list(self._driver.machine.holding.held)]

    def is_busy(self, node: Node) -> bool:
        """Whether batches of a mapped node are under way."""
        stage = self._driver.machine.wiring.stage_of.get(node)
        return stage is not None and stage.lane.in_flight > 0

    def memory_of(self, node: Node) -> Memory | None:
        """How the results of a node are kept; None if they are not."""
        return self._memories.known(node.task)

    @property
    def threads(self) -> int:
        """Worker threads of the cluster, when last looked."""
        return self._driver.shell.threads()

    @property
    def load(self) -> tuple[int, int]:
        """Worker threads and batches under way, as the machine knows them; nobody is asked."""
        dispatcher = self._driver.machine.dispatcher
        return dispatcher.threads, len(dispatcher.in_flight)

    def look(self, node: Node) -> None:
        """Somebody looked at this node, so that a failure of it is not silent."""
        facts = self._facts(node)
        if facts is not None:
            facts.looked_at |= facts.ended

    def done_count(self, node: Node) -> int:
        """How many elements of a node have ended."""
        facts = self._facts(node)
        return 0 if facts is None else facts.done

    def progress(self) -> list[tuple[str, int, int | None]]:
        """Of each node so far: its slug, how many elements have ended, and how many there are (None while unknown)."""
        found = self._driver.machine.facts
        known = [(node.slug, found.get(node), node.space) for node in list(self.graph.nodes)]
        return [
            (slug, facts.done, facts.length) if facts is not None else (slug, 0, space.length if space else 1)
            for slug, facts, space in known
        ]

    def ended_since(self, position: int) -> list[tuple[Node, int, int]]:
        """Nodes and their elements (start to stop) in the order in which they ended, from a position on."""
        with self._driver.changed:
            return [(facts.node, segment.start, segment.stop) for facts, segment in self._driver.machine.log[position:]]

    def summary(self) -> list[SummaryRow]:
        """A row of numbers per node that was sent."""
        with self._driver.changed:
            return [summary_row(facts) for facts in self._driver.machine.facts.values()]

    def story(self, place: Any) -> Story:
        """What happened to a node or an element (``"load[17]"``, a future, …), state by state, each with its reason.

        Raises:
            UsageError: there is no such node or element in the run.
        """
        node, index = find_place(self.graph.nodes, place)
        self.look(node)
        with self._driver.changed:
            return Teller(facts_of=self._facts, kept_at=self.memory_of).story(node, index)

    def reproduce(self, place: Any, *, recompute: bool = False) -> Reproduction:
        """The function and exactly the inputs of one element, to be run again here; also after the run has ended.

        Args:
            place: ``"load[17]"``, ``"load"`` for a plain node, a future, a handle, or a slug and an index.
            recompute: whether functions before it may be called again for inputs that are not there any more.

        Raises:
            UsageError: there is no such element, it was not run, or an input is not there any more.
        """
        node, index = find_place(self.graph.nodes, place)
        self.look(node)
        finder = InputFinder(
            facts_of=self._facts, values=self._values, reference_of=self.reference, recompute=recompute
        )
        return finder.reproduce(node, index)
