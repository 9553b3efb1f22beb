"""What others do to a run while it goes on: pause it, resume it, put it down, approve what waits, from any process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from dataflow.asking import answered, earlier_input, live, note_begun, question_row
from dataflow.compiler.memory import Memories
from dataflow.engine.driver import Driver
from dataflow.engine.events import Approved, NodesCancelled
from dataflow.engine.failures import pack_error
from dataflow.engine.nests import Nest
from dataflow.engine.pickles import dumps
from dataflow.errors import Cancelled, UsageError
from dataflow.graph.nodes import Graph, Node
from dataflow.pauses import Given, Pauses, Question
from dataflow.places import find_place
from dataflow.recording.put_down import INPUT, note_put_down
from dataflow.signals import Suspend
from dataflow.triggers import manual_only

if TYPE_CHECKING:
    from dataflow.database.rows import RequestRow
    from dataflow.recording.recordings import Recording
    from dataflow.run_voices import RunVoice
    from dataflow.session import Run

__all__ = ["Steering"]

logger = logging.getLogger("dataflow")
SHOWN_TASKS = 5
PAUSED, DOWN = "it is paused", "it is put down"
"""Why nothing of a run is sent."""


class Steering:
    """The part of a run that lets others steer it."""

    id: str
    name: str
    graph: Graph
    nested: Nest
    voice: RunVoice
    recording: Recording
    answers: deque[RequestRow]
    send: Callable[[], None]
    _driver: Driver
    _memories: Memories

    def _steered(self, *, is_again: bool) -> None:
        """Called once, when the rest of the run is there."""
        self._held: set[str] = set()
        self._has_warned = False
        self._holding = threading.RLock()
        self.stop: Callable[[], object] = self.cancel
        """Cancels the run and its further attempts."""
        self.pauses = Pauses(
            self.id,
            hold=lambda held: self.hold_sending(PAUSED, held=held),
            tell=self.recording.tell,
            note=self._noted,
            earlier=lambda: earlier_input(self.id) if is_again else {},
        )
        """What of it waits for somebody."""
        note_begun(self)

    def _steered_no_more(self) -> None:
        """Called when the run is closed."""
        self.pauses.end(self._cancelled("the run has ended"))
        if live.get(self.id) is self:
            del live[self.id]

    def _noted(self, question: Question, answer: Given | Exception | None) -> None:
        self.answers.append(question_row(self.id, question, answer))

    def hold_sending(self, reason: str, *, held: bool) -> None:
        """Send nothing as long as there is a reason; also nothing of the runs that its body has begun."""
        with self._holding:
            before = bool(self._held)
            (self._held.add if held else self._held.discard)(reason)
            now = bool(self._held)
            if before != now:
                self.nested.hold(now)
                self._driver.hold(now)

    @property
    def is_cancelled(self) -> bool:
        """Whether what had not ended was cancelled."""
        return self._driver.machine.cancelled is not None

    @property
    def is_inner(self) -> bool:
        """Whether it was begun by the body of another flow, or by a task."""
        return self.nested.is_inner

    def pause(self) -> None:
        """Send nothing more until somebody resumes it; batches under way end after the element they are in."""
        self.pauses.pause()

    def resume(self, run_input: Any = None, key: str | None = None) -> None:
        """Let it go on.

        Args:
            run_input: what a pause of its body asks for: a value, or as a dict the fields of a model.
            key: which of several pauses.

        Raises:
            InputError: the input does not fit; nothing was changed.
            UsageError: it is not paused, or not under this key.
        """
        self.pauses.resume(run_input, key)

    def cancel(self, place: Any = None, *, grace_seconds: float | None = None) -> None:
        """Cancel everything that has not ended, or one node (``"load"``, a future, a handle) and what rests on it.

        Running batches stop after the element they are in; time-limited, isolated and async elements stop at once. It
        waits until they have, but not longer than the grace, or else the setting ``cancel_grace_seconds``.

        Raises:
            UsageError: there is no such node.
        """
        if self._driver.failure is not None:
            return  # whoever waits is told already, and nothing goes on
        if place is None:
            self._cancel_all("the run was cancelled before this ended", grace_seconds)
            return
        self.send()
        node = self._whole_node(place, "cancelled")
        self._driver.post(NodesCancelled((node,), pack_error(self._cancelled("it was cancelled before it ended"))))

    def _cancel_all(self, problem: str, grace_seconds: float | None = None) -> None:
        self.pauses.end(self._cancelled("the run was cancelled while it was paused"))
        self.send()
        self.nested.cancel()
        self._driver.cancel(pack_error(self._cancelled(problem)), grace_seconds)

    def _cancelled(self, problem: str) -> Cancelled:
        return Cancelled(problem, where=f"run {self.id} of {self.name!r}")

    def suspend(self) -> None:
        """Put it down: what runs ends and is kept, nothing else begins, and its body gets an error where it waits."""
        self.pauses.suspension = self.pauses.suspension or "somebody suspended it"
        self.pauses.end(Suspend("the run was suspended"))
        self.put_down()

    def put_down(self) -> None:
        """End it as it is: what runs ends after the element it is in, what has not begun is cancelled."""
        if self.is_cancelled:
            return
        if not self.is_inner:
            note_put_down(self.id, self.name, self.voice.description)
        self.hold_sending(DOWN, held=True)
        for inner in self.nested.runs:
            inner.put_down()
        self._driver.drain()
        self._warn_of_unkept()
        if self._driver.failure is None:
            self._cancel_all("the run was suspended before this ended")

    def _warn_of_unkept(self) -> None:
        if self._has_warned:  # who puts it down, and its body, which ends by that, both come here
            return
        self._has_warned = True
        facts = [self._driver.machine.facts.get(node) for node in list(self.graph.nodes)]
        done = [one.node for one in facts if one is not None and one.done]
        unkept = list(dict.fromkeys(node.task.name for node in done if self._memories.of(node.task) is None))
        if unkept:
            more = f" and {len(unkept) - SHOWN_TASKS} more" if len(unkept) > SHOWN_TASKS else ""
            names = ", ".join(unkept[:SHOWN_TASKS]) + more
            text = "run %s of %r is suspended; these tasks keep no results and run again when it is resumed: %s"
            logger.warning(f"{text} (persist_result=True keeps them)", self.id, self.name, names)  # noqa: G004

    def approve(self, place: Any = None, run_input: Any = None) -> None:
        """Let elements of a node (None: of all) run that wait for it, because their trigger is ``manual_only``.

        Args:
            place: the node: its name, a future or a handle.
            run_input: what their code finds as ``dataflow.context.get("approval")``.

        Raises:
            UsageError: there is no such node, or it never waits for an approval.
        """
        nodes = self.graph.nodes if place is None else [self._whole_node(place, "approved")]
        if place is not None and nodes[0].task.rules.trigger != manual_only:
            fix = f"approve what waits; the trigger of {nodes[0].slug} is {nodes[0].task.rules.trigger!r}"
            raise UsageError("it waits for no approval", where=nodes[0].slug, fix=fix)
        self._driver.post(Approved(tuple(nodes), None if run_input is None else dumps(run_input)))
        self._driver.wait(lambda: not self._driver.machine.dispatcher.is_paused(nodes))

    def _whole_node(self, place: Any, done: str) -> Node:
        node, index = find_place(self.graph.nodes, place)
        if index is not None:
            problem = f"single elements cannot be {done}"
            raise UsageError(problem, where=f"{node.slug}[{index}]", fix=f"all of {node.slug!r}")
        return node

    def asked(self, request: RequestRow) -> None:
        """Somebody, perhaps in another process, asks something of the run; the answer is one of its ``answers``."""
        if request.kind == INPUT:
            return  # it is what the run itself asks, and people answer
        # What is asked may take a while, and whoever tells of it has other runs to look after.
        name = f"dataflow-asked-{self.id}"
        threading.Thread(target=lambda: self._answer(request), name=name, daemon=True).start()

    def _answer(self, request: RequestRow) -> None:
        self.answers.append(answered(cast("Run", self), request))
