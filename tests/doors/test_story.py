"""Stories: what happened to an element, state by state; every step is one that the table of transitions knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from distributed import Client

from dataflow import Flow, flow, task
from dataflow.cache_policies import INPUTS
from dataflow.engine.durations import packed
from dataflow.engine.facts import Segment
from dataflow.engine.report import Report, StepReport, Try
from dataflow.errors import UsageError
from dataflow.run_states import attempts_of, times_of
from dataflow.session import Run
from dataflow.states import Completed, Failed, State, StateType, TimedOut
from dataflow.stories import Story
from dataflow.transitions import Subject, allowed
from dataflow.triggers import any_successful, manual_only, not_all_skipped
from tests.fates import even, half, hang, leave, parse, patient, power, slow_to_come, told, total


@task(trigger=any_successful)
def some(numbers: list[float]) -> int:
    return len(numbers)


@task(trigger=not_all_skipped, skip_on_upstream_skip=False)
def first_of(*values: int) -> int:
    return values[0]


def ran(body: Callable[[], Any], cluster: Any = "inline") -> Run:
    """The run of a flow with this body."""

    @flow(cluster=cluster)
    def main() -> None:
        future = body()
        if future is not None:
            future.wait()

    run = main(return_state=True).run
    assert isinstance(run, Run)
    return run


def told_of(run: Run, place: Any) -> str:
    """The states of a story and their reasons, after a check that each may follow the one before."""
    story = run.story(place)
    assert_allowed(story)
    return "; ".join(
        f"{step.name} {step.attempt}: {re.sub(r'after [0-9.]+ .?s$', 'after …', step.reason)}" for step in story
    )


def assert_allowed(story: Story) -> None:
    """Every state of a story may follow the one before it, at no earlier time."""
    subject: Subject = "map" if story.counts else "element"
    steps = [(one.state, two.state) for one, two in pairwise(story)]
    assert [pair for pair in steps if allowed(*pair, subject) is None] == [], str(story)
    times = [step.time for step in story if step.time is not None]
    assert times == sorted(times), str(story)


def test_of_completed_and_failed_work() -> None:
    """An element was added at a line, ran in a batch, and ended after some time or with its exception."""
    run = ran(lambda: parse.map(["1", "two"]))
    completed, failed = told_of(run, "parse[0]"), told_of(run, "parse[1]")
    assert re.fullmatch(
        r"Pending 0: added at test_story.py:\d+; Running 1: in batch 0; Completed 1: after …", completed
    )
    assert failed.endswith("Running 1: in batch 1; Failed 1: ValueError: could not convert string to float: 'two'")


def test_of_failed_inputs() -> None:
    """What was not run names the input that failed, and over several steps the one where it began."""
    run = ran(lambda: total.submit(half.map(parse.map(["1", "two"]))))
    cause = "ValueError: could not convert string to float: 'two'"
    assert told_of(run, "half[1]").endswith(f"UpstreamFailed 0: its input number, parse[1], is Failed: {cause}")
    because = f"its input numbers, half[1], is UpstreamFailed because of parse[1]: {cause}"
    assert told_of(run, "total").endswith(f"UpstreamFailed 0: {because}")


def test_of_triggers() -> None:
    """A trigger that did not pass is named."""
    run = ran(lambda: some.submit(parse.map(["one", "two"])))
    assert "its trigger any_successful did not pass; its input numbers, parse[0], is Failed" in told_of(run, "some")


def test_of_retries_at_once() -> None:
    """Each attempt is told with the exception of the one before it."""
    run = ran(lambda: patient.map([0, 1, 4]))
    assert told_of(run, "patient[1]").endswith(
        "Running 1: in batch 1; Retrying 2: attempt 2 of 4, after ConnectionError: not yet, 1; Completed 2: after …"
    )
    assert [step.attempt for step in run.story("patient[2]")] == [0, 1, 2, 3, 4, 4]
    assert told_of(run, "patient[2]").endswith("Failed 4: ConnectionError: not yet, 4")


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_of_retries_after_a_delay(cluster: str) -> None:
    """An element that waits for its next attempt says for how long and why."""
    run = ran(lambda: slow_to_come.map([1]), cluster)
    waits = "AwaitingRetry 1: ConnectionError: not yet, 1; next attempt in 10 ms; Retrying 2: attempt 2 of 3"
    assert f"Running 1: in an earlier batch; {waits}; Completed 2: after …" in told_of(run, "slow_to_come[0]")
    awaiting, retrying = run.story("slow_to_come[0]").transitions[2:4]
    assert retrying.time is not None
    assert awaiting.time is not None
    assert retrying.time - awaiting.time >= 0.01


def test_while_it_waits() -> None:
    """The story and the state of an element that waits for its next attempt say so, and that it has no value yet."""

    @task(retries=1, retry_delay_seconds=60)
    def later() -> None:
        raise ConnectionError("not yet")

    @flow(cluster="threads")
    def main() -> tuple[str, State[None]]:
        future = later.submit()
        while future.state.is_pending():
            future.run.wait(future.node, timeout=0.01)
        found = told_of(future.run, future), future.state
        future.run.cancel()
        future.wait()
        return found

    story, state = main(return_state=True).data
    waits = "AwaitingRetry 1: ConnectionError: not yet; next attempt in 60 s"
    assert story.endswith(f"Running 1: on worker 0 in batch 0; {waits}")
    assert (state.name, state.attempt, state.is_scheduled(), state.is_final()) == ("AwaitingRetry", 1, True, False)


def test_while_it_is_paused() -> None:
    """Work that waits for an approval says so."""

    @task(trigger=manual_only)
    def publish() -> None:
        raise AssertionError("nobody approved it")

    @flow(cluster="threads")
    def main() -> str:
        future = publish.submit()
        while future.state.is_pending():
            future.run.wait(future.node, timeout=0.01)
        found = told_of(future.run, future)
        future.run.cancel()
        future.wait()
        return found

    assert main().endswith("Paused 0: its trigger is manual_only: it waits for an approval")


def test_of_time_limits() -> None:
    """An attempt that took too long is a failure like others."""
    run = ran(lambda: hang.submit(1))
    late = "TimedOut: it took longer than 0.02 s"
    assert f"Retrying 2: attempt 2 of 2, after {late}; TimedOut 2: {late}" in told_of(run, "hang")


def test_of_loops() -> None:
    """Each round of a loop is told."""
    run = ran(lambda: power.map([3]))
    assert "Running 1: in batch 0; Looping 1: round 2; Looping 1: round 3; Completed 1" in told_of(run, "power[0]")


def test_of_skipped_work() -> None:
    """What skipped itself says why; what was skipped for its input names it, at the end of a chain too."""

    def body() -> None:
        halves = half.map(even.map([0, 1]))
        first_of.submit(half.submit(halves[1]))
        total.submit(even.map([1, 3]))

    run = ran(body)
    assert told_of(run, "even[1]").endswith("Running 1: in batch 1; Skipped 1: 1 is odd")
    assert told_of(run, "half[1]").endswith("Skipped 0: its input number, even[1], was skipped: 1 is odd")
    assert told_of(run, "half-2").endswith("Skipped 0: its input number, half[1], was skipped: 1 is odd")
    assert "Skipped 0: its trigger not_all_skipped did not pass: everything it uses was skipped" in told_of(
        run, "first_of"
    )
    assert "Skipped 0: its input numbers, even-2[0], was skipped" in told_of(run, "total")
    assert told_of(run, "even-2").endswith("Skipped 0: 2 elements")


def test_of_returned_states() -> None:
    """A task's own words are the reason; a name of its own is told."""
    given = [Completed("fine", name="Splendid"), Failed("bad"), TimedOut("late")]
    run = ran(lambda: told.map(given))
    ends = [told_of(run, ("told", index)).rsplit("; ", 1)[1] for index in range(3)]
    assert ends == ["Completed 1: Splendid: fine, after …", "Failed 1: bad", "TimedOut 1: late"]


