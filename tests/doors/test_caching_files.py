"""Results as plain files that other tools read: names from templates, and never a stale or strange answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataflow import flow, task
from dataflow.cache_policies import INPUTS, NO_CACHE
from dataflow.engine.file_names import owners_in
from dataflow.errors import TaskDefinitionError
from dataflow.results import LocalResult, ResultStore, load
from dataflow_results.errors import CorruptResult, TemplateError
from dataflow_results.records import Provenance

ran: list[Any] = []
"""The arguments of calls that were made; everything here runs in this process."""


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The store: a folder that does not exist yet."""
    return tmp_path / "store"


@task(target="{parameters[day]}/{task_name}-{index}.json", cache_policy=INPUTS)
def report(day: str, count: int) -> dict[str, Any]:
    ran.append(count)
    return {"day": day, "count": count}


def states_of(folder: Path, counts: list[int], work: Any = report) -> list[str]:
    """The states of the elements of one run."""
    ran.clear()

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        reports = work.map("monday", counts)
        assert reports.result() == [{"day": "monday", "count": count} for count in counts]
        return [element.state.name for element in reports]

    return main()


def in_file(folder: Path, index: int) -> Any:
    """What another program reads."""
    return json.loads((folder / "monday" / f"report-{index}.json").read_text(encoding="utf-8"))


def test_each_element_gets_its_file(folder: Path) -> None:
    """Names are made from arguments, task and index; the ending says how the value is written."""
    assert states_of(folder, [7, 8]) == ["Completed", "Completed"]
    assert [in_file(folder, 0), in_file(folder, 1)] == [{"day": "monday", "count": 7}, {"day": "monday", "count": 8}]
    assert states_of(folder, [7, 8]) == ["Cached", "Cached"]
    assert ran == []


