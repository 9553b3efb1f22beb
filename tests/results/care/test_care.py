"""Collection on real stores: what goes is gone, what stays is readable, and nobody else is disturbed."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_results.care.collecting import Collected, collect
from dataflow_results.care.garbage_facts import Reason, Rules
from dataflow_results.care.gathering import gather_facts
from dataflow_results.care.inventory import ReadOnlyFiles
from dataflow_results.care.pins import Pin, PinKind, add_pin, list_pins, remove_pin
from dataflow_results.care.verify import verify
from dataflow_results.errors import CorruptResult, ResultMissing, StoreDenied
from dataflow_results.liveness.leases import Claims
from dataflow_results.liveness.runs import RunRecords
from dataflow_results.packs.compaction import MANY_PACKS
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from tests.results.care.stores import DAY_SECONDS, key_of, load, save
from tests.results.servers import Place, on

LOAD = "load-0a1b2c3d"
EVERYTHING = Rules(max_age_seconds=0.0, grace_seconds=-60.0, leftover_seconds=-60.0, run_seconds=-60.0)
"""All that is not protected, as if an hour had passed."""


def counts(report: Collected) -> dict[str, int]:
    """How many went, by why."""
    return {reason.value: amount.count for reason, amount in report.amounts.items()}


def names(store: ResultStore) -> list[str]:
    """All files of a store."""
    return [entry.name for entry in store.files.list()]


@on("local", "memory", "moto")
def test_what_goes_is_gone_and_the_rest_is_readable(place: Place) -> None:
    """Replaced and expired rows leave their packs, unused objects go, and all others are given as before."""
    store = ResultStore(place.url, storage_options=place.storage_options, inline_bytes=1_000)
    now = time.time()
    save(store, {"a": 1, "b": "old", "c": b"x" * 5_000}, at=now - 30)
    save(store, {"b": "new", "d": 4}, at=now - 20, expires_at=now + 500)
    save(store, {"c": b"y" * 6_000}, at=now - 10)
    before = names(store)
    dry = collect(store, Rules(grace_seconds=-60.0), now=now)
    assert names(store) == before
    done = collect(store, Rules(grace_seconds=-60.0), dry_run=False, now=now)
    assert counts(done) == counts(dry) == {"replaced": 2, "unused objects": 1}
    other = ResultStore(place.url, storage_options=place.storage_options)
    for each in (store, other):  # one that knew the old packs, and one that sees the store for the first time
        assert load(each, ["a", "b", "c", "d"], now=now) == [1, "new", b"y" * 6_000, 4]
    assert len(store.files.list("objects")) == 1
    assert verify(store).ok
    assert counts(collect(store, Rules(grace_seconds=-60.0), now=now)) == {}


def test_an_old_value_never_comes_back(tmp_path: Path) -> None:
    """When a value that replaced another one expires, both go, and a reader in between never meets the old one.

    The old value lies in a merged pack, which is newer than the one with the new value.
    """
    store = ResultStore(tmp_path)
    large = {f"{number}": bytes(1_000_000) for number in range(5)}
    save(store, {"a": "old", "b": 1}, at=1.0)
    save(store, {"a": "new", **large}, at=2.0, expires_at=5.0)
    for number in range(MANY_PACKS):
        save(store, {f"small {number}": number}, at=3.0)
    new, merged = sorted(tmp_path.glob("tasks/*/packs/*"))
    assert new.stat().st_size > 5_000_000 > merged.stat().st_size
    seen = []

    class Watched(ReadOnlyFiles):
        """Looks at the key after each change."""

        def write(self, name: str, parts: object) -> None:
            self.inner.write(name, parts)  # type: ignore[arg-type]
            seen.append(load(ResultStore(tmp_path), ["a"], now=10.0)[0])

        def remove(self, names: object) -> None:
            self.inner.remove(names)  # type: ignore[arg-type]
            seen.append(load(ResultStore(tmp_path), ["a"], now=10.0)[0])

        def create(self, name: str, data: bytes) -> bool:
            return self.inner.create(name, data)

        def creates_safely(self) -> bool:
            return True

    report = collect(ResultStore(Watched(store.files)), dry_run=False, now=10.0)
    assert counts(report) == {"replaced": 1, "expired": 6}
    assert len(seen) >= 3
    assert {type(value) for value in seen} == {ResultMissing}
    assert load(ResultStore(tmp_path), ["b"], now=10.0) == [1]


def test_deletions_do_not_bring_back_what_they_deleted(tmp_path: Path) -> None:
    """An old deletion goes together with what it deletes, and the key stays missing."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1, "b": 2}, at=1.0)
    store.task(LOAD).delete(key_of("a"))
    report = collect(store, dry_run=False, now=time.time() + 2 * DAY_SECONDS)
    assert counts(report) == {"replaced": 1, "deleted": 1}
    (missing, other) = load(ResultStore(tmp_path), ["a", "b"])
    assert (type(missing), other) == (ResultMissing, 2)


