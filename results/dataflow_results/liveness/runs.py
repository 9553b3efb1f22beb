"""Records of runs in a store: which run is under way, which crashed and may be resumed, which has ended.

A record is one small file. While the run lives it is written anew every half minute; a record that nobody has written
for longer, and that does not say how the run ended, is that of a run that crashed. Care of the store asks these records
what it must not touch, so a run begins its record before it looks anything up.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Final

from dataflow_results.errors import CorruptResult, ResultMissing, StoreUrlError, UnknownFormat
from dataflow_results.files.protocol import Files
from dataflow_results.liveness.heartbeat import HEART, Heart
from dataflow_results.liveness.leases import SKEW_SECONDS
from dataflow_results.liveness.processes import has_ended, this_process

__all__ = ["BEAT_SECONDS", "RUNS", "RunPhase", "RunRecord", "RunRecords", "run_name"]

RUNS: Final = "runs"
"""Folder of all records."""
BEAT_SECONDS: Final = 30.0
"""How often the record of a living run is written."""
SILENT_BEATS: Final = 4
"""So many beats may fail before a run is taken for dead."""
RUN_FORMAT: Final = 1
RUN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
SUFFIX: Final = ".json"


class RunPhase(StrEnum):
    """Where a run stands, as far as its record tells."""

    RUNNING = "running"
    CRASHED = "crashed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a store knows of one run."""

    run_id: str
    flow: str = ""
    parameters_digest: str = ""
    """In hex; tells whether two runs were given equal parameters."""
    started_at: float
    """Seconds since the epoch, as all times here, on the clock of the run."""
    beat_at: float
    """Last sign of life."""
    ended_at: float | None = None
    state: str = ""
    """How the run ended, for example ``Completed``; empty until then."""
    resumes: str = ""
    """Id of the run whose work this one takes up; empty if it began anew."""
    collections: tuple[str, ...] = ()
    """Groups of results the run uses, its own and those it finds; care of the store leaves them alone meanwhile."""
    process: str = ""
    """See `dataflow_results.liveness.processes.this_process`."""

    def phase(self, now: float, ended: Callable[[str], bool] = has_ended) -> RunPhase:
        """Where the run stands.

        Args:
            now: seconds since the epoch.
            ended: whether a process is known to have ended.

        Example:
            >>> record = RunRecord(run_id="r", started_at=0.0, beat_at=60.0)
            >>> record.phase(90.0).value, record.phase(3600.0).value
            ('running', 'crashed')
        """
        if self.ended_at is not None:
            return RunPhase.ENDED
        silent = now - self.beat_at > SILENT_BEATS * BEAT_SECONDS + SKEW_SECONDS
        dead = silent or (self.process != "" and ended(self.process))
        return RunPhase.CRASHED if dead else RunPhase.RUNNING

    def pack(self) -> bytes:
        """The content of the file."""
        return json.dumps({"format": RUN_FORMAT, **asdict(self)}, indent=1).encode()

    @classmethod
    def unpack(cls, data: bytes, *, where: str = "") -> RunRecord:
        """What `pack` packed; fields that a newer version added are left out.

        Raises:
            CorruptResult: it is something else.
            UnknownFormat: a newer version wrote it.
        """
        try:
            said = json.loads(data)
            version = said["format"]
            known = {item.name: said[item.name] for item in fields(cls) if item.name in said}
            if version <= RUN_FORMAT:
                return cls(**{**known, "collections": tuple(known.get("collections", ()))})
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptResult("this is no record of a run", where=where) from error
        raise UnknownFormat(f"the record has format {version}", where=where, fix="upgrade dask-dataflow")


def run_name(run_id: str) -> str:
    """File of the record of a run.

    Raises:
        StoreUrlError: the id cannot be the name of a file.

    Example:
        >>> run_name("2026-load")
        'runs/2026-load.json'
    """
    if not RUN_ID.fullmatch(run_id):
        fix = "letters, digits, '_', '-' and '.', up to 200 of them"
        raise StoreUrlError("this is no id for a run", where=repr(run_id), fix=fix)
    return f"{RUNS}/{run_id}{SUFFIX}"


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Living:
    """A run of this process: keeps its record fresh."""

    files: Files
    clock: Callable[[], float]
    record: RunRecord
    lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self) -> None:
        """Write the record anew."""
        self.change(lambda record: record)

    def change(self, changed: Callable[[RunRecord], RunRecord]) -> RunRecord:
        """Write the record with changes; a run that has ended stays as it is."""
        with self.lock:  # a beat that is on its way must not overwrite the end
            if self.record.ended_at is None:
                self.record = replace(changed(self.record), beat_at=self.clock())
                self.files.write(run_name(self.record.run_id), [self.record.pack()])
            return self.record