def test_tables_are_parquet(folder: Path) -> None:
    """With the ending .parquet pandas reads the file, and the next run takes it."""

    @task(result_storage_key="tables/{index}.parquet", cache_policy=INPUTS)
    def table(rows: int) -> Any:
        ran.append(rows)
        return pd.DataFrame({"x": range(rows)})

    @flow(cluster="inline", result_storage=folder)
    def main() -> Any:
        return table.map([1, 3]).result()

    first, second = main(), main()
    assert ran == [1, 3]
    assert pd.read_parquet(folder / "tables" / "1.parquet")["x"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(first[1], second[1])


def test_a_changed_input_is_not_answered_with_the_old_file(folder: Path) -> None:
    """Element 1 gets another argument but the same file name: it is run, and the file is the new one."""
    states_of(folder, [7, 8])
    assert states_of(folder, [7, 9]) == ["Cached", "Completed"]
    assert ran == [9]
    assert in_file(folder, 1) == {"day": "monday", "count": 9}
    assert states_of(folder, [7, 8]) == ["Cached", "Completed"]
    assert in_file(folder, 1) == {"day": "monday", "count": 8}


@pytest.mark.parametrize("damage", [lambda file: file.write_text('{"day":"monday","count":0}'), Path.unlink])
def test_a_file_that_was_changed_or_removed_is_made_again(folder: Path, damage: Any) -> None:
    """The file of element 0 is not what was written: it is never returned, but computed again."""
    states_of(folder, [7, 8])
    damage(folder / "monday" / "report-0.json")
    assert states_of(folder, [7, 8]) == ["Completed", "Cached"]
    assert ran == [7]
    assert in_file(folder, 0) == {"day": "monday", "count": 7}


def test_a_reference_to_an_overwritten_file_is_not_answered_with_another_value(folder: Path) -> None:
    """Who holds the reference of the old result is told that the file has changed."""

    @flow(cluster="inline", result_storage=folder)
    def main(count: int) -> str:
        return str(report.submit("monday", count).reference())

    old, new = main(1), main(2)
    assert load(new) == {"day": "monday", "count": 2}
    with pytest.raises(CorruptResult, match="the file was changed since it was stored"):
        load(old)


@pytest.mark.parametrize(
    ("template", "elements"),
    [
        ("{task_name}.json", [1, 2]),
        ("{parameters[day]}.json", [1, 2]),
        ("{node}/{date:%Y}.json", iter([1, 2])),
        ("{parameters[count]}.json", [1, 2, 1]),
    ],
)
def test_elements_that_would_share_a_file_are_refused_before_the_run(
    folder: Path, template: str, elements: Any
) -> None:
    """A template that does not tell elements apart is an error at the call; nothing has run."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> None:
        report.with_options(target=template).map("monday", elements)

    with pytest.raises(TemplateError, match=r"gives two elements one file\n  instead: put \{index\} into it: "):
        main()
    assert ran == []


def test_a_template_may_tell_elements_apart_by_an_argument(folder: Path) -> None:
    """Different values give different files; that needs no index."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> None:
        report.with_options(target="of-{parameters[count]}.json").map("monday", [1, 2]).wait()

    main()
    assert json.loads((folder / "of-2.json").read_text(encoding="utf-8"))["count"] == 2


@pytest.mark.parametrize("template", ["{foo}.json", "../{index}.json", "/tmp/{index}.json", "{index", ""])
def test_a_template_that_is_wrong_is_refused_before_the_run(folder: Path, template: str) -> None:
    """Unknown fields, names outside the store, and broken braces."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> None:
        report.with_options(target=template).map("monday", [1, 2])

    problem = r"there is no field 'foo'|is no file name inside the store|not well formed|result_storage_key is ''"
    with pytest.raises((TemplateError, TaskDefinitionError), match=problem):
        main()
    assert ran == []


def test_a_value_that_makes_no_file_name_fails_its_element(folder: Path) -> None:
    """An argument with dots that lead out of the store: that element fails and says so, the other has its file."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        reports = report.with_options(target="{parameters[day]}/{index}.json").map(["..", "monday"], [1, 2])
        reports.wait()
        assert "'../0.json' is no file name inside the store" in reports[0].state.message
        return [element.state.name for element in reports]

    assert main() == ["Failed", "Completed"]
    assert not (folder.parent / "0.json").exists()


def test_a_found_result_is_in_the_file_that_is_asked_for(folder: Path) -> None:
    """The same results under another template: after the run the files are where the task says they are."""
    states_of(folder, [7, 8])
    states_of(folder, [7, 8], report.with_options(target="{parameters[day]}/new-{index}.json"))
    assert sorted(path.name for path in (folder / "monday").iterdir()) == [
        "new-0.json", "new-1.json", "report-0.json", "report-1.json",
    ]  # fmt: skip


def test_a_found_result_is_moved_not_computed(folder: Path) -> None:
    """The state is Cached, nothing runs, and the record stays that of the run that made it, expiration included."""
    first = references(folder, report.with_options(cache_expiration=3600, batch_size=2))
    ran.clear()
    second = references(folder, report.with_options(target="new-{index}.json", batch_size=2))
    assert second == first
    assert ran == []
    (old, *_), (new, *_) = provenances(folder)
    assert (new.run_id, new.created_at, new.expires_at) == (old.run_id, old.created_at, old.expires_at)
    assert old.expires_at == pytest.approx(old.created_at + 3600)
    (folder / "new-1.json").unlink()
    assert states_of(folder, [7, 8], report.with_options(target="new-{index}.json")) == ["Cached", "Completed"]


def references(folder: Path, work: Any) -> list[str]:
    """Of the results of one run."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        return [str(element.reference()) for element in work.map("monday", [7, 8])]

    return main()


def provenances(folder: Path) -> list[list[Provenance]]:
    """Of each pack, oldest first, where its rows come from."""
    store = ResultStore(folder)
    (collection,) = store.collections()
    results = store.task(collection)
    results.refresh()
    heads = sorted(results.heads(), key=lambda head: head.id)
    return [[head.provenance(row) for row in range(head.rows)] for head in heads]


def test_a_target_given_to_a_cached_task_makes_files_of_what_is_cached(folder: Path) -> None:
    """Results that lie in packs are written to the files that are asked for now."""
    states_of(folder, [7, 8], report.with_options(target=None))
    assert not (folder / "monday").exists()
    assert states_of(folder, [7, 8]) == ["Cached", "Cached"]
    assert [in_file(folder, 0), in_file(folder, 1)] == [{"day": "monday", "count": 7}, {"day": "monday", "count": 8}]


def test_the_file_of_another_day_is_written_from_what_was_found(folder: Path) -> None:
    """A name that tells the run is another one in each run: both runs have their file, one has computed."""
    work = report.with_options(target="{run_id}/{index}.json")
    assert states_of(folder, [7], work) == ["Completed"]
    assert states_of(folder, [7], work) == ["Cached"]
    assert [json.loads(file.read_text(encoding="utf-8"))["count"] for file in folder.glob("*/0.json")] == [7, 7]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_equal_elements_have_a_file_each(folder: Path, batch_size: int) -> None:
    """Two elements with equal arguments are computed once, and both files are there."""
    assert states_of(folder, [7, 7], report.with_options(batch_size=batch_size)) == ["Completed", "Cached"]
    assert ran == [7]
    assert in_file(folder, 0) == in_file(folder, 1) == {"day": "monday", "count": 7}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_elements_of_a_runtime_list_do_not_share_a_file(folder: Path, batch_size: int) -> None:
    """Two elements of different batches would get one file: the first has it, the other fails and says why."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        counts = task(lambda: [1, 2, 3, 11], name="counts").submit()
        work = report.with_options(target="of-{parameters[count]:.1}.json", batch_size=batch_size)
        texts = task(lambda count: str(count), name="text").map(counts)
        reports = work.map("monday", texts)
        reports.wait()
        assert "gives report[0] and report[3] the file 'of-1.json'" in reports[3].state.message
        return [element.state.name for element in reports]

    assert main() == ["Completed", "Completed", "Completed", "Failed"]
    assert json.loads((folder / "of-1.json").read_text(encoding="utf-8"))["count"] == "1"
    assert main() == ["Cached", "Cached", "Cached", "Failed"]


def test_elements_of_different_workers_do_not_share_a_file(folder: Path) -> None:
    """What another process has written is seen in the store."""

    @task(target="of-{parameters[day]}.json", cache_policy=INPUTS, batch_size=1)
    def forgetful(day: str, count: int) -> int:
        ran.append(count)
        owners_in.cache_clear()  # as if this were another process
        return count

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        days = task(lambda: ["monday", "tuesday", "monday"], name="days").submit()
        reports = forgetful.map(days, [1, 2, 3])
        reports.wait()
        return [element.state.message for element in reports]

    first, second, third = main()
    assert (first, second) == ("", "")
    assert "gives forgetful[0] and forgetful[2] the file 'of-monday.json'" in third
    assert json.loads((folder / "of-monday.json").read_text(encoding="utf-8")) == 1


def test_two_maps_do_not_share_files(folder: Path) -> None:
    """An index is the same in two maps of one run: the second one is told."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[str]:
        first, second = report.map("monday", [1]), report.map("monday", [2])
        first.wait()
        second.wait()
        return [first[0].state.name, second[0].state.name]

    assert main() == ["Completed", "Failed"]
    assert in_file(folder, 0) == {"day": "monday", "count": 1}


def test_files_of_results_that_are_not_cached(folder: Path) -> None:
    """With NO_CACHE arguments stand in the name all the same."""
    work = report.with_options(cache_policy=NO_CACHE, persist_result=True)
    assert states_of(folder, [7, 8], work) == ["Completed", "Completed"]
    assert in_file(folder, 1) == {"day": "monday", "count": 8}


def test_the_template_of_a_location(folder: Path) -> None:
    """The location of a flow names files for tasks that name none; that of a task goes before it; wrong ones fail."""

    @flow(cluster="inline", result_storage=LocalResult(folder, location="flow-{index}.json"))
    def main() -> None:
        report.with_options(target=None).submit("monday", 1).wait()
        report.with_options(target="own-{index}.json").submit("monday", 2).wait()
        elsewhere = LocalResult(folder / "there", location="task-{index}.json")
        report.with_options(target=None, result_storage=elsewhere).submit("monday", 3).wait()
        report.with_options(target=None, result_storage=folder).submit("monday", 4).wait()

    main()
    assert {str(file.relative_to(folder)) for file in folder.rglob("*-0.json")} == {
        "flow-0.json", "own-0.json", "there/task-0.json",
    }  # fmt: skip
    with pytest.raises(TemplateError, match="there is no field 'foo'"):
        LocalResult(folder, location="{foo}.json")


@pytest.mark.parametrize("template", ["format.json", "tasks/{index}.json", "runs/{index}.json", "objects/{index}.bin"])
def test_the_store_keeps_its_own_files(folder: Path, template: str) -> None:
    """A result cannot take the place of what the store is made of."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> None:
        report.with_options(target=template).submit("monday", 1)

    with pytest.raises(TemplateError):
        main()


def test_two_calls_do_not_share_a_file(folder: Path) -> None:
    """Two plain calls with different results and one file name: one of them is told, neither loses its result."""

    @flow(cluster="inline", result_storage=folder)
    def main() -> list[Any]:
        work = report.with_options(target="one.json")
        futures = [work.submit("monday", 1), work.submit("monday", 2)]
        return [load(future.reference()) for future in futures]

    with pytest.raises(TemplateError):
        main()
