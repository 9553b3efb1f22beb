"""Lowering: batches become raw Dask tasks. The only module on the way to the cluster that knows Dask's graph format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dask._task_spec import Task, TaskRef

__all__ = ["Shipped", "batch_tasks", "program_task"]


class NamedTask(Task):  # type: ignore[misc]  # Dask is checked as Any
    """A Dask task that is identified by its key alone.

    Dask hashes every graph that it is given. Our keys are unique and say all, so hashing the payloads again would only
    cost time, and would fail for functions that Dask cannot hash the same way twice.
    """

    __slots__ = ()

    def __dask_tokenize__(self) -> object:
        return self.key


class Shipped:
    """A pickled object that is unpickled once in each process that it reaches."""

    __slots__ = ("_loaded", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._loaded: Any = None

    def load(self, loads: Callable[[bytes], Any]) -> Any:
        """The object; the first call unpickles it."""
        if self._loaded is None:
            self._loaded = loads(self.data)
        return self._loaded

    def __reduce__(self) -> tuple[Any, ...]:
        return (Shipped, (self.data,))

    def __sizeof__(self) -> int:
        return 64 + len(self.data)


def program_task(key: str, data: bytes) -> dict[str, Task]:
    """The task that puts a program onto the cluster."""
    return {key: NamedTask(key, Shipped, data)}


def batch_tasks(
    key: str,
    run: Callable[..., Any],
    program_key: str,
    payload: bytes | str,
    dependencies: Sequence[str],
    output_keys: Sequence[str],
    *,
    anywhere: bool,
) -> dict[str, Task]:
    """The tasks of one batch: the batch itself, and one that picks each output column where there are several.

    Args:
        key: key of the batch.
        run: function of the worker, called with the program, the payload and the dependencies.
        program_key: key of the program.
        payload: the pickled batch, or the key under which it stands if it is large.
        dependencies: keys of the columns and objects it needs.
        output_keys: keys of its output columns.
        anywhere: whether it brings its own elements, so that it may run on any worker. Dask would else run it where
            the program lies, which is one worker at first, and move work only later.
    """
    told = TaskRef(payload) if isinstance(payload, str) else payload
    task = NamedTask(key, run, TaskRef(program_key), told, *map(TaskRef, dependencies), _data_producer=anywhere)
    picks = {} if output_keys == [key] else {
        name: NamedTask(name, pick, TaskRef(key), position) for position, name in enumerate(output_keys)
    }  # fmt: skip
    return {key: task, **picks}


def pick(columns: tuple[Any, ...], position: int) -> Any:
    """One of the output columns of a batch."""
    return columns[position]
