"""Runs: one execution of a flow on a cluster; the only place where graph, compiler and engine are wired together."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.compiler.lineage import Lineage
from dataflow.compiler.memory import Memories, Memory
from dataflow.compiler.plan import compile_found, compile_stages
from dataflow.compiler.program import Compiler
from dataflow.elision import Elision
from dataflow.engine.clusters import resolve_cluster
from dataflow.engine.driver import Driver
from dataflow.engine.events import Event, HoldersGone, StagesAdded
from dataflow.engine.limits.desk import Desk
from dataflow.engine.nests import Nest, current_nest
from dataflow.errors import NotFinished, UsageError
from dataflow.graph.nodes import Graph, Node, TaskSpec
from dataflow.hook_calls import HookCalls
from dataflow.large_values import is_large
from dataflow.options import FlowOptions
from dataflow.outbox import Outbox
from dataflow.persistence import FlowPersistence, flow_persistence
from dataflow.recording.descriptions import Description
from dataflow.recording.recordings import Recording
from dataflow.run_records import RunRecordKeeper
from dataflow.run_states import state_of
from dataflow.run_tellings import Telling
from dataflow.run_voices import RunVoice
from dataflow.states import SUCCESSFUL, State, StateType
from dataflow.steering import Steering
from dataflow.summaries import SummaryRow
from dataflow.values import Values
from dataflow_results.records import Provenance, ResultReference

if TYPE_CHECKING:
    from dataflow.database.rows import RequestRow

__all__ = ["Run", "SummaryRow"]


class Run(Steering, Telling):
    """One execution of a flow.

    Args:
        name: name of the flow.
        graph: the graph its nodes are added to.
        cluster: where to run; see `resolve_cluster`.
        cut_held: whether a plain node whose future is held must end its stage, so that its value comes early.
        persistence: what the flow says about results.
        resume: the id of an earlier run of the same flow, whose kept results are taken.
        run_id: the id of this run, of a flow that another one calls; None makes one.
        description: what the history is told of it.

    Raises:
        ClusterError: the cluster cannot be used.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        cluster: Any = None,
        *,
        cut_held: bool = True,
        persistence: FlowPersistence | None = None,
        resume: str | None = None,
        run_id: str | None = None,
        description: Description | None = None,
    ) -> None:
        self.id = resume or run_id or _new_id()
        self.name = name
        self.graph = graph
        self._cut_held = cut_held
        self._outbox = Outbox()
        self._let_go: deque[Node] = deque()
        kept = persistence or flow_persistence(FlowOptions())
        told = description or Description(name=name, door="task")
        self.voice = RunVoice(self.id, name, told, kept.parameters)
        """What its body says, and who hears what is said in it."""
        self.store_url = kept.storage.url
        self._records = RunRecordKeeper(self.id, name, kept)
        if resume is not None:
            self._records.check_resume()
        chosen = resolve_cluster(cluster)
        self._memories = Memories(persistence=kept, flow=name, run_id=self.id, travels=chosen.crosses_processes)
        self._lineage = Lineage(memories=self._memories)
        self._elision = Elision(memories=self._memories, lineage=self._lineage, facts_of=self._facts)
        self._compiler = Compiler(is_large, self._memory_of, self._lineage, self.voice.known)
        self._kept: frozenset[Node] = frozenset()
        # A resumed run goes on under its id; its columns on the cluster must not be taken for those of before.
        driver_id = self.id if resume is None and run_id is None else f"{self.id}-{_new_id()}"
        self._driver = Driver(
            driver_id, chosen, prepare=self._due_events, due=self._outbox.due_at, tell=self.voice.tell
        )
        self._values = Values(self._driver)
        self.hooks = HookCalls(self, self._driver, self._values)
        self.nested = Nest(outer=current_nest.get())
        """The runs that the body of its flow has begun."""
        self.answers: deque[RequestRow] = deque()
        """To what was asked of the run; for its history."""
        self.recording = Recording(self, told, cluster=chosen.name, is_again=driver_id != self.id)
        self.voice.listeners.append(self.recording.hear)
        self._steered(is_again=driver_id != self.id)
        self.nested.begin(self)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.name!r}>"

    # Sending

    def announce(self, node: Node) -> None:
        """A node was added; it is sent when something of the run is asked for, or shortly after.

        Raises:
            ResultsError: its results are to be kept, and could not be.
        """
        if node.task.hooks is not None:
            self.hooks.begin(node)
        if self._memories.of(node.task) is not None:
            self._memories.check(node)
            self._lineage.check(node)
        if self._outbox.add(node):
            self._driver.post(None)

    def send(self) -> None:
        """Send what was announced."""
        self._outbox.ask()
        self._driver.post(None)

    def keep(self, nodes: Sequence[Node]) -> None:
        """Keep the values of these nodes to the end of the run."""
        self._kept |= frozenset(nodes)

    def _due_events(self) -> list[Event]:
        """What user code did since the last round: futures it dropped, and nodes that it is time to send."""
        events: list[Event] = []
        if self._outbox.is_due():
            events.append(self._added(self._outbox.take()))
        if self._let_go:  # after what was added, which may use what was dropped
            dropped = [self._let_go.popleft() for _ in range(len(self._let_go))]
            events.append(HoldersGone(tuple(node for node in dropped if not node.holders)))
        return events

    def _added(self, nodes: list[Node]) -> Event:
        left = self._elision.shorten(nodes)
        stages = compile_found(left.found, self._compiler)
        stages += compile_stages(left.run, self._compiler, kept=self._kept, cut_held=self._cut_held)
        return StagesAdded(tuple(stages), self._kept & frozenset(nodes), tuple(left.unneeded))

    def _memory_of(self, task: TaskSpec) -> Memory | None:
        memory = self._memories.of(task)
        if memory is not None:
            self._records.note(memory)
        return memory

    # Waiting

    def wait(self, node: Node, index: int | None = None, timeout: float | None = None) -> bool:
        """Wait until a node, or one element of it, has ended; gives False if the timeout (seconds) came first."""
        self.send()
        return self.hooks.after(node, self._driver.wait(partial(self._done, node, index), timeout), timeout)

    def done(self, node: Node, index: int | None = None) -> bool:
        """Whether a node, or one element of it, has ended."""
        with self._driver.changed:
            return self._done(node, index)

    def _done(self, node: Node, index: int | None = None) -> bool:
        facts = self._facts(node)
        if facts is None:
            return False
        if index is None or node.space is None:
            return facts.ended
        return facts.segment_at(index) is not None or (facts.ended and index >= (facts.length or 0))

    def finish(self, *, or_paused: bool = False) -> None:
        """Wait until all that was announced has ended (``or_paused``: or nothing goes on without an approval)."""
        self.send()
        self.hooks.wait(self._all_done_or_paused if or_paused else self._all_done)

    def _all_done_or_paused(self) -> bool:
        machine = self._driver.machine
        return self._all_done() or (self._outbox.is_sent(machine.facts) and machine.dispatcher.only_paused)

    def _all_done(self) -> bool:
        facts = self._driver.machine.facts
        return self._outbox.is_sent(facts) and all(known.ended for known in facts.values())

    # Asking

    def length(self, node: Node, timeout: float | None = None) -> int:
        """Number of elements of a mapped node; waits only while that is unknown.

        Raises:
            NotFinished: it is still unknown after the timeout (seconds).
        """
        if node.space is not None and node.space.length is not None:
            return node.space.length
        self.send()
        known = self._driver.wait(
            lambda: (facts := self._facts(node)) is not None and facts.length is not None, timeout
        )
        facts = self._facts(node)
        if not known or facts is None or facts.length is None:
            raise NotFinished("the number of elements is not known yet", where=node.slug, fix="wait for it")
        return facts.length

    def completed_indices(self, node: Node, timeout: float | None = None) -> Iterator[int]:
        """Indices of the elements of a node in the order in which they ended.

        Raises:
            NotFinished: nothing more ended within the timeout (seconds) and some elements have not.
        """
        self.send()
        seen = 0
        while True:
            arrived = self._driver.wait(partial(self._more_arrived, node, seen), timeout)
            facts = self._facts(node)
            if not arrived or facts is None:
                raise NotFinished("some elements have not ended", where=node.slug, fix="wait longer")
            with self._driver.changed:
                segments = facts.arrivals[seen:]
                ended = facts.ended
            for segment in segments:
                yield from range(segment.start, segment.stop)
            seen += len(segments)
            if ended and seen == len(facts.arrivals):
                return

    def _more_arrived(self, node: Node, seen: int) -> bool:
        facts = self._facts(node)
        return facts is not None and (len(facts.arrivals) > seen or facts.ended)

    def wait_for_news(self, position: int, timeout: float | None = None) -> bool:
        """Wait until more has ended than that; gives False if the timeout (seconds) came first."""
        self.send()
        return self._driver.wait(lambda: len(self._driver.machine.log) > position, timeout)

    def state(self, node: Node, index: int | None = None) -> State[Any]:
        """The state of a node, or of one element of it, now."""
        with self._driver.changed:
            facts = self._facts(node)
            if facts is None:
                return State(type=StateType.PENDING, run=self)
            facts.looked_at |= facts.ended
            load = partial(self.value, node, None if node.space is None else index)
            return state_of(facts, index, self._values, run=self, load=load)

    def value(
        self,
        node: Node,
        index: int | range | None = None,
        timeout: float | None = None,
        *,
        raise_on_failure: bool = True,
    ) -> Any:
        """The value of a node, of one element, or of some; waits for it.

        Raises:
            NotFinished: it has not ended within the timeout (seconds).
            Exception: the exception of the work itself, if it failed.
        """
        self._wait_or_raise(node, index, timeout)
        facts = self._driver.machine.facts[node]
        facts.looked_at = True
        if self._elision.lacks_value(node, index if isinstance(index, int) else None):
            return self.value(self._revived(node), index, timeout, raise_on_failure=raise_on_failure)
        if node.space is None:
            return self._values.one(facts, 0, raise_on_failure=raise_on_failure)
        if isinstance(index, int):
            return self._values.one(facts, index, raise_on_failure=raise_on_failure)
        return self._values.all(facts, index, raise_on_failure=raise_on_failure)

    def reference(self, node: Node, index: int | None = None) -> ResultReference | None:
        """Where the result of a node, or of one element of it, is kept; None if it is not. Waits for it.

        Raises:
            UsageError: the node is mapped, and no element was said.
        """
        if node.space is not None and index is None:
            raise UsageError("a map has a result for each element", where=node.slug, fix="future[0].reference()")
        self._wait_or_raise(node, index, None)
        memory, at = self._memories.of(node.task), index or 0
        segment = self._driver.machine.facts[node].segment_at(at)
        if memory is None or segment is None or segment.state_of(at) not in SUCCESSFUL:
            return None
        key = segment.key_of(at)
        unkeyed = not memory.by_place and not any(key)
        return None if unkeyed else memory.reference(node.slug, at, key)

    def record(self, node: Node, index: int | None = None) -> Provenance | None:
        """Where the kept result of a node, or of an element of it, comes from; None if it is not kept. Waits for it."""
        reference, memory = self.reference(node, index), self._memories.of(node.task)
        if reference is None or memory is None:
            return None
        kept = memory.store.open().task(reference.collection)
        return kept.provenance_of(kept.find(reference.key, now=0.0), 0)

    def _revived(self, node: Node) -> Node:
        """A node that is run now in the place of one that was left out."""
        with self._driver.changed:
            twin, new = self._elision.revive(node)
        self.hold(twin)
        for one in new:
            self.announce(one)
        return twin

    def _wait_or_raise(self, node: Node, index: int | range | None, timeout: float | None) -> None:
        if not self.wait(node, index if isinstance(index, int) else None, timeout):
            limit = "" if timeout is None else f" within {timeout:g} s"
            raise NotFinished(f"it has not ended{limit}", where=node.slug, fix="wait longer, or without a timeout")

    # Failures

    def failures_unseen(self) -> list[Node]:
        """Nodes that failed and that nobody looked at, neither at them nor at what rests on them."""
        with self._driver.changed:
            all_facts = list(self._driver.machine.facts.values())
        seen = {facts.node for facts in all_facts if facts.looked_at}
        for facts in reversed(all_facts):
            for used in facts.node.inputs():
                if used.allow_failure or facts.node in seen:
                    seen.add(used.node)
        unseen = [facts.node for facts in all_facts if facts.unsuccessful and facts.node not in seen]
        roots = [
            node for node in unseen if self._driver.machine.facts[node].state_type() is not StateType.UPSTREAM_FAILED
        ]
        return roots or unseen

    # Ending

    def conclude(self, state: State[Any]) -> State[Any]:
        """The flow has ended in this state; gives the state."""
        self._records.end(state.name)
        self.recording.tell(state)
        self.hooks.tell_flow(state)
        return state

    def close(self) -> None:
        """Drop everything the run has on the cluster; states stay, values do not."""
        self._steered_no_more()
        self.nested.end(self)
        try:
            self.hooks.end()
        finally:  # Ctrl-C while a hook takes long
            self._driver.close()
            self._records.end("Cancelled")  # of a run that was not concluded: Ctrl-C, or an error on the way
            self.voice.close()
            self.recording.finish()

    def hand_over_errors(self) -> object:
        """The exceptions of an inline run with their frames; they are let go with what is given here."""
        return self._driver.shell.hand_over_errors()

    def hold(self, node: Node) -> None:
        """Somebody may ask for the value of this node."""
        node.holders += 1

    def drop(self, node: Node) -> None:
        """One fewer may ask for the value of this node."""
        node.holders -= 1
        if not node.holders:
            self._let_go.append(node)
            if len(self._let_go) == 1:
                self._driver.post(None)

    @property
    def limits(self) -> Desk:
        """Where the run asks for places of limits."""
        return self._driver.shell.limits


def _new_id() -> str:
    return uuid.uuid4().hex[:12]
