"""Why elements failed: grouped by what was raised and where, at a bounded price, with the elements they hit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataflow import Flow, task
from dataflow.causes import grouping as causes_module
from dataflow.causes.grouping import Causes
from dataflow.causes.texts import causes_text, commands_text, elements_text
from dataflow.causes.values import Cause, causes_from_json, generalised
from dataflow.engine.facts import NodeFacts, Segment, unsent
from dataflow.engine.failures import pack_error
from dataflow.engine.report import Report, StepReport
from dataflow.errors import TimedOut
from dataflow.graph.nodes import Graph, Node, Space, TaskSpec
from dataflow.states import StateType

FAILED, COMPLETED = int(StateType.FAILED), int(StateType.COMPLETED)


def facts_of(slug: str = "load", *, is_mapped: bool = True) -> NodeFacts:
    """What is known of a node before anything of it has ended."""
    task_spec = TaskSpec(name=slug, function=list, parameters=())
    space = Space(None) if is_mapped else None
    return NodeFacts(Node(graph=Graph("example"), task=task_spec, slug=slug, space=space), 0)


def look_up(number: int) -> None:
    """Fails, with a number in the message."""
    raise ValueError(f"record {number} has no name")


def look_elsewhere(number: int) -> None:
    """Fails with the same message, from another line."""
    raise ValueError(f"record {number} has no name")


def raised(number: int, function: Callable[[int], None] = look_up) -> bytes:
    """What a function raises, packed."""
    with pytest.raises(Exception, match=r".") as caught:
        function(number)
    return pack_error(caught.value)


def reported(errors: dict[int, bytes], count: int, *, start: int = 0, offset: int = 0, stop: int = -1) -> Segment:
    """Elements of a batch of which some failed; of all it has from an offset on, or up to a stop."""
    states = bytes(FAILED if number in errors else COMPLETED for number in range(count))
    step = StepReport(states=states, seconds=b"", errors=errors)
    report = Report(batch=0, count=count, started=0.0, seconds=1.0, steps=(step,))
    return Segment(start, start + (count if stop < 0 else stop) - offset, None, offset, report, 0)


def test_one_cause_for_messages_that_differ_in_numbers() -> None:
    """Failures of one line whose messages differ in a number only are one cause, with the elements as ranges."""
    causes = Causes()
    causes.add(facts_of(), reported({number: raised(number) for number in (3, 4, 5, 9)}, 10, start=100))
    causes.add(facts_of(), reported({0: raised(1_000_000)}, 1, start=110))
    (cause,) = causes.listed()
    assert (cause.state, cause.type, cause.message) == ("Failed", "ValueError", "record 3 has no name")
    assert (cause.count, cause.elements, cause.is_varied) == (5, ((103, 106), (109, 111)), True)
    assert cause.place.partition("test_causes.py:")[2].endswith(" in look_up")
    assert cause.traceback.endswith("ValueError: record 3 has no name\n")


def test_another_line_is_another_cause() -> None:
    """The same message from two places in the code is two causes, the more frequent one first."""
    causes = Causes()
    causes.add(facts_of(), reported({0: raised(1), 1: raised(1, look_elsewhere), 2: raised(2, look_elsewhere)}, 3))
    assert [(cause.count, cause.place.split()[-1]) for cause in causes.listed()] == [
        (2, "look_elsewhere"),
        (1, "look_up"),
    ]


def test_neighbouring_lines_of_one_function_are_two_causes() -> None:
    """Numbers of lines are not taken for numbers in messages."""
    lines = "\n" * 47 + "def pick(n):\n    if n == 0:\n        raise KeyError('a')\n    raise KeyError('a')\n"
    space: dict[str, Callable[[int], None]] = {}
    exec(compile(lines, "pick.py", "exec"), space)
    causes = Causes()
    for number in range(2):
        causes.add(facts_of(), unsent(number, number + 1, StateType.FAILED, raised(number, space["pick"])))
    assert [cause.place for cause in causes.listed()] == ["pick.py:50 in pick", "pick.py:51 in pick"]


def test_only_the_part_of_a_batch_that_a_segment_holds_counts() -> None:
    """Elements of a batch that the segment does not hold are not counted with it."""
    causes = Causes()
    errors = {number: raised(1) for number in range(8)}
    causes.add(facts_of(), reported(errors, 8, start=20, offset=2, stop=5))
    assert [(cause.count, cause.elements) for cause in causes.listed()] == [(3, ((20, 23),))]


def test_states_are_kept_apart() -> None:
    """A failure, a time limit and what was not run for it are causes of their own; completed elements are none."""
    causes = Causes()
    causes.add(facts_of(), unsent(0, 5, StateType.UPSTREAM_FAILED, raised(1)))
    causes.add(facts_of(), unsent(5, 7, StateType.TIMED_OUT, pack_error(TimedOut("it took longer than 3 s"))))
    causes.add(facts_of(), unsent(7, 8, StateType.FAILED, raised(1)))
    causes.add(facts_of(), unsent(8, 9, StateType.SKIPPED))
    causes.add(facts_of(), unsent(9, 99, StateType.CACHED))
    found = [(cause.state, cause.type, cause.count) for cause in causes.listed()]
    assert found == [
        ("UpstreamFailed", "ValueError", 5),
        ("TimedOut", "dataflow.errors.TimedOut", 2),
        ("Failed", "ValueError", 1),
    ]
    assert causes.listed()[0].traceback == ""


def test_json_gives_equal_causes_back() -> None:
    """What is written into the history is read again as it was."""
    causes = Causes()
    causes.add(facts_of(), reported({number: raised(number) for number in range(0, 100, 3)}, 100))
    assert causes_from_json(causes.to_json()) == causes.listed()


def test_no_more_than_so_many_kinds_are_listed() -> None:
    """Beyond 20 kinds the rest is one entry that says how many kinds and elements it stands for."""
    causes = Causes()
    kinds = [type(f"Problem{chr(65 + number)}", (Exception,), {}) for number in range(26)]
    for number, kind in enumerate(kinds):
        causes.add(facts_of(), unsent(number, number + 1, StateType.FAILED, pack_error(kind("it is bad"))))
    listed = causes.listed()
    assert (len(listed), listed[-1].message, listed[-1].count) == (20, "7 more kinds of failure", 7)


def test_tracebacks_are_bounded() -> None:
    """A long message and a deep traceback are cut, so that a cause stays below 4 kB and says that it was cut."""
    causes = Causes()
    causes.add(facts_of(), unsent(0, 1, StateType.FAILED, pack_error(ValueError("x" * 100_000))))
    (cause,) = causes.listed()
    assert len(cause.message) == 500
    assert len(cause.traceback) < 4096
    assert "characters left out" in cause.traceback


def test_exceptions_that_cannot_be_read_are_still_counted() -> None:
    """Bytes that are no exception, and failures without any, become causes instead of errors."""
    causes = Causes()
    causes.add(facts_of(), unsent(0, 2, StateType.FAILED, b"no pickle"))
    causes.add(facts_of(), unsent(2, 3, StateType.FAILED))
    assert [cause.count for cause in causes.listed()] == [2, 1]
    assert "cannot be read here" in causes.listed()[0].message


def test_what_cannot_be_read_any_more_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound exceptions are taken for the same if they come from the same line, others are only counted."""
    monkeypatch.setattr(causes_module, "MOST_READ", 1)
    causes = Causes()
    causes.add(facts_of(), unsent(0, 1, StateType.FAILED, raised(1)))
    for number in range(10):
        packed = pack_error(KeyError(chr(97 + number) * number))
        causes.add(facts_of(), unsent(number, number + 1, StateType.FAILED, packed))
        causes.add(facts_of(), unsent(number, number + 1, StateType.FAILED, raised(2_000 * 10**number)))
    read, unread = sorted(causes.listed(), key=lambda cause: cause.type, reverse=True)
    assert (read.type, read.count) == ("ValueError", 11)
    assert (unread.type, unread.message, unread.count) == ("", causes_module.UNREAD, 10)


