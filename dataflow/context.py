"""What surrounds the code that is running now: the run, the flow being built, or a task and its attempt."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from dataflow.bare_threads import guessed_voice
from dataflow.run_facts import RunFacts

if TYPE_CHECKING:
    from dataflow.flows import Flow
    from dataflow.session import Run

__all__ = [
    "Attempt",
    "arguments",
    "attempted",
    "current_attempt",
    "current_flow",
    "current_run",
    "current_voice",
    "element_facts",
    "get",
    "inside_task",
    "isolated_process",
    "run_facts",
    "voice_here",
]


class ElementVoice(Protocol):
    """What knows which element of a batch is executing."""

    facts: RunFacts

    def element(self) -> Mapping[str, Any]:
        """Task, slug, index and tags of the element; empty if none is executing."""

    def arguments(self) -> Mapping[str, Any]:
        """The arguments of its function by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of an element at a task; most are the first one, which nothing is set for."""

    attempt: int = 1
    round: int = 1
    """Of its loop."""
    looped: Any = None
    """What the round before gave."""
    approval: Any = None
    """What it is told by who approved it."""


FIRST = Attempt()

current_run: ContextVar[Run | None] = ContextVar("current_run", default=None)
"""The run whose flow body is executing in this context, if any."""

current_flow: ContextVar[Flow | None] = ContextVar("current_flow", default=None)
"""The flow of the innermost ``with Flow(...)`` block, if any."""

inside_task: ContextVar[list[Any] | None] = ContextVar("inside_task", default=None)
"""None outside tasks; where a task's function is executing, the bodies of what it submitted itself, mostly none."""

current_voice: ContextVar[ElementVoice | None] = ContextVar("current_voice", default=None)
"""Takes what elements of the batch say that is executing in this context; to be used inside tasks only."""

current_attempt: ContextVar[Attempt] = ContextVar("current_attempt", default=FIRST)
"""The attempt that is executing in this context."""

isolated_process = Event()
"""Set in the processes of isolated attempts, which cannot ask the cluster for anything."""


def get(name: str, default: Any = None) -> Any:
    """Something about the task, or the body of a flow, that is executing; the default for what does not apply.

    Args:
        name: ``"run_id"``, ``"flow"``, ``"run_name"``, ``"parameters"`` (of the flow), ``"tags"``; in a task also
            ``"task"``, ``"slug"``, ``"index"``, ``"arguments"``, ``"attempt"`` (1 at first), ``"task_loop_count"``,
            ``"task_loop_result"``, ``"approval"`` (what it was approved with); and the names that classic Prefect has
            for them, such as ``"map_index"``.
        default: what to give otherwise.

    Example:
        >>> from dataflow import context, flow, task
        >>> @task(retries=2)
        ... def moody():
        ...     if context.get("attempt") < 3:
        ...         raise ConnectionError("not now")
        ...     return context.get("slug"), context.get("attempt")
        >>> @flow(cluster="inline")
        ... def patient():
        ...     return moody()
        >>> patient()
        ('moody', 3)
    """
    try:
        return NAMES[name]()
    except LookupError:
        return default


def voice_here() -> ElementVoice | None:
    """What takes what is said by elements of the batch that is executing here; None outside of tasks."""
    if inside_task.get() is not None:
        return current_voice.get()
    return guessed_voice() if current_run.get() is None else None


def run_facts() -> RunFacts | None:
    """What is known of the run that surrounds this code: of its flow's body, or of one of its tasks."""
    voice, run = voice_here(), current_run.get()
    if voice is not None:
        return voice.facts
    return run.facts if run is not None and inside_task.get() is None else None


def element_facts() -> Mapping[str, Any]:
    """What is known of the element that is executing: ``task``, ``slug``, ``index`` and ``tags``; empty elsewhere.

    A plain node has no ``index``.
    """
    voice = voice_here()
    return {} if voice is None else voice.element()


def arguments() -> Mapping[str, Any]:
    """The arguments of the task that is executing, by name; empty outside of tasks."""
    voice = voice_here()
    return {} if voice is None else voice.arguments()


def _of_run(known: Callable[[RunFacts], Any]) -> Callable[[], Any]:
    def found() -> Any:
        facts = run_facts()
        if facts is None:
            raise LookupError
        return known(facts)

    return found


def _of_element(name: str) -> Callable[[], Any]:
    return lambda: element_facts()[name]


def _of_attempt(known: Callable[[Attempt], Any]) -> Callable[[], Any]:
    def found() -> Any:
        if inside_task.get() is None:
            raise LookupError
        return known(current_attempt.get())

    return found


def _looped(now: Attempt) -> Any:
    if now.round == 1:
        raise LookupError
    return now.looped


def _day(after: int, form: str = "%Y-%m-%d") -> Callable[[], Any]:
    """A day beside the one on which the run began, as text; in UTC, as in classic Prefect."""
    return _of_run(lambda facts: (_started(facts) + timedelta(days=after)).strftime(form))


def _started(facts: RunFacts) -> datetime:
    return datetime.fromtimestamp(facts.started, UTC)


def _full_name() -> str:
    known = element_facts()
    return f"{known['slug']}[{known['index']}]" if "index" in known else str(known["slug"])


def _logger() -> Any:
    _id()  # nothing outside of runs
    # Loaded when it is asked for: that module asks this one where it is.
    return importlib.import_module("dataflow.logs").get_run_logger()


def _approval(now: Attempt) -> Any:
    if now.approval is None:
        raise LookupError
    return now.approval


_id, _flow, _name = (
    _of_run(lambda facts: facts.id),
    _of_run(lambda facts: facts.flow),
    _of_run(lambda facts: facts.name),
)
_attempt = _of_attempt(lambda now: now.attempt)

NAMES: dict[str, Callable[[], Any]] = {
    "approval": _of_attempt(_approval),
    "arguments": arguments,
    "attempt": _attempt,
    "date": _of_run(_started),
    "flow": _flow,
    "flow_name": _flow,
    "flow_run_id": _id,
    "flow_run_name": _name,
    "index": _of_element("index"),
    "logger": _logger,
    "map_index": _of_element("index"),
    "parameters": _of_run(lambda facts: facts.parameters.values),
    "parent_run_id": _of_run(lambda facts: facts.parent),
    "run_count": _of_run(lambda facts: facts.attempt),
    "run_id": _id,
    "run_name": _name,
    "scheduled_start_time": _of_run(_started),
    "slug": _of_element("slug"),
    "tags": _of_run(lambda facts: list(facts.tags)),
    "task": _of_element("task"),
    "task_full_name": _full_name,
    "task_loop_count": _of_attempt(lambda now: now.round),
    "task_loop_result": _of_attempt(_looped),
    "task_name": _of_element("task"),
    "task_run_count": _attempt,
    "task_run_id": lambda: f"{_id()}/{_full_name()}",
    "task_run_name": _full_name,
    "task_slug": _of_element("slug"),
    "task_tags": _of_element("tags"),
    "today": _day(0),
    "today_nodash": _day(0, "%Y%m%d"),
    "tomorrow": _day(1),
    "tomorrow_nodash": _day(1, "%Y%m%d"),
    "yesterday": _day(-1),
    "yesterday_nodash": _day(-1, "%Y%m%d"),
}
"""What can be asked for, and how it is found; a `LookupError` says that it does not apply."""


@contextmanager
def attempted(now: Attempt) -> Iterator[None]:
    """The code inside is this attempt."""
    token = current_attempt.set(now)
    try:
        yield
    finally:
        current_attempt.reset(token)