def test_objects_wait_for_their_grace(tmp_path: Path) -> None:
    """An object that was just written stays although no pack names it: the pack may be on its way."""
    store = ResultStore(tmp_path, inline_bytes=1_000)
    save(store, {"a": b"x" * 5_000}, at=1.0)
    (pack,) = tmp_path.glob("tasks/*/packs/*")
    pack.unlink()
    assert counts(collect(store, dry_run=False)) == {}
    assert counts(collect(store, dry_run=False, now=time.time() + 3_700)) == {"unused objects": 1}
    assert names(store) == ["format.json"]


def test_folders_go_whole(tmp_path: Path) -> None:
    """A value that is a folder is collected with all of its files, and a used one stays."""
    pytest.importorskip("zarr")
    store = ResultStore(tmp_path)
    for key, number in (("a", 1.0), ("b", 2.0)):
        said = Provenance(task="load", created_at=1.0 if key == "a" else 50.0)
        store.task(LOAD).save(key_of(key), [np.full(1_000, number)], said, serializer="zarr")
    later = time.time() + 4_000
    report = collect(store, Rules(max_age_seconds=later - 40.0), dry_run=False, now=later)
    assert counts(report) == {"old": 1, "unused folders": 1}
    assert len(list((tmp_path / "trees").iterdir())) == 1
    assert load(ResultStore(tmp_path), ["b"])[0].tolist() == [2.0] * 1_000


def test_pins_keep(tmp_path: Path) -> None:
    """Pinned by task, run or result: stays until the pin is removed."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0, run_id="r1")
    save(store, {"b": 1}, at=1.0, run_id="r2")
    save(store, {"c": 1}, at=1.0, collection="clean-00000000")
    pins = [
        Pin(kind=PinKind.RUN, target="r1", reason="paper"),
        Pin(kind=PinKind.RESULT, target=f"{LOAD}/{key_of('b').hex()}"),
        Pin(kind=PinKind.TASK, target="clean"),
    ]
    for pin in pins:
        add_pin(store.files, pin)
    report = collect(store, EVERYTHING, dry_run=False)
    assert (counts(report), report.kept.count) == ({}, 3)
    assert {pin.target for pin in list_pins(store.files)} == {pin.target for pin in pins}
    for pin in pins:
        remove_pin(store.files, pin)
    assert counts(collect(store, EVERYTHING, dry_run=False)) == {"old": 3}


def test_a_pin_that_cannot_be_read_stops_everything(tmp_path: Path) -> None:
    """Nobody knows what it keeps, so nothing goes."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0)
    store.files.write("pins/run-1.json", [b"?"])
    with pytest.raises(CorruptResult, match="nobody knows what it keeps"):
        collect(store, EVERYTHING, dry_run=False)
    assert load(store, ["a"]) == [1]


def test_unfinished_runs_keep_what_they_need(tmp_path: Path) -> None:
    """A living run keeps all it uses, a crashed one its own results for two weeks, an ended one nothing."""
    store = ResultStore(tmp_path)
    now = time.time()
    for run in ("living", "crashed", "forgotten", "ended", "unreadable"):
        save(store, {run: 1}, at=1.0, run_id=run)
    save(store, {"found": 1}, at=1.0, collection="clean-00000000", run_id="earlier")

    def begin(run_id: str, days_ago: float, **said: object) -> None:
        RunRecords(store.files, lambda: now - days_ago * DAY_SECONDS, heart=None).begin(run_id, **said)  # type: ignore[arg-type]

    begin("living", 0, collections=["clean-00000000"])
    begin("crashed", 13)
    begin("forgotten", 15)
    begin("ended", 1)
    RunRecords(store.files, heart=None).end("ended", "Completed")
    store.files.write("runs/unreadable.json", [b'{"format": 99}'])
    report = collect(store, Rules(max_age_seconds=0.0), dry_run=False, now=now)
    assert (counts(report), report.kept.count) == ({"old": 2}, 4)
    left = ResultStore(tmp_path)
    kept = [type(value) is int for value in load(left, ["living", "crashed", "unreadable", "forgotten", "ended"])]
    assert kept == [True, True, True, False, False]
    assert load(left, ["found"], collection="clean-00000000") == [1]


