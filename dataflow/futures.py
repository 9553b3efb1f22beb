"""Futures: what submitted work gives at once, to wait for it, to ask for its state, or to pass it on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from dataflow.engine.slots import leave_slot
from dataflow.errors import HandleError
from dataflow.graph.nodes import Node, Reference
from dataflow.states import State
from dataflow.tracebacks import folding
from dataflow.waiting import as_completed, wait

if TYPE_CHECKING:
    from dataflow.session import Run
    from dataflow_results.records import Provenance, ResultReference

__all__ = ["Future", "MappedFuture", "as_completed", "wait"]

R_co = TypeVar("R_co", covariant=True)


class Future(Reference, Generic[R_co]):
    """The result of one submitted call (or of one element of a map) that may not have ended.

    Pass it to other tasks instead of its value: they wait for it on the cluster, and the value does not travel over
    the client. While a future exists its value is kept.

    Example:
        >>> from dataflow import flow, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @flow(cluster="inline")
        ... def quadruple(x: int) -> int:
        ...     return double.submit(double.submit(x)).result()
        >>> quadruple(3)
        12
    """

    __slots__ = ("__weakref__", "run")

    def __init__(self, run: Run, node: Node, index: int | range | None = None) -> None:
        super().__init__(node, index)
        self.run = run
        run.hold(node)

    def __del__(self) -> None:
        run = getattr(self, "run", None)
        if run is not None:
            run.drop(self.node)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.slug} {self.state_name()}>"

    @property
    def slug(self) -> str:
        """Name of the node, with the index for an element."""
        return self.node.slug if self.index is None else f"{self.node.slug}[{self.index}]"

    def state_name(self) -> str:
        """Name of the state now, without counting as having looked at it."""
        return "ended" if self.done() else "not ended"

    @property
    def state(self) -> State[R_co]:
        """The state now; while it is in use, so is this future, and its value stays."""
        state = self.run.state(self.node, self._element())
        return state if state.load is None else replace(state, load=self.result)

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.run.done(self.node, self._element())

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, well or not, or until the timeout (seconds) has passed; see `done`."""
        self.run.wait(self.node, self._element(), timeout)
        self.run.look(self.node)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R_co:
        """The value; waits for it.

        Args:
            timeout: seconds to wait at most.
            raise_on_failure: if False, the exception of failed work is given back instead of raised.

        Raises:
            NotFinished: it has not ended within the timeout.
            UpstreamFailed: an input failed; the root cause is its ``__cause__``.
            Exception: the exception of the task itself.
        """
        __tracebackhide__ = True
        with folding():
            return self.run.value(  # type: ignore[no-any-return]
                self.node, self.index, timeout, raise_on_failure=raise_on_failure
            )

    def reference(self) -> ResultReference | None:
        """Where the result is kept, for another process to load it; None if it is not kept. Waits for it.

        ``str(reference)`` can be written down, and `dataflow.results.load` takes it back.

        Raises:
            UsageError: this is a whole map; ask one of its elements.
        """
        return self.run.reference(self.node, self._element())

    def record(self) -> Provenance | None:
        """What is known of the kept result: when, by which run and node it was made. None if it is not kept.

        Example:
            >>> from dataflow import flow, task
            >>> from dataflow.cache_policies import INPUTS
            >>> @task(cache_policy=INPUTS)
            ... def double(x: int) -> int:
            ...     return 2 * x
            >>> @flow(cluster="inline", result_storage="memory://records")
            ... def main():
            ...     future = double.submit(4)
            ...     return future.result(), future.state.name, future.record().node
            >>> main(), main()
            ((8, 'Completed', 'double'), (8, 'Cached', 'double'))
        """
        return self.run.record(self.node, self._element())

    def __await__(self) -> Generator[Any, None, R_co]:
        """``await future`` gives the value without blocking the event loop."""
        __tracebackhide__ = True
        leave_slot()
        with folding():
            return (yield from asyncio.to_thread(self.result).__await__())

    def __bool__(self) -> bool:
        raise HandleError("a future has no truth value", where=self.slug, fix="write future.result(), or future.done()")

    def __len__(self) -> int:
        raise HandleError("a future has no length", where=self.slug, fix="write len(future.result())")

    def __iter__(self) -> Iterator[Any]:
        fix = "write future.result(), or pass it to task.map(...), which iterates it on the cluster"
        raise HandleError("a future cannot be iterated", where=self.slug, fix=fix)

    def __reduce__(self) -> Any:
        raise HandleError(
            "a future cannot be pickled", where=self.slug, fix="pass it as an argument of a task, or pass its .result()"
        )

    def _element(self) -> int | None:
        return self.index if isinstance(self.index, int) else None


class MappedFuture(Future[list[R_co]], Generic[R_co]):
    """The results of a map: has a length, iterates, slices, and gives one element without fetching the others.

    Example:
        >>> from dataflow import flow, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> @flow(cluster="inline")
        ... def doubled():
        ...     numbers = double.map(range(5))
        ...     return len(numbers), numbers[1].result(), numbers[2:].result(), numbers.result()
        >>> doubled()
        (5, 2, [4, 6, 8], [0, 2, 4, 6, 8])
    """

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._indices())

    def _indices(self) -> range:
        return self.index if isinstance(self.index, range) else range(self.run.length(self.node))

    def __iter__(self) -> Iterator[Future[R_co]]:
        return (Future(self.run, self.node, index) for index in self._indices())

    @overload
    def __getitem__(self, index: int) -> Future[R_co]: ...
    @overload
    def __getitem__(self, index: slice) -> MappedFuture[R_co]: ...
    def __getitem__(self, index: int | slice) -> Future[R_co] | MappedFuture[R_co]:
        found = self._indices()[index]
        kind: Any = MappedFuture if isinstance(found, range) else Future
        return kind(self.run, self.node, found)  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        return len(self) > 0

    def in_order_of_ending(self, timeout: float | None = None) -> Iterator[Future[R_co]]:
        """The elements as they end, without knowing how many there will be; see `as_completed`."""
        wanted = self.index
        for index in self.run.completed_indices(self.node, timeout):
            if not isinstance(wanted, range) or index in wanted:
                yield Future(self.run, self.node, index)

    def done_count(self) -> int:
        """How many elements of the map have ended."""
        return self.run.done_count(self.node)
