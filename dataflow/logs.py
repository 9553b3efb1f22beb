"""Loggers of runs: `get_run_logger` gives the one of the task, or of the body of the flow, that is executing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dataflow.context import current_run, element_facts, inside_task, run_facts, voice_here
from dataflow.errors import UsageError

__all__ = ["RUN_LOGGERS", "RunLogger", "called_here", "disable_run_logger", "get_run_logger"]

TASK, FLOW = "dataflow.task", "dataflow.flow"
RUN_LOGGERS = frozenset({TASK, FLOW})
"""Names of the loggers that lines go to which tasks and flows log by `get_run_logger`."""
_nobody = logging.getLogger("dataflow.nobody")
_nobody.disabled = True
_is_disabled: ContextVar[bool] = ContextVar("run_logger_is_disabled", default=False)
_called_here: ContextVar[str | None] = ContextVar("called_here", default=None)


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records know the run, and the element: ``run_id``, ``flow``, ``task``, ``slug``, ``index``."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add what is known to what the call says."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def get_run_logger(context: Any = None, **extra: Any) -> RunLogger:
    """The logger of the task, or of the body of the flow, that is executing.

    What it logs, from the level of the setting ``log_level`` on, is kept with the element, and shown if that is asked.

    Args:
        context: not used; other systems have it.
        extra: further attributes of all records.

    Raises:
        UsageError: neither a task nor a flow is executing here.

    Example:
        >>> from dataflow import flow, get_run_logger, task
        >>> @task
        ... def load(day):
        ...     get_run_logger().info("day %s has no rows", day)
        >>> @flow(cluster="inline")
        ... def week():
        ...     load.map(range(7))
        >>> week()
    """
    if _is_disabled.get():
        return RunLogger(_nobody, extra)
    facts = run_facts()
    if facts is None:
        return _outside(extra)
    is_task = voice_here() is not None
    known = {"run_id": facts.id, "flow": facts.flow, **(element_facts() if is_task else {})}
    known.pop("tags", None)
    return RunLogger(_levelled(TASK if is_task else FLOW, facts.log_level), {**known, **extra})


def _levelled(name: str, level: str) -> logging.Logger:
    """A logger that lets lines through from this level on, unless somebody has set it up himself."""
    logger = logging.getLogger(name)
    if logger.level in (logging.NOTSET, _set.get(name)):
        wanted = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        if logger.level != wanted:
            logger.setLevel(wanted)
        _set[name] = wanted
    return logger


_set: dict[str, int] = {}
"""The levels that were set here."""


def _outside(extra: dict[str, Any]) -> RunLogger:
    task = _called_here.get()
    if task is not None or inside_task.get() is not None or current_run.get() is not None:
        return RunLogger(_levelled(TASK, "INFO"), {"task": task or "", **extra})
    raise UsageError(
        "neither a task nor a flow is executing here",
        where="get_run_logger()",
        fix="logging.getLogger(__name__), which is heard in tasks too; a thread gets the logger from who starts it",
    )


@contextmanager
def called_here(task: str) -> Iterator[None]:
    """The code inside is a task that is called outside of flows.

    Example:
        >>> with called_here("load"):
        ...     get_run_logger().extra["task"]
        'load'
    """
    token = _called_here.set(task)
    try:
        yield
    finally:
        _called_here.reset(token)


@contextmanager
def disable_run_logger() -> Iterator[None]:
    """Inside, `get_run_logger` gives a logger that says nothing, also outside of flows: for tests of bare functions.

    Example:
        >>> with disable_run_logger():
        ...     get_run_logger().error("nobody reads this")
    """
    token = _is_disabled.set(True)
    try:
        yield
    finally:
        _is_disabled.reset(token)