def test_live_leases_keep_their_keys_and_dead_ones_go(tmp_path: Path) -> None:
    """Results under a live lease stay; a lease that ran out long ago is removed with its heartbeat."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1, "b": 1}, at=1.0)
    dead = Claims(store.files, LOAD, clock=lambda: time.time() - 2 * DAY_SECONDS, heart=None)
    dead.take([key_of("b")], "long ago").beat()
    claim = Claims(store.files, LOAD, heart=None, ended=lambda process: False).take([key_of("a")], "run 1")
    assert len(store.files.list("leases")) == 1, "taking a lease sweeps the dead ones"
    dead.take([key_of("b")], "long ago").beat()
    for name in names(store):
        if name.startswith("leases/"):
            os.utime(tmp_path / name, (1.0, 1.0))
    report = collect(store, Rules(max_age_seconds=0.0), dry_run=False)
    assert (counts(report), report.kept.count) == ({"old": 1, "dead leases": 1}, 1)
    assert [type(value) for value in load(ResultStore(tmp_path), ["a", "b"])] == [int, ResultMissing]
    claim.release()
    assert not store.files.list("leases")


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path: Path) -> None:
    """Unfinished files and what was set aside go when they are old, and not before."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0)
    partial = tmp_path / "tasks" / LOAD / "packs" / ".partial-0-1-abc"
    partial.write_bytes(b"half")
    store.files.write("set-aside/load/1.pack", [b"?"])
    assert counts(collect(store)) == {}
    after_a_day, after_a_month = time.time() + 1.1 * DAY_SECONDS, time.time() + 31 * DAY_SECONDS
    assert counts(collect(store, now=after_a_day)) == {"unfinished writes": 1}
    assert counts(collect(store, dry_run=False, now=after_a_month)) == {"unfinished writes": 1, "set aside": 1}
    assert not partial.exists()
    assert load(store, ["a"]) == [1]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """Looking and deciding work where nothing may be written."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0)
    frozen = ResultStore(ReadOnlyFiles(store.files))
    assert counts(collect(frozen, EVERYTHING)) == {"old": 1}
    with pytest.raises(StoreDenied):
        collect(frozen, EVERYTHING, dry_run=False)


def test_signed_packs_stay_signed(tmp_path: Path) -> None:
    """With the key, a pack that lost rows is signed again; without it, it is left as it is and the report says so."""
    store = ResultStore(tmp_path, signing_key="secret")
    save(store, {"a": 1, "b": 1}, at=1.0)
    save(store, {"a": 2}, at=2.0)
    keyless = ResultStore(tmp_path, signing_key="")
    report = collect(keyless, dry_run=False)
    assert "the pack is signed" in report.notes[0]
    assert load(ResultStore(tmp_path, signing_key="secret"), ["a", "b"]) == [2, 1]
    assert collect(store, dry_run=False).notes == ()
    assert counts(collect(store)) == {}
    assert load(ResultStore(tmp_path, signing_key="secret"), ["a", "b"]) == [2, 1]


@pytest.mark.filterwarnings("ignore:.*the pack is not signed")
def test_packs_of_strangers_are_not_ours_to_judge(tmp_path: Path) -> None:
    """An unsigned pack replaces nothing of ours, is not removed, and what it refers to stays."""
    store = ResultStore(tmp_path, signing_key="secret")
    save(store, {"a": "ours"}, at=1.0)
    save(ResultStore(tmp_path, signing_key="", inline_bytes=1_000), {"a": b"z" * 5_000}, at=2.0)
    later = time.time() + 4_000
    assert counts(collect(store, dry_run=False, now=later)) == {}
    assert load(ResultStore(tmp_path, signing_key="secret"), ["a"]) == ["ours"]
    assert len(store.files.list("objects")) == 1


def test_a_pack_left_behind_by_a_crash_goes_before_its_merged_one(tmp_path: Path) -> None:
    """A merged pack and a source that a crash left: the source goes first, so its rows do not come back."""
    store = ResultStore(tmp_path)
    for number in range(MANY_PACKS + 1):
        save(store, {"a": number, f"{number}": number}, at=float(number))
        if number == 0:
            (source,) = tmp_path.glob("tasks/*/packs/*")
            content = source.read_bytes()
    (merged,) = tmp_path.glob("tasks/*/packs/*")
    source.write_bytes(content)
    report = collect(store, EVERYTHING, dry_run=False)
    assert counts(report) == {"old": MANY_PACKS + 2, "merged packs": 1}
    assert not merged.exists()
    assert not source.exists()
    assert type(load(ResultStore(tmp_path), ["a"])[0]) is ResultMissing


def test_what_replaces_others_stays_while_packs_are_being_merged(tmp_path: Path) -> None:
    """Somebody who merges may have read an old row already: what replaced it stays until the next collection."""
    store = ResultStore(tmp_path)
    save(store, {"a": "old"}, at=1.0)
    save(store, {"a": "new"}, at=2.0, expires_at=5.0)
    merging = f"tasks/{LOAD}/merging"
    store.files.write(merging, [b'{"at": 9.0, "by": "somebody"}'])
    collect(store, dry_run=False, now=10.0)
    assert counts(collect(store, now=10.0)) == {"expired": 1}, "it stayed"
    assert store.files.exists(merging)
    collect(store, dry_run=False, now=1_000.0)
    assert counts(collect(store, now=10.0)) == {}, "who merged has died"


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 99), min_size=1, max_size=4),
            st.sampled_from([None, 50.0, 150.0]),
        ),
        max_size=8,
    ),
    st.sampled_from([None, 0.0, 3.5, 6.5]),
    st.sampled_from([None, 0, 1_000, 2_500]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_given_is_what_was_in_force(
    batches: list[tuple[dict[str, int], float | None]], age: float | None, limit: int | None
) -> None:
    """Whatever goes: each key gives its newest value or nothing, never an older one; without rules nothing is lost."""
    store = ResultStore(f"memory://care-laws/{random.getrandbits(64):x}")
    newest: dict[str, tuple[int, float | None]] = {}
    for number, (values, expires_at) in enumerate(batches):
        save(store, values, at=float(number), expires_at=expires_at)
        newest.update({name: (value, expires_at) for name, value in values.items()})
    now = 100.0
    rules = Rules(max_age_seconds=None if age is None else now - age, max_bytes=limit)
    collect(store, rules, dry_run=False, now=now)
    keys = sorted(newest)
    for name, found in zip(keys, load(ResultStore(store.url), keys, now=now), strict=True):
        value, expires_at = newest[name]
        living = expires_at is None or expires_at > now
        assert found == value if isinstance(found, int) else (age is not None or limit is not None or not living)
    assert verify(store).ok
    if limit is None:  # what a trimmed pack takes is known only when it is written
        assert counts(collect(store, rules, now=now)) == {}


def test_collection_beside_writers_loses_nothing(tmp_path: Path) -> None:
    """While small and large values are stored, replaced and merged, collection runs again and again: all are there."""
    batches, rows = 60, 5
    stop = threading.Event()
    reports: list[Collected] = []

    def collecting() -> None:
        collector = ResultStore(tmp_path)
        while not stop.is_set():
            reports.append(collect(collector, dry_run=False))

    def value(batch: int, row: int, version: int) -> bytes:
        return f"{batch} {row} {version}".encode() * (400 if row == 0 else 1)

    def writing(writer: int) -> None:
        store = ResultStore(tmp_path, inline_bytes=1_000)
        for batch in range(writer, batches, 2):
            for version in (1, 2):  # the second replaces the first, so that there is something to collect
                save(store, {f"{batch} {row}": value(batch, row, version) for row in range(rows)}, at=time.time())

    threads = [threading.Thread(target=collecting), *(threading.Thread(target=writing, args=(n,)) for n in (0, 1))]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    stop.set()
    threads[0].join()
    assert sum(report.amounts[Reason.REPLACED].count for report in reports if report.amounts) > 0
    wanted = {f"{batch} {row}": value(batch, row, 2) for batch in range(batches) for row in range(rows)}
    assert load(ResultStore(tmp_path), list(wanted), now=time.time()) == list(wanted.values())
    assert verify(ResultStore(tmp_path)).problems == ()


def test_an_object_that_is_used_again_meanwhile_stays(tmp_path: Path) -> None:
    """A writer that finds an unused object and names it in a pack, after collection has looked, keeps it."""
    store = ResultStore(tmp_path, inline_bytes=1_000)
    save(store, {"a": b"x" * 5_000}, at=1.0)
    later = time.time() + 4_000

    class Late(ReadOnlyFiles):
        """Lets a writer come in as soon as the first pack is removed."""

        def creates_safely(self) -> bool:
            return False

        def remove(self, names: object) -> None:
            self.inner.remove(names)  # type: ignore[arg-type]
            if any(name.endswith(".pack") for name in names):  # type: ignore[attr-defined]
                save(ResultStore(tmp_path, inline_bytes=1_000), {"b": b"x" * 5_000}, at=later)

    collect(ResultStore(Late(store.files)), Rules(max_age_seconds=10.0), dry_run=False, now=later)
    assert load(ResultStore(tmp_path), ["b"], now=later) == [b"x" * 5_000]


def test_facts_know_all_that_protects(tmp_path: Path) -> None:
    """Pins of results and leases of one collection are put together."""
    store = ResultStore(tmp_path)
    save(store, {"a": 1}, at=1.0)
    add_pin(store.files, Pin(kind=PinKind.RESULT, target=f"{LOAD}/{key_of('a').hex()}"))
    claim = Claims(store.files, LOAD, heart=None).take([key_of("b")], "run 1")
    protected = gather_facts(store, Rules(), time.time()).protected
    assert protected.keys == {LOAD: {key_of("a"), key_of("b")}}
    claim.release()
