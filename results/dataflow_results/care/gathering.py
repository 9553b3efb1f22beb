"""What care of a store must know before it throws anything away: what lies there, and who needs it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import TYPE_CHECKING, Final

from dataflow_results.care.garbage_facts import Facts, Leftover, Protected, Reason, Rules
from dataflow_results.care.garbage_rows import tree_of
from dataflow_results.care.inventory import read_packs
from dataflow_results.care.pins import Pin, PinKind, list_pins
from dataflow_results.errors import CorruptResult, ResultMissing, ResultsError
from dataflow_results.files.protocol import Entry, Files
from dataflow_results.liveness.leases import SKEW_SECONDS, Record
from dataflow_results.liveness.processes import has_ended
from dataflow_results.liveness.runs import RUNS, RunPhase, RunRecord, RunRecords, run_name
from dataflow_results.packs.objects import OBJECTS, object_digest

if TYPE_CHECKING:
    from dataflow_results.store import ResultStore

__all__ = ["gather_facts", "objects_of"]

LEASES: Final = "leases"
SET_ASIDE: Final = "set-aside"
BEAT: Final = ".beat"


def gather_facts(store: ResultStore, rules: Rules, now: float, *, ended: Callable[[str], bool] = has_ended) -> Facts:
    """What lies in a store.

    Files are listed before packs are read: a file that is not in the list is newer than any pack, and is left alone.

    Args:
        store: the store.
        rules: say how long crashed runs are kept.
        now: seconds since the epoch.
        ended: whether a process, as `this_process` describes it, is known to have ended.

    Raises:
        CorruptResult: a pin cannot be read.
        StoreError: the store does not answer.
    """
    files = store.files
    objects = objects_of(files)
    leases = _Leases(files, now, ended)
    runs, strangers = _runs(files)
    crashed_after = now - rules.keep_unfinished_seconds
    unfinished = [run for run in runs if run.phase(now, ended) is not RunPhase.ENDED]
    needed = [run for run in unfinished if run.phase(now, ended) is RunPhase.RUNNING or run.beat_at >= crashed_after]
    kept = {run.run_id for run in needed} | {run for run, at in strangers.items() if at >= crashed_after}
    pins = list_pins(files)
    others = [
        *(_leftover(Reason.UNFINISHED, [entry]) for entry in files.leftovers()),
        *(_leftover(Reason.SET_ASIDE, [entry]) for entry in files.list(SET_ASIDE)),
        *leases.dead,
        *(_record(run) for run in runs if run.run_id not in kept),
    ]
    return Facts(
        packs=tuple(read_packs(files, store.signing_key)),
        objects=tuple(objects),
        others=tuple(others),
        protected=Protected(
            tasks=_targets(pins, PinKind.TASK),
            runs=kept | _targets(pins, PinKind.RUN),
            collections=frozenset(name for run in needed for name in run.collections),
            keys=_merged([*leases.live, *_pinned_keys(pins)]),
        ),
    )


def objects_of(files: Files) -> list[Leftover]:
    """All objects, and all folders that the store made for values, used or not."""
    found = [
        _leftover(Reason.OBJECT, [entry]) for entry in files.list(OBJECTS) if object_digest(entry.name) is not None
    ]
    for folder, entries in groupby(files.list("trees"), lambda entry: tree_of(entry.name)):
        if folder:
            found.append(_leftover(Reason.TREE, list(entries), folder))
    return found


def _leftover(reason: Reason, entries: Sequence[Entry], folder: str = "") -> Leftover:
    untold = not all(entry.modified_seconds for entry in entries)
    return Leftover(
        reason=reason,
        names=tuple(entry.name for entry in entries),
        folder=folder,
        size_bytes=sum(entry.size_bytes for entry in entries),
        modified_at=float("inf") if untold else max(entry.modified_seconds for entry in entries),
    )


def _record(run: RunRecord) -> Leftover:
    return Leftover(
        reason=Reason.RUN, names=(run_name(run.run_id),), size_bytes=len(run.pack()), modified_at=run.beat_at
    )


def _runs(files: Files) -> tuple[list[RunRecord], dict[str, float]]:
    """All runs; and of records that cannot be read the run's id, with when it was written."""
    runs = RunRecords(files, heart=None).all()
    known = {run_name(run.run_id) for run in runs}
    strangers = {
        entry.name.removeprefix(f"{RUNS}/").removesuffix(".json"): entry.modified_seconds or float("inf")
        for entry in files.list(RUNS)
        if entry.name not in known
    }
    return runs, strangers


def _targets(pins: Iterable[Pin], kind: PinKind) -> AbstractSet[str]:
    return {pin.target for pin in pins if pin.kind is kind}


def _pinned_keys(pins: Iterable[Pin]) -> Iterator[tuple[str, AbstractSet[bytes]]]:
    for target in _targets(pins, PinKind.RESULT):
        collection, _, key = target.rpartition("/")
        yield collection, {bytes.fromhex(key)}


def _merged(keys: Iterable[tuple[str, AbstractSet[bytes]]]) -> dict[str, set[bytes]]:
    found: dict[str, set[bytes]] = {}
    for collection, some in keys:
        found.setdefault(collection, set()).update(some)
    return found


class _Leases:
    """The claims on keys, as they stand.

    Attributes:
        live: collection and keys of each claim that may be alive.
        dead: the files of the others.
    """

    def __init__(self, files: Files, now: float, ended: Callable[[str], bool]) -> None:
        self.live: list[tuple[str, AbstractSet[bytes]]] = []
        self.dead: list[Leftover] = []
        entries = {entry.name: entry for entry in files.list(LEASES)}
        contents = dict(zip(entries, files.read_many([(name, 0, None) for name in entries]), strict=True))
        for name in entries:
            collection = name.removeprefix(f"{LEASES}/").rpartition("/")[0]
            claim = None if name.endswith(BEAT) else _claim(contents[name])
            if claim is None:
                continue
            if _until(claim, contents.get(f"{name}{BEAT}")) > now and not ended(claim.process):
                self.live.append((collection, claim.keys))
            else:
                pair = [entries[each] for each in (name, f"{name}{BEAT}") if each in entries]
                self.dead.append(_leftover(Reason.LEASE, pair))


def _claim(data: bytes | ResultsError) -> Record | None:
    """A claim; None if it was given up meanwhile, or is none of ours."""
    if isinstance(data, ResultMissing):
        return None
    if isinstance(data, ResultsError):
        raise data
    try:
        return Record.unpack(data)
    except CorruptResult:
        return None


def _until(claim: Record, beat: bytes | ResultsError | None) -> float:
    """Until when a claim lives at most, on our clock."""
    stamp = claim.taken_at
    if isinstance(beat, bytes):
        token, _, said = beat.decode("ascii", "replace").partition(" ")
        stamp = float(said) if token == claim.token else stamp
    return stamp + claim.lease_seconds + SKEW_SECONDS
