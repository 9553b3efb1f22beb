"""`FilterTask`: a task that leaves out what it does not want of a list."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Unpack

from dataflow.options import TaskKeywords
from dataflow.tasks import Task
from dataflow.triggers import all_finished

__all__ = ["FilterTask"]

logger = logging.getLogger("dataflow")


def is_wanted(value: Any) -> bool:
    """Whether a value is neither None nor an exception."""
    return value is not None and not isinstance(value, Exception)


class FilterTask(Task[..., list[Any]]):
    """Gives those items of a list that fit; of a map it gathers them when all elements have ended, failed ones too.

    ``task.filter`` keeps elements apart, each with its index; this makes a shorter list of them.

    Args:
        filter_func: says whether an item fits; None: it is neither None nor an exception.
        log_func: gives what is logged about the list of items that did not fit; None: nothing is.
        options: those of `TaskOptions`.

    Raises:
        TaskDefinitionError: an option does not exist or fit.

    Example:
        >>> from dataflow import FilterTask, Flow, task
        >>> only_good = FilterTask()
        >>> with Flow("numbers") as flow:
        ...     numbers = only_good(task(float).map(["1", "one", "2.5"]))
        >>> flow.run(cluster="inline").result[numbers].result
        [1.0, 2.5]
    """

    def __init__(
        self,
        filter_func: Callable[[Any], Any] | None = None,
        log_func: Callable[[list[Any]], object] | None = None,
        **options: Unpack[TaskKeywords],
    ) -> None:
        self.filter_func = filter_func or is_wanted
        self.log_func = log_func
        options.setdefault("trigger", all_finished)
        options.setdefault("skip_on_upstream_skip", False)
        super().__init__(**options)

    def run(self, task_results: list[Any]) -> list[Any]:
        """The items that fit."""
        fitting = [item for item in task_results if self.filter_func(item)]
        if self.log_func is not None:
            logger.info("%s", self.log_func([item for item in task_results if not self.filter_func(item)]))
        return fitting