def test_of_crashed_work() -> None:
    """Code that ended its process's work without an answer is told with what it raised."""
    assert told_of(ran(lambda: leave.submit()), "leave").endswith("Running 1: in batch 0; Crashed 1: SystemExit: 3")


def test_of_cached_work() -> None:
    """What was found in the store says where."""
    kept = parse.with_options(cache_policy=INPUTS, result_storage="memory://stories")
    ran(lambda: kept.map(["1"]))
    run = ran(lambda: kept.map(["1"]))
    assert re.search(r"py:\d+; Cached 0: found in the store: memory:/\S+#parse\S*/[0-9a-f]+$", told_of(run, "parse[0]"))


def test_of_cancelled_work() -> None:
    """What was cancelled before it began never ran."""

    @flow(cluster="inline")
    def main() -> tuple[str, str]:
        future = parse.submit(half.submit(slow_to_come.submit(1)))
        run = future.run
        run.cancel()
        return told_of(run, future), future.state.name

    story, name = main(return_state=True).data
    assert name == "Cancelled"
    assert story.endswith("Cancelled 0: Cancelled: the run was cancelled before this ended")


def test_of_work_not_sent_yet() -> None:
    """Work that nobody has asked for yet has only been added."""

    @flow(cluster="inline")
    def main() -> str:
        future = parse.submit("1")
        return told_of(future.run, future)

    assert re.fullmatch(r"Pending 0: added at test_story.py:\d+", main())


def test_of_a_map() -> None:
    """A map as a whole tells how many elements ended how, and its first failures with their reasons."""
    run = ran(lambda: half.map(parse.map(["1", *["two"] * 7])))
    story, halves = run.story("parse"), run.story("half")
    assert [step.name for step in story] == ["Pending", "Running", "Failed"]
    assert [(kind.name, number) for kind, number in story.counts] == [("COMPLETED", 1), ("FAILED", 7)]
    reason = "ValueError: could not convert string to float: 'two'"
    assert story.failures == tuple((f"parse[{index}]", reason) for index in range(1, 6))
    assert halves.failures[0] == ("half[1]", f"its input number, parse[1], is Failed: {reason}")
    for one in (story, halves):
        assert_allowed(one)


