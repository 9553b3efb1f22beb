"""Records of runs: begun, kept alive, ended, and told apart by who can still finish them."""

from __future__ import annotations

import pytest

from dataflow_results.errors import CorruptResult, ResultMissing, StoreUrlError, UnknownFormat
from dataflow_results.files import open_files
from dataflow_results.files.protocol import Files
from dataflow_results.liveness.heartbeat import Heart
from dataflow_results.liveness.processes import this_process
from dataflow_results.liveness.runs import BEAT_SECONDS, RunPhase, RunRecord, RunRecords, run_name
from tests.results.servers import Place


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files(memory: Place) -> Files:
    return open_files(memory.url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(files: Files, clock: Clock) -> RunRecords:
    return RunRecords(files, clock, heart=None)


def test_a_run_is_running_until_it_ends(runs: RunRecords, clock: Clock) -> None:
    """Begin, beat and end leave one record that another process reads as it was written."""
    runs.begin("run-1", flow="etl", parameters_digest="ab", collections=["load-1"])
    clock.now += 60
    runs.beat("run-1")
    seen = RunRecords(runs.files, clock, heart=None).get("run-1")
    assert (seen.flow, seen.started_at, seen.beat_at, seen.phase(clock.now)) == ("etl", 1_000, 1_060, RunPhase.RUNNING)
    ended = runs.end("run-1", "Completed")
    assert (ended.state, ended.ended_at, ended.phase(clock.now)) == ("Completed", 1_060, RunPhase.ENDED)
    assert runs.get("run-1") == ended
    assert runs.unfinished() == []


def test_a_silent_run_has_crashed(runs: RunRecords, clock: Clock) -> None:
    """A run whose record nobody writes any more counts as crashed after a few minutes, and stays unfinished."""
    runs.begin("run-1")
    early, late = clock.now + 4 * BEAT_SECONDS, clock.now + 6 * BEAT_SECONDS
    (record,) = runs.unfinished(late)
    assert (record.phase(early), record.phase(late)) == (RunPhase.RUNNING, RunPhase.CRASHED)


def test_a_run_of_an_ended_process_has_crashed_at_once(runs: RunRecords, clock: Clock) -> None:
    """On the machine it ran on, nobody has to wait for a dead process to fall silent."""
    record = runs.begin("run-1")
    assert record.process == this_process()
    assert record.phase(clock.now, lambda process: process == this_process()) is RunPhase.CRASHED


def test_a_late_beat_does_not_undo_the_end(runs: RunRecords, clock: Clock) -> None:
    """Whoever still holds the run cannot bring its record back to life."""
    runs.begin("run-1")
    living = runs._living["run-1"]
    runs.end("run-1", "Failed")
    clock.now += 1
    living.beat()
    assert runs.get("run-1").state == "Failed"


def test_collections_are_added_without_needless_writes(runs: RunRecords, clock: Clock) -> None:
    """What a run uses grows; saying it again writes nothing."""
    runs.begin("run-1", collections=["b"])
    runs.uses("run-1", ["a", "b"])
    clock.now += 1
    runs.uses("run-1", ["a"])
    seen = runs.get("run-1")
    assert (seen.collections, seen.beat_at) == (("a", "b"), 1_000)


def test_a_run_of_another_process_can_be_ended(files: Files, clock: Clock) -> None:
    """Who resumes a crashed run may write down how it ended."""
    RunRecords(files, clock, heart=None).begin("run-1", flow="etl")
    ended = RunRecords(files, clock, heart=None).end("run-1", "Crashed")
    assert (ended.flow, ended.state) == ("etl", "Crashed")


def test_the_heart_keeps_a_run_alive(files: Files) -> None:
    """A run that was begun with a heart is watched by it, and no more once it has ended."""
    heart = Heart()
    runs = RunRecords(files, heart=heart)
    runs.begin("run-1")
    assert len(heart._due) == 1
    runs.end("run-1", "Completed")
    assert len(heart._due) == 0


def test_records_of_others_are_left_alone(runs: RunRecords, files: Files) -> None:
    """A newer record and a damaged file are refused by name, and not listed."""
    runs.begin("run-1")
    files.write(run_name("newer"), [b'{"format": 99, "run_id": "newer"}'])
    files.write(run_name("damaged"), [b"?"])
    assert [record.run_id for record in runs.all()] == ["run-1"]
    with pytest.raises(UnknownFormat):
        runs.get("newer")
    with pytest.raises(CorruptResult):
        runs.get("damaged")


def test_fields_of_a_newer_writer_are_ignored() -> None:
    """A field that was added within a format does no harm."""
    packed = RunRecord(run_id="r", started_at=1.0, beat_at=2.0).pack().replace(b'"flow"', b'"colour": 1, "flow"')
    assert RunRecord.unpack(packed).beat_at == 2.0


@pytest.mark.parametrize("run_id", ["", "a/b", "..", "a b", "x" * 201])
def test_an_id_must_be_a_file_name(runs: RunRecords, run_id: str) -> None:
    """What cannot be the name of a file is refused before anything is written."""
    with pytest.raises(StoreUrlError, match="no id for a run"):
        runs.begin(run_id)


def test_an_unknown_run_is_missing(runs: RunRecords) -> None:
    """Asking for a run nobody began is an error that says so."""
    with pytest.raises(ResultMissing):
        runs.get("nobody")