class RunRecords:
    """The records of runs in one store.

    Args:
        files: the files of the store.
        clock: seconds since the epoch.
        heart: keeps the runs of this process alive from a thread of its own; None: whoever began a run calls `beat`.
        ended: whether a process, as `this_process` describes it, is known to have ended.

    Example:
        >>> from dataflow_results.files import open_files
        >>> runs = RunRecords(open_files("memory://runs-example"), clock=lambda: 100.0, heart=None)
        >>> record = runs.begin("run-1", flow="etl")
        >>> [run.run_id for run in runs.unfinished(now=120.0)]
        ['run-1']
        >>> runs.end("run-1", "Completed").state, runs.unfinished(now=120.0)
        ('Completed', [])
    """

    def __init__(
        self,
        files: Files,
        clock: Callable[[], float] = time.time,
        *,
        heart: Heart | None = HEART,
        ended: Callable[[str], bool] = has_ended,
    ) -> None:
        self.files = files
        self.clock = clock
        self.heart = heart
        self.ended = ended
        self._living: dict[str, _Living] = {}

    def begin(
        self,
        run_id: str,
        *,
        flow: str = "",
        parameters_digest: str = "",
        resumes: str = "",
        collections: Iterable[str] = (),
    ) -> RunRecord:
        """Say that a run begins, or goes on.

        Args:
            run_id: letters, digits, ``_``, ``-`` and ``.``.
            flow: name of the flow.
            parameters_digest: in hex.
            resumes: id of the run whose work it takes up.
            collections: groups of results it will use, as far as they are known; see `uses`.

        Raises:
            StoreUrlError: the id cannot be the name of a file.
            StoreError: the store is in trouble.
        """
        now = self.clock()
        record = RunRecord(
            run_id=run_id,
            flow=flow,
            parameters_digest=parameters_digest,
            started_at=now,
            beat_at=now,
            resumes=resumes,
            collections=tuple(sorted(set(collections))),
            process=this_process(),
        )
        living = _Living(self.files, self.clock, record)
        living.beat()
        self._living[run_id] = living
        if self.heart is not None:
            self.heart.watch(living, BEAT_SECONDS)
        return record

    def beat(self, run_id: str) -> None:
        """Say that a run of this process lives; the heart does it by itself.

        Raises:
            KeyError: the run was not begun here.
            StoreError: the store is in trouble.
        """
        self._living[run_id].beat()

    def uses(self, run_id: str, collections: Iterable[str]) -> RunRecord:
        """Say that a run of this process also uses these groups of results; written only if that is news.

        Raises:
            KeyError: the run was not begun here.
            StoreError: the store is in trouble.
        """
        living = self._living[run_id]
        more = set(collections) - set(living.record.collections)
        if not more:
            return living.record
        return living.change(lambda old: replace(old, collections=tuple(sorted({*old.collections, *more}))))

    def end(self, run_id: str, state: str) -> RunRecord:
        """Say how a run ended.

        Args:
            run_id: a run of this process, or of one that died.
            state: for example ``Completed``.

        Raises:
            ResultMissing: there is no such run.
            StoreError: the store is in trouble.
        """
        living = self._living.pop(run_id, None) or _Living(self.files, self.clock, self.get(run_id))
        if self.heart is not None:
            self.heart.forget(living)
        return living.change(lambda old: replace(old, state=state, ended_at=self.clock()))

    def get(self, run_id: str) -> RunRecord:
        """The record of a run.

        Raises:
            ResultMissing: there is none.
            CorruptResult: it cannot be read.
            StoreError: the store does not answer.
        """
        name = run_name(run_id)
        return RunRecord.unpack(self.files.read(name), where=f"{self.files.url}/{name}")

    def all(self) -> list[RunRecord]:
        """All records that can be read, the oldest run first.

        Raises:
            StoreError: the store does not answer.
        """
        names = [entry.name for entry in self.files.list(RUNS) if entry.name.endswith(SUFFIX)]
        return sorted(self._read(names), key=lambda record: (record.started_at, record.run_id))

    def _read(self, names: Sequence[str]) -> Iterable[RunRecord]:
        for name, data in zip(names, self.files.read_many([(name, 0, None) for name in names]), strict=True):
            if isinstance(data, bytes):
                try:
                    yield RunRecord.unpack(data, where=name)
                except (CorruptResult, UnknownFormat):
                    continue  # not ours to understand; it stays where it is
            elif not isinstance(data, ResultMissing):
                raise data

    def unfinished(self, now: float | None = None) -> list[RunRecord]:
        """Runs that are under way, and such that crashed, the oldest first; `RunRecord.phase` tells which.

        Args:
            now: seconds since the epoch; None asks the clock.
        """
        at = self.clock() if now is None else now
        return [record for record in self.all() if record.phase(at, self.ended) is not RunPhase.ENDED]
