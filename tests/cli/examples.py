"""The store that the pages about the command line show: always the same, down to the last digit of a key."""

from __future__ import annotations

from dataclasses import replace

from dataflow_results.digests import digest
from dataflow_results.liveness.runs import RunRecord, run_name
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from tests.results.care.stores import DAY_SECONDS, NEW_YEAR, Task, save

LOAD = Task(name="load", parts={"steps.load": "5d0c41f2", "steps.read_csv": "90aa17e3"})
CHANGED = replace(LOAD, parts={"steps.load": "5d0c41f2", "steps.read_csv": "c2f64b08"})
MONTHS = ["2024-10", "2024-11", "2024-12"]


def fill(store: ResultStore) -> None:
    """Two runs of a flow, a model of two megabytes, and a value somebody put."""
    first = Provenance(
        task="load",
        flow="weather",
        run_id="tidy-otter-1",
        created_at=NEW_YEAR,
        attempt_seconds=3.4,
        writer="node-1:4711",
        python="3.12.1",
        version="0.1.0",
    )
    second = replace(first, run_id="calm-heron-2", created_at=NEW_YEAR + DAY_SECONDS, attempt_seconds=4.1)
    rows = [[float(month), 1.5] for month in range(10, 13)]
    LOAD.store(store, rows, first, columns={"month": MONTHS}, constants={"station": "Zugspitze"})
    CHANGED.store(store, rows, second, columns={"month": MONTHS}, constants={"station": "Zugspitze"})
    save(
        store,
        {"fit": bytes(2_000_000)},
        collection="fit-2b3c4d5e",
        at=NEW_YEAR + DAY_SECONDS + 60,
        flow="weather",
        run_id="calm-heron-2",
        node="fit",
        attempt_seconds=42.0,
    )
    for at in (NEW_YEAR, NEW_YEAR + 60):
        put_by_hand = Provenance(task="", created_at=at, writer="laptop:17")
        store.task("values").save(digest(b"name", b"stations"), [["Zugspitze"]], put_by_hand, names=["stations"])
    _runs(store)


def _runs(store: ResultStore) -> None:
    """A run that ended, and one that fell silent."""
    ended = RunRecord(
        run_id="tidy-otter-1",
        flow="weather",
        started_at=NEW_YEAR - 10,
        beat_at=NEW_YEAR + 50,
        ended_at=NEW_YEAR + 50,
        state="Completed",
    )
    crashed = RunRecord(
        run_id="calm-heron-2",
        flow="weather",
        started_at=NEW_YEAR + DAY_SECONDS - 10,
        beat_at=NEW_YEAR + DAY_SECONDS + 80,
    )
    for run in (ended, crashed):
        store.files.write(run_name(run.run_id), [run.pack()])
