"""Runs steered from another process: what is asked goes through the database of runs, and so do the answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dataflow import context, flow, pause_flow_run, task
from dataflow.asking import ask_run
from dataflow.database.reader import Reader
from dataflow.database.rows import ExecutionRow, RequestRow, RunRow
from dataflow.errors import InputError, NotFinished, UsageError
from dataflow.recording.claims import claim
from dataflow.recording.places import history_url
from dataflow.states import StateType
from dataflow.triggers import manual_only
from dataflow_results.liveness.processes import this_process
from tests.processes import printed_by
from tests.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).parents[2]

SCRIPT = """
import os
from dataclasses import dataclass
from pathlib import Path
from dataflow import flow, suspend_flow_run, task

HERE = Path(__file__).parent

@dataclass
class Weight:
    factor: int

@task
def load(x):
    file = os.open(HERE / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, b"%d\\n" % x)  # in one write that no other process can split
    os.close(file)
    return 2 * x

@flow(cluster="inline", persist_result=True, result_storage=HERE / "store")
def weighed(count: int, name: str = "all"):
    doubled = load.map(range(count)).result()
    given = suspend_flow_run(wait_for_input=Weight)
    (HERE / "answer").write_text(f"{name}: {given.factor * sum(doubled)}")

if __name__ == "__main__":
    print(weighed(3, name="few", return_state=True).run.id)
"""


def reader() -> Reader:
    """The history of the tests."""
    url = history_url()
    assert url is not None
    return Reader(url)


def ask_elsewhere(run_id: str, *asked: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask as another process does, through the database: kinds, keys and bodies; gives the answers."""
    rows = [
        RequestRow(id=uuid.uuid4().hex, run_id=run_id, kind=kind, key=key, body=json.dumps(body), asked=time.time())
        for kind, key, body in asked
    ]
    reader().put(rows)

    def answers() -> list[str]:
        found = {one.id: one.answer for one in reader().requests(run_id, open_only=False)}
        return [found[row.id] for row in rows]

    until(lambda: all(answers()))
    return [json.loads(answer) for answer in answers()]


def test_another_process_takes_up_a_suspended_run(tmp_path: Path) -> None:
    """Its id and the input are enough: flow and arguments are known, and nothing that was kept runs again."""
    script = tmp_path / "weighing.py"
    script.write_text(SCRIPT)
    run_id = printed_by(str(script))
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2"]
    with pytest.raises(InputError, match=r"suspend-1 of run .* it asks for Weight: factor: 'ten' is no integer"):
        ask_run(run_id, "resume", body={"input": {"factor": "ten"}})
    with pytest.raises(UsageError, match="it is suspended, so nothing of it goes on"):
        ask_run(run_id, "pause")
    code = "import weighing; from dataflow import resume_flow_run; resume_flow_run({!r}, run_input=weighing.Weight(10))"
    printed_by("-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code.format(run_id)}")
    assert (tmp_path / "answer").read_text() == "few: 60"
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2"]
    states = [one.name for one in reader().states(run_id)]
    assert states == ["Running", "Suspended", "Running", "Completed"]


TWICE = """
import time
from pathlib import Path
from dataflow import flow, suspend_flow_run

HERE = Path(__file__).parent

@flow(cluster="inline")
def twice():
    suspend_flow_run()
    with (HERE / "calls").open("a") as file:
        file.write("x")
    while not (HERE / "go").exists():
        time.sleep(0.01)
    suspend_flow_run(key="again")
    (HERE / "answer").write_text("done")

if __name__ == "__main__":
    print(twice(return_state=True).run.id)
"""


def test_one_of_two_processes_resumes_a_run_and_it_is_found_again(tmp_path: Path) -> None:
    """The other one is told so; afterwards the run, which was put down again, is found by its file once more."""
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    run_id = printed_by(str(script))
    code = f"from dataflow import resume_flow_run; resume_flow_run({run_id!r})"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
    ]
    until(lambda: any(one.poll() is not None for one in both))
    (tmp_path / "go").touch()
    errors = [one.communicate(timeout=60)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 1], errors
    assert "UsageError" in "".join(errors)
    assert (tmp_path / "calls").read_text() == "x"
    assert reader().run(run_id).entrypoint == f"{script}:twice"  # type: ignore[union-attr]
    printed_by("-c", code)
    assert (tmp_path / "answer").read_text() == "done"


def an_execution(run_id: str, process: str, **fields: Any) -> ExecutionRow:
    """An execution that stands in the history only."""
    now = time.time()
    row = ExecutionRow(id=uuid.uuid4().hex, run_id=run_id, state=1, started=now, heartbeat=now, process=process)
    return replace(row, **fields)


def test_one_of_many_claims_a_run() -> None:
    """Each with a reader of its own, at the same moment: a single one writes down what it was, in place of what was."""
    row = a_run(StateType.SUSPENDED)
    asked = RequestRow(id=f"{row.id}-x", run_id=row.id, kind="input", asked=1.0)
    together = threading.Barrier(8)

    def put(number: int, before: RequestRow | None) -> bool:
        mine = reader()
        together.wait()
        return mine.exchange(before, replace(asked, answered=2.0, answer=str(number)))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: put(number, None), range(8))) == 1
        (first,) = reader().requests(row.id)
        assert sum(pool.map(lambda number: put(number, first), range(8, 16))) == 1


