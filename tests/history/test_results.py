"""Results of past runs: found again in their store by what the rows say, also in another process."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dataflow import flow, task
from dataflow.cache_policies import INPUTS, LINEAGE
from dataflow.errors import NotFinished, UpstreamFailed, UsageError
from dataflow.foreign_errors import load_error
from dataflow.history.results import reference_of, result_of
from dataflow.history.stories import story_of
from dataflow.session import Run
from dataflow.signals import Skip
from dataflow_results.errors import ResultMissing
from dataflow_results.store import ResultStore
from tests.history.remembered import Remembered, ran, remember, stored


class Refused(Exception):
    """Of the functions below."""


@task
def double(number: int) -> int:
    if number == 13:
        raise Refused("no thirteen")
    if number == 5:
        raise Skip("no five", result="five")
    return 2 * number


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


def found(past: Remembered, place: Any, **options: Any) -> Any:
    """The result at a place of a past run."""
    return result_of(past.reader, past.run, past.execution, place, **options)


def kept(store: Path, body: Callable[[], Any], **options: Any) -> Remembered:
    """A past run that kept all its results in a folder."""
    return remember(ran(body, persist_result=True, result_storage=store, **options))


POLICIES: list[dict[str, Any]] = [{}, {"cache_policy": INPUTS}, {"cache_policy": LINEAGE}]


@pytest.mark.parametrize("options", POLICIES, ids=["by place", "by inputs", "by lineage"])
def test_of_elements_and_maps(tmp_path: Path, options: dict[str, Any]) -> None:
    """One value, all values in order, and the value of a plain node; whatever the keys are made of."""
    past = kept(tmp_path, lambda: total.submit(double.with_options(**options).map(range(4))))
    assert found(past, "double[3]") == found(past, "double[-1]") == found(past, ("double", 3)) == 6
    assert found(past, "double") == [0, 2, 4, 6]
    assert found(past, "total") == 12


def test_of_many_segments_on_a_cluster(tmp_path: Path) -> None:
    """Elements that ended in many batches come in the order of their indices."""
    small = double.with_options(batch_size=2)
    past = remember(ran(lambda: small.map(range(100, 121)), "threads", persist_result=True, result_storage=tmp_path))
    assert len(past.batch_rows) > 1
    assert found(past, "double") == [2 * number for number in range(100, 121)]
    assert found(past, "double[20]") == 240


def test_from_a_database(tmp_path: Path) -> None:
    """The rows of a run in a database lead to its results and to its stories."""
    past = kept(tmp_path, lambda: total.submit(double.map([1, 13, 2])))
    reader = stored(past, tmp_path)
    assert result_of(reader, past.run, past.execution, "double[2]") == 4
    for place in ("double", "double[0]", "double[1]", "total"):
        assert story_of(reader, past.execution, place) == story_of(past.reader, past.execution, place)


def test_references_are_those_that_the_run_gives(tmp_path: Path) -> None:
    """Futures and the history name one place in the store; of what failed there is none."""
    references: list[Any] = []

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def main() -> None:
        numbers = double.map([1, 13])
        numbers.wait()
        references.extend((numbers[0].reference(), numbers[1].reference()))

    past = remember(main(return_state=True).run)
    reference: Any = reference_of(past.reader, past.run, past.execution, "double[0]")
    assert reference == references[0]
    assert ResultStore(tmp_path).load(reference) == 2
    assert reference_of(past.reader, past.run, past.execution, "double[1]") is references[1] is None
    with pytest.raises(UsageError, match=r"a map has a result for each element\n  instead: 'double\[0\]'"):
        reference_of(past.reader, past.run, past.execution, "double")


def test_failures_are_raised_again(tmp_path: Path) -> None:
    """What failed raises what it raised, what rests on it `UpstreamFailed`; both can be asked for as values."""
    past = kept(tmp_path, lambda: total.submit(double.map([1, 13, 5, 2])))
    for place in ("double", "double[1]"):
        with pytest.raises(Refused, match="no thirteen"):
            found(past, place)
    with pytest.raises(UpstreamFailed, match="it was not run, because an input failed") as caught:
        found(past, "total")
    assert isinstance(caught.value.__cause__, Refused)
    one, error, two = found(past, "double", raise_on_failure=False)
    assert (one, type(error), str(error), two) == (2, Refused, "no thirteen", 4)
    assert found(past, "double[2]") == "five"


def test_exceptions_of_unknown_classes_keep_their_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception whose module cannot be imported any more comes as one of the same name with the same text."""
    module = ModuleType("left_the_company")
    exec("class Gone(ValueError):\n    pass", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)

    @task
    def fail() -> None:
        raise module.Gone("no more")

    past = kept(tmp_path, lambda: fail.submit())
    assert type(found(past, "fail", raise_on_failure=False)) is module.Gone
    monkeypatch.delitem(sys.modules, module.__name__)
    error = found(past, "fail", raise_on_failure=False)
    assert (type(error).__name__, type(error).__module__, str(error)) == ("Gone", "left_the_company", "no more")
    assert story_of(past.reader, past.execution, "fail")[-1].reason == "Gone: no more"