def test_a_hundred_thousand_different_failures_take_less_than_a_second() -> None:
    """The price of grouping does not depend on how many messages there are."""
    packed = raised(1_000_000)
    errors = {number: packed.replace(b"1000000", b"%d" % (2_000_000 + number)) for number in range(100_000)}
    segment = reported(errors, 100_000)
    causes = Causes()
    began = time.process_time()
    causes.add(facts_of(), segment)
    assert time.process_time() - began < 1.0
    assert [cause.count for cause in causes.listed()] == [100_000]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("record 17 of 4,000", "record # of #"),
        ("file '/data/a.csv' is gone", "file '…' is gone"),
        ("it can't and won't", "it can't and won't"),
        ("object 3f2a9c0d1e3b4c5d at 0x7F3A", "object # at #"),
        ("decade and facade", "decade and facade"),
    ],
)
def test_messages_are_generalised(message: str, expected: str) -> None:
    """Numbers, identities and quoted names go; words stay."""
    assert generalised(message) == expected


def test_elements_are_told_as_ranges() -> None:
    """Neighbours are one range with its last element; what is not told is counted."""
    assert elements_text([(0, 1), (5, 8)], 4) == "0, 5-7"
    assert elements_text([(0, 1)], 9) == "0, … (9 elements)"


def cause_of(node: str, **changes: Any) -> Cause:
    """A cause of three failed elements."""
    whole = Cause(
        node=node,
        is_mapped=True,
        state="Failed",
        type="ValueError",
        message="record 17 has no name",
        place="flow.py:17 in load",
        count=3,
        elements=((17, 20),),
    )
    return replace(whole, **changes)