def test_who_died_after_claiming_a_run_keeps_nobody_out() -> None:
    """Who has claimed it and lives does; after its execution was begun that decides; its death ends both."""
    row = a_run(StateType.SUSPENDED)
    machine = this_process().rsplit(" ", 2)[0]
    alive = f"{machine} {os.getppid()} {Path(f'/proc/{os.getppid()}/stat').read_text().rpartition(') ')[2].split()[19]}"
    dead = f"{machine} {os.getppid()} 1"

    def claimed_by(process: str) -> None:
        body = json.dumps({"process": process, "after": ""})
        claim_row = RequestRow(id=f"{row.id}-taken", run_id=row.id, kind="taken", body=body, asked=time.time())
        reader().put([row, replace(claim_row, answered=time.time())])

    claimed_by(alive)
    with pytest.raises(UsageError, match="somebody else resumes it at this moment"):
        claim(reader(), row)
    claimed_by(dead)
    claim(reader(), row)
    claimed_by(alive)
    execution = an_execution(row.id, alive)
    reader().put([execution])
    with pytest.raises(UsageError, match="somebody else has resumed it, or it still goes on"):
        claim(reader(), row)
    reader().put([replace(execution, process=dead)])
    claim(reader(), row)
    reader().put([replace(execution, process="elsewhere - - 1 5", heartbeat=time.time() - 100)])
    claim(reader(), row)


def test_what_json_does_not_have_is_asked_all_the_same() -> None:
    """Dates and the like are given as another process can read them."""
    silent = a_run(StateType.RUNNING)
    reader().put([silent])
    with pytest.raises(NotFinished):
        ask_run(silent.id, "resume", body={"input": {"day": date(2026, 1, 31)}}, timeout_seconds=0.0)
    assert json.loads(reader().requests(silent.id)[0].body) == {"input": {"day": "2026-01-31"}}


def test_a_paused_run_is_resumed_from_another_process() -> None:
    """What does not fit is refused there, what fits lets the run go on; the question and the answer are kept."""

    @flow(cluster="inline")
    def asking() -> int:
        answer: int = pause_flow_run(wait_for_input=int, timeout=PATIENCE_SECONDS)
        return answer

    run = asking.start()
    until(lambda: [one.key for one in reader().requests(run.id, open_only=True)] == ["pause-1"])
    run.run.asked(reader().requests(run.id)[0])  # as all that is found open: a run does not answer itself
    (refused,) = ask_elsewhere(run.id, ("resume", "", {"input": "old"}))
    assert [one.key for one in reader().requests(run.id, open_only=True)] == ["pause-1"]
    assert refused["type"] == "InputError"
    assert "Input should be a valid integer" in refused["error"]
    code = f"from dataflow import resume_flow_run; resume_flow_run({run.id!r}, run_input=41)"
    printed_by("-c", code)
    assert run.result(timeout=PATIENCE_SECONDS) == 41
    question = next(one for one in reader().requests(run.id, open_only=False) if one.kind == "input")
    assert json.loads(question.body)["schema"] == {"type": "integer"}
    assert json.loads(question.answer) == {"input": 41}
    assert [one.name for one in reader().states(run.id)] == ["Running", "Paused", "Running", "Completed"]


@task(trigger=manual_only)
def release(x: int) -> str:
    """Says what it was told by who approved it."""
    return f"{x}: {context.get('approval')}"


def test_pause_approval_and_cancel_arrive() -> None:
    """Each is done by the run, and what cannot be done is told to who asked."""

    @flow(cluster="threads")
    def releasing() -> str:
        released = release.submit(1).result()
        pause_flow_run(key="never", timeout=PATIENCE_SECONDS)
        return released

    run = releasing.start()
    until(lambda: run.nodes and run.run.state(run.nodes[0]).is_paused())
    paused, unknown, odd = ask_elsewhere(run.id, ("pause", "", {}), ("approve", "releas", {}), ("sing", "", {}))
    assert paused == {"done": True}
    assert run.state.message == "somebody paused it"
    assert unknown["error"] == "no node of this run is called 'releas'"
    assert odd["error"] == "nobody can ask it to 'sing'"
    approved = ("approve", "release", {"input": {"by": "Ada"}})
    assert ask_elsewhere(run.id, ("resume", "", {}), approved) == [{"done": True}] * 2
    until(lambda: "never" in run.state.message)
    assert run.run.value(run.nodes[0]) == "1: {'by': 'Ada'}"
    assert ask_elsewhere(run.id, ("cancel", "", {})) == [{"done": True}]
    assert run.wait(timeout=PATIENCE_SECONDS).name == "Cancelled"


def a_run(state: StateType, **fields: Any) -> RunRow:
    """A run that stands in the history only."""
    row = RunRow(id=uuid.uuid4().hex[:12], flow="gone", name="gone", state=int(state), started=time.time())
    return replace(row, **fields)


def test_who_cannot_be_asked_is_told_why() -> None:
    """No such run, one that has ended, one without an entry point, one that does not answer."""
    ended, lost, silent = a_run(StateType.COMPLETED), a_run(StateType.SUSPENDED), a_run(StateType.RUNNING)
    reader().put([ended, lost, silent])
    with pytest.raises(UsageError, match="run 000000000000: there is no such run"):
        ask_run("000000000000", "cancel")
    with pytest.raises(UsageError, match="it has ended: Completed"):
        ask_run(ended.id, "cancel")
    with pytest.raises(UsageError, match=rf"its flow stands is not known.*\n  instead: .*gone.resume\('{lost.id}'\)"):
        ask_run(lost.id, "resume")
    with pytest.raises(NotFinished, match=r"it has not answered within 0.2 s"):
        ask_run(silent.id, "pause", timeout_seconds=0.2)
    assert ask_run(lost.id, "cancel") == "done"
    with pytest.raises(UsageError, match="it has ended: Cancelled"):
        ask_run(lost.id, "resume")
