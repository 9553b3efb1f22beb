"""Recording: whether and where the history of a run is kept, and what the run tells it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dataflow.database.writer import Writer, writer_of
from dataflow.recording.descriptions import Description
from dataflow.recording.places import history_url, origin
from dataflow.recording.recorder import Recorder
from dataflow.settings import settings
from dataflow.states import Cancelled, State

if TYPE_CHECKING:
    from dataflow.database.rows import RunRow
    from dataflow.engine.notices import PlacedNotice
    from dataflow.session import Run

__all__ = ["Recording"]

INTERRUPTED = "it was interrupted before it ended"


class Recording:
    """What one execution of a run tells its history; where that is off, nothing.

    Args:
        run: the run.
        description: what its door says of it.
        cluster: name or address of where it runs.
        is_again: whether there was an execution of it before.
    """

    def __init__(self, run: Run, description: Description, *, cluster: str, is_again: bool) -> None:
        self._writer: Writer | None = None
        self._recorder: Recorder | None = None
        self._waits_seconds = settings().history_finish_seconds if description.door != "task" else 0.0
        url = history_url()
        if url is None:
            return
        self._writer = writer_of(url, keep_days=settings().history_keep_days, keep_runs=settings().history_keep_runs)
        earlier: Callable[[], RunRow | None] | None = partial(_row_of, url, run.id) if is_again else None
        self._recorder = Recorder(run, description, cluster=cluster, parent=origin(), earlier=earlier)
        self._writer.follow(self._recorder)

    def tell(self, state: State[Any]) -> None:
        """The run has come into a state."""
        if self._recorder is not None:
            self._recorder.tell(state)

    def hear(self, notices: Sequence[PlacedNotice]) -> None:
        """Elements, or the body of the flow, said something."""
        if self._recorder is not None:
            self._recorder.hear(notices)

    def settle(self) -> None:
        """If the run has come to its final state, nothing more is told of it: as `finish`."""
        if self._recorder is not None and self._recorder.has_ended:
            self.finish()

    def finish(self) -> None:
        """This execution has ended; waits a moment until that is written."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None and self._writer is not None:
            recorder.end(Cancelled(message=INTERRUPTED))
            self._writer.finish(recorder, self._waits_seconds)


def _row_of(url: str, run_id: str) -> RunRow | None:
    # Loaded in the writer's thread: the libraries of databases take longer to load than a small flow to run.
    reader = importlib.import_module("dataflow.database.reader")
    row: RunRow | None = reader.Reader(url).run(run_id)
    return row