def test_text_joins_what_was_not_run_because_of_a_failure() -> None:
    """What an input kept from running stands with the failure of the input, and what was cancelled in one line."""
    text = causes_text(
        [
            cause_of("load", is_varied=True, traceback="Traceback …\n  raise\n"),
            cause_of("clean", state="UpstreamFailed", message="record 4 has no name"),
            cause_of("total", state="UpstreamFailed", is_mapped=False, count=1, elements=()),
            cause_of("rest", state="Cancelled", type="Cancelled", message="the run was cancelled"),
        ]
    )
    assert text.splitlines() == [
        "load: 3 failed: ValueError: record 17 has no name (and others like it)",
        "  elements 17-19",
        "  not run because of it: clean (3), total",
        "    Traceback …",
        "      raise",
        "",
        "cancelled: rest (3)",
    ]


def test_text_of_many_causes_is_bounded() -> None:
    """More causes than are shown are counted in the last line."""
    causes = [cause_of(f"load-{number}", message=f"kind {chr(97 + number)}") for number in range(15)]
    assert causes_text(causes).splitlines()[-1] == "and 5 more, of 15 elements"


def test_commands_lead_to_the_first_failure() -> None:
    """The commands can be copied into a shell: the place is quoted, and a plain node has no index."""
    plain = cause_of("total", is_mapped=False, elements=())
    assert commands_text("5f2a", [cause_of("load")]) == "dataflow runs show 5f2a\ndataflow runs story 5f2a 'load[17]'"
    assert commands_text("5f2a", [plain]).splitlines()[1] == "dataflow runs story 5f2a total"


def test_causes_of_a_real_run_name_the_line_of_the_task() -> None:
    """Failures of a flow are grouped over its batches; what was not run carries the same root as its cause."""

    @task(batch_size=10)
    def load(x: int) -> int:
        if x % 10 == 3:
            raise LookupError(f"no record {x}")
        return x

    @task
    def gather(xs: Any) -> int:
        return len(xs)

    with Flow("work") as flow:
        loaded = load.map(range(50))
        gather(loaded)
    run = flow.run(cluster="inline").run
    found = []
    for node in run.nodes:
        facts = run.facts_of(node)
        assert facts is not None
        causes = Causes()
        for segment in facts.arrivals:
            causes.add(facts, segment)
        found += causes.listed()
    assert [(cause.node, cause.state, cause.count, cause.elements[:2]) for cause in found] == [
        ("load", "Failed", 5, ((3, 4), (13, 14))),
        ("gather", "UpstreamFailed", 1, ()),
    ]
    assert found[0].root == found[1].root
    assert found[0].place.endswith(" in load")