def test_of_lengths_that_differ() -> None:
    """A map whose lengths turn out to differ failed before it was sent, and so did each of its elements."""

    @task
    def several(count: int) -> list[int]:
        return list(range(count))

    @task
    def add(x: int, y: int) -> int:
        return x + y

    run = ran(lambda: add.map(several.submit(2), several.submit(3)))
    assert "Failed 0: MapLengthError: iterated arguments turned out to have different lengths: 2, 3" in told_of(
        run, "add[0]"
    )
    assert [step.name for step in run.story("add")] == ["Pending", "Failed"]


def reported(seconds: float, tries: tuple[Try, ...] = ()) -> Segment:
    """Two elements and two steps of 1 s each in a batch that began at 100 s; the segment of the second step."""
    column = packed([1.0, 1.0])
    step = StepReport(states=StateType.COMPLETED, seconds=column, errors={}, tries={1: tries} if tries else {})
    report = Report(batch=0, count=2, started=100.0, seconds=seconds, steps=(step, step))
    return Segment(10, 12, "key", 0, report, 1)


def test_times_follow_from_what_was_before_in_the_batch() -> None:
    """An element began when all before it had ended; one that ran beside others not after its batch had ended."""
    assert [times_of(reported(4.5), index) for index in (10, 11)] == [(101.0, 1.0), (103.0, 1.0)]
    assert [times_of(reported(2.0), index) for index in (10, 11)] == [(101.0, 1.0), (101.0, 1.0)]


def test_times_are_those_of_the_last_attempt() -> None:
    """Attempts before it in the same batch are taken off; those of an earlier batch are no part of it."""
    here, before = (Try(StateType.FAILED, at, 0.25, b"", 0.0) for at in (103.0, 50.0))
    assert times_of(reported(4.5, (here,)), 11) == (103.25, 0.75)
    assert times_of(reported(4.5, (before,)), 11) == (103.0, 1.0)
    assert attempts_of(reported(4.5, (before, here)), 11) == 3


def test_as_text() -> None:
    """A story prints as a table: time of the day, state, reason."""
    run = ran(lambda: patient.map([1]))
    lines = str(run.story("patient[0]")).splitlines()
    clock = r"\d\d:\d\d:\d\d\.\d{3}"
    assert lines[0] == "patient[0]"
    assert re.fullmatch(r" {14}  Pending    added at test_story.py:\d+", lines[1])
    assert re.fullmatch(rf"  {clock}  Running    in batch 0", lines[2])
    assert re.fullmatch(rf"  {clock}  Retrying   attempt 2 of 4, after ConnectionError: not yet, 1", lines[3])
    assert str(run.story("patient")).splitlines()[-1] == "  elements: 1 Completed"


def test_in_the_graph_door() -> None:
    """Handles name their nodes, and a flow's state gives the run."""
    with Flow("graph") as graph:
        numbers = parse.map(["1", "two"])
    state = graph.run(cluster="inline")
    assert told_of(state.run, numbers[1]) == told_of(state.run, "parse[1]")
    assert state.run.story(numbers).of == "parse"


def test_of_a_started_flow() -> None:
    """A run that goes on in the background tells stories too."""

    @flow(cluster="inline")
    def main() -> float:
        return parse.submit("1").result()

    run = main.start()
    assert run.result() == 1.0
    assert [step.name for step in run.story("parse")] == ["Pending", "Running", "Completed"]


def test_counts_as_looking_at_it() -> None:
    """Who has read the story of a failure knows of it, so that the flow does not fail for its silence."""

    @flow(cluster="inline")
    def main() -> str:
        future = parse.submit("one")
        future.run.finish()
        return str(future.run.story("parse"))

    assert "Failed" in main()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("prse[1]", r"no node of this run is called 'prse'\n  instead: parse\[1\]"),
        ("parse[2]", r"there is no element 2; the number of elements is 2\n  instead: 'parse', or 'parse\[0\]'"),
        (("parse", -3), "there is no element -3"),
    ],
    ids=str,
)
def test_of_what_is_not_there(place: Any, said: str) -> None:
    """A wrong name or index is an error that says what there is."""
    run = ran(lambda: parse.map(["1", "2"]))
    with pytest.raises(UsageError, match=said):
        run.story(place)
    assert run.story(("parse", -1)).of == "parse[1]"


def test_on_a_cluster(client: Client) -> None:
    """On a Dask cluster the story says on which worker an element ran, also after it left its batch and came back."""
    run = ran(lambda: slow_to_come.map([1, 0]), client)
    workers = "|".join(str(worker["name"]) for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    assert re.search(rf"Running 1: on worker ({workers}) in batch \d+; Completed 1", told_of(run, "slow_to_come[1]"))
    assert "AwaitingRetry 1: ConnectionError: not yet, 1; next attempt in 10 ms; Retrying 2" in told_of(
        run, "slow_to_come[0]"
    )