def test_exceptions_that_cannot_be_read_say_so() -> None:
    """What is no pickled exception comes as an error that says what it is."""
    for packed in (b"junk", pickle.dumps(17)):
        assert "an exception that cannot be read here" in str(load_error(packed))


@pytest.mark.parametrize("place", ["double", "double[0]"])
def test_what_was_not_kept_says_so(place: str) -> None:
    """Without a store the values went with the run."""
    past = remember(ran(lambda: double.map([1, 2])))
    with pytest.raises(ResultMissing, match="its result was not kept, so it went with the run\n  instead: run it with"):
        found(past, place)


def test_what_is_gone_says_so(tmp_path: Path) -> None:
    """A result that somebody has deleted is named with its store."""
    past = kept(tmp_path / "old", lambda: double.map([1, 2]))
    (tmp_path / "old").rename(tmp_path / "moved")
    moved = ResultStore(tmp_path / "moved")
    assert found(past, "double", storage=moved) == [2, 4]
    elsewhere = ResultStore(tmp_path / "elsewhere")
    with pytest.raises(ResultMissing, match=r"^double\[1\]: its result is not in \S+/old any more; it may have been"):
        found(past, "double[1]", storage=elsewhere)


def test_what_was_left_out_says_so(tmp_path: Path) -> None:
    """Work that was not run, because what uses it was found, has no result of its own to give."""

    def body() -> Any:
        found_by_lineage = total.with_options(cache_policy=LINEAGE, result_storage=tmp_path)
        return found_by_lineage.submit(double.map(range(3)))

    ran(body)
    past = remember(ran(body))
    assert found(past, "total") == 6
    with pytest.raises(ResultMissing, match="its result was not kept, so it went with the run"):
        found(past, "double")


def test_of_work_that_had_not_ended(tmp_path: Path) -> None:
    """What had not ended, or not begun, cannot be given yet."""
    pasts: list[Remembered] = []

    def body() -> None:
        numbers = double.map([1, 2])
        numbers.wait()
        pasts.append(remember(numbers.run))
        later = double.map([3])
        pasts.append(remember(later.run))
        later.wait()

    run = ran(body, persist_result=True, result_storage=tmp_path)
    assert isinstance(run, Run)
    with pytest.raises(NotFinished, match="double-2: it had not begun when run"):
        found(pasts[1], "double-2")
    half = Remembered(
        run=pasts[0].run,
        execution=pasts[0].execution,
        node_rows=pasts[0].node_rows,
        batch_rows=pasts[0].batch_rows,
        segment_rows=pasts[0].segment_rows[:1],
    )
    with pytest.raises(NotFinished, match=r"double: 1 of its elements had ended\n  instead: .* 'double\[0\]'"):
        found(half, "double")
    with pytest.raises(NotFinished, match=r"double\[1\]: it had not ended"):
        found(half, "double[1]")
    assert found(half, "double[0]") == 2


def test_of_what_is_not_there(tmp_path: Path) -> None:
    """A wrong name or index says what there is."""
    past = kept(tmp_path, lambda: double.map([1, 2]))
    with pytest.raises(UsageError, match=r"no node of this run is called 'duble'\n  instead: double"):
        found(past, "duble")
    with pytest.raises(UsageError, match="there is no element 2; the number of elements is 2"):
        found(past, "double[2]")


def test_a_resumed_run_gives_what_was_kept_before(tmp_path: Path) -> None:
    """Keys that follow from the place are found again by the id of the run, and its stories name them."""
    odd, runs = [1], []

    @task
    def shift(number: int) -> int:
        if number in odd:
            raise Refused("odd")
        return number + 1

    @flow(cluster="inline", persist_result=True, result_storage=tmp_path)
    def main() -> None:
        numbers = shift.map([0, 1, 2])
        runs.append(numbers.run)
        numbers.wait()

    main()
    assert runs[0].story("shift[1]")[-1].name == "Failed"
    odd.clear()
    main.resume(runs[0].id)
    past = remember(runs[1])
    assert found(past, "shift") == [1, 2, 3]
    told = story_of(past.reader, past.execution, "shift[2]")[-1].reason
    assert told == f"found in the store: {reference_of(past.reader, past.run, past.execution, 'shift[2]')}"
    assert told == runs[1].story("shift[2]")[-1].reason
