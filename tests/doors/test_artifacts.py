"""Artifacts made by elements, by flows and outside of runs, on every kind of cluster, and found in the history."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import pytest

from dataflow import flow, task
from dataflow.artifacts import (
    acreate_link_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from dataflow.artifacts.views import Artifact, artifacts_of
from dataflow.context import current_run
from dataflow.database.reader import Reader
from dataflow.engine.notices import ARTIFACT
from dataflow.errors import UsageError
from dataflow.settings import settings
from tests.house.test_layers import loaded_by

PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def made_by(flow_: Any, *arguments: Any, cluster: Any) -> list[Artifact]:
    """The artifacts of a run of the flow, which is completed."""
    state = flow_.with_options(cluster=cluster)(*arguments, return_state=True)
    assert state.is_completed(), state.message
    return artifacts_of(Reader(settings().history).artifacts(run_id=state.run.id))


def places_of(artifacts: list[Artifact]) -> list[tuple[str, int | None, int | None]]:
    """Who made which, in the order of keys."""
    return sorted((artifact.key, artifact.node, artifact.element) for artifact in artifacts)


@pytest.fixture(params=["inline", "threads", "processes"])
def cluster(request: pytest.FixtureRequest) -> Any:
    """Every kind of cluster."""
    return request.getfixturevalue("client") if request.param == "processes" else request.param


@task
def report(text: str) -> UUID:
    return create_markdown_artifact(f"# {text}", key=text, description="a report")


@task
def picture() -> UUID:
    return create_image_artifact(image=PICTURE, key="picture")


@flow
def of_all_kinds() -> None:
    report.map(["one", "two", "three"]).result()
    picture()
    create_table_artifact([{"n": 1}], key="table")
    create_link_artifact("https://example.com", key="link")


def test_elements_and_flows_make_artifacts(cluster: Any) -> None:
    """Each is kept with the node and the element that made it; that of a flow with neither."""
    made = made_by(of_all_kinds, cluster=cluster)
    assert places_of(made) == [
        ("link", None, None),
        ("one", 0, 0),
        ("picture", 1, None),
        ("table", None, None),
        ("three", 0, 2),
        ("two", 0, 1),
    ]
    assert {artifact.key: artifact.data for artifact in made} == {
        "one": "# one",
        "two": "# two",
        "three": "# three",
        "picture": PICTURE,
        "table": [{"n": 1}],
        "link": {"link": "https://example.com", "link_text": "https://example.com"},
    }
    assert all(artifact.created <= artifact.updated for artifact in made)


@task
def count_up(steps: int) -> UUID:
    progress = create_progress_artifact(0, key="steps", description="counting")
    for step in range(steps):
        update_progress_artifact(progress, 100 * (step + 1) / steps)
    return progress


@task
def go_on(progress: UUID, percent: int) -> None:
    update_progress_artifact(UUID(str(progress)), percent, description=f"at {percent}")


@flow
def progressing() -> None:
    count_up(1_000)
    shared = create_progress_artifact(0, key="shared")
    for percent in (10, 100):
        go_on(shared, percent)


def test_progress_is_updated_by_whoever_knows_its_id(cluster: Any) -> None:
    """The newest update is kept, with the key and the place of who made it, whoever updates it."""
    shared, steps = sorted(made_by(progressing, cluster=cluster), key=lambda artifact: artifact.key)
    assert (steps.data, steps.description, steps.node, steps.versions) == (100.0, "counting", 0, (steps,))
    assert (shared.data, shared.description, shared.node) == (100.0, "at 100", None)
    assert steps.updated > steps.created


def test_of_many_updates_only_the_newest_travels() -> None:
    """A thousand updates in a second become a few notices; the last of them says all, also what was said first."""
    heard: list[Any] = []

    @flow(cluster="threads")
    def counting() -> None:
        current_run.get().listeners.append(heard.extend)  # type: ignore[union-attr]
        count_up(1_000)

    counting()
    bodies = [notice.body for notice in heard if notice.kind == ARTIFACT]
    assert 1 <= len(bodies) <= 10
    assert (bodies[-1]["data"], bodies[-1]["key"], bodies[-1]["description"]) == (b"100.0", "steps", "counting")


@task
def version(number: int) -> None:
    create_markdown_artifact(str(number), key="result")


@flow
def versions(count: int) -> None:
    version.map(range(count)).result()


def test_many_elements_with_one_key(cluster: Any) -> None:
    """A thousand elements make a thousand versions; none is lost, the newest is shown."""
    (shown,) = made_by(versions, 1_000, cluster=cluster)
    assert sorted(int(artifact.data) for artifact in shown.versions) == list(range(1_000))
    assert shown.created == max(artifact.created for artifact in shown.versions)


@task
def fail_with_a_note() -> None:
    create_markdown_artifact("what I saw", key="last-words")
    raise ValueError("no more")


@flow
def failing() -> str:
    return fail_with_a_note(return_state=True).message


def test_a_failed_element_leaves_its_artifacts() -> None:
    """What it made before it failed is kept."""
    (left,) = made_by(failing, cluster="threads")
    assert left.data == "what I saw"


@task
async def waiting(number: int) -> None:
    await asyncio.sleep(0.01)
    await create_markdown_artifact(str(number), key=f"a{number}")
    await acreate_link_artifact("https://example.com", key=f"b{number}")


@flow
async def asynchronous() -> None:
    waiting.map(range(3)).wait()
    assert isinstance(await create_markdown_artifact("x", key="flow"), UUID)


async def _run_asynchronous() -> Any:
    return await asynchronous.with_options(cluster="threads")(return_state=True)


def test_async_code_may_await() -> None:
    """Elements that run at once are told apart; both ways of writing it work."""
    state = asyncio.run(_run_asynchronous())
    made = artifacts_of(Reader(settings().history).artifacts(run_id=state.run.id))
    each = [(f"{letter}{number}", 0, number) for letter in "ab" for number in range(3)]
    assert places_of(made) == [*each, ("flow", None, None)]


@task(isolation="process")
def isolated() -> UUID:
    return create_markdown_artifact("from far away", key="isolated")


@flow
def with_isolation() -> None:
    isolated()


def test_isolated_elements_make_artifacts() -> None:
    """The process of an attempt hands them to its worker."""
    (made,) = made_by(with_isolation, cluster="threads")
    assert (made.data, made.node) == ("from far away", 0)


def test_outside_of_runs() -> None:
    """They are kept in the history at once, with no run; bars of progress can be updated there too."""
    progress = create_progress_artifact(5, key="outside")
    update_progress_artifact(UUID(str(progress)), 50)
    (found,) = artifacts_of(Reader(settings().history).artifacts(key="outside"))
    assert (found.id, found.run_id, found.data) == (progress, "", 50.0)


def test_without_a_history_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """Where none is wanted, or where it cannot be written, the program goes on."""
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr("dataflow.recording.places.history_url", lambda: None)
        assert isinstance(create_markdown_artifact("lost"), UUID)
        (tmp_path / "file").touch()
        monkeypatch.setattr("dataflow.recording.places.history_url", lambda: f"sqlite:///{tmp_path}/file/history.db")
        assert isinstance(create_markdown_artifact("lost"), UUID)
    first, second = (record.message for record in caplog.records)
    assert first == "artifacts are not kept: there is no history of runs (DATAFLOW_HISTORY=off)"
    assert second.startswith("artifacts are not kept: ")


def test_a_wrong_id_is_said() -> None:
    """An update needs what `create_progress_artifact` gave."""
    with pytest.raises(UsageError, match="'report' is no id of an artifact"):
        update_progress_artifact("report", 5)  # type: ignore[arg-type]


def test_workers_load_no_database_for_artifacts() -> None:
    """A task that makes artifacts costs its worker neither settings nor the libraries of databases."""
    asked = ("pydantic", "sqlalchemy", "sqlite3", "dataflow.settings", "dataflow.recording.places")
    assert loaded_by("import dataflow.artifacts", asked=asked) == []
