"""Stores that flows are given: what must not travel does not, is not shown, and is used as it was opened."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from dataflow import Task, flow, task
from dataflow.cache_policies import INPUTS
from dataflow.persistence import StoreAddress
from dataflow.results import MemoryResult, ResultStore, S3Result
from dataflow_results.errors import StoreUrlError
from dataflow_results.store import SIGNING_KEY_VARIABLE

SECRET = "open sesame"


@task(cache_policy=INPUTS)
def double(x: int) -> int:
    return 2 * x


def states_of(cluster: str, storage: Any) -> list[str]:
    """The states of two elements of one run."""

    @flow(cluster=cluster, result_storage=storage)
    def main() -> list[str]:
        elements = double.map([1, 2])
        elements.wait()
        return [element.state.name for element in elements]

    return main()


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_the_memory_of_this_process_is_a_store_within_it(cluster: str) -> None:
    """Without other processes a memory store finds what it has kept."""
    place = MemoryResult(f"within-{cluster}")
    assert [states_of(cluster, place), states_of(cluster, place)] == [["Completed"] * 2, ["Cached"] * 2]


@pytest.mark.parametrize("cluster", ["inline", "threads"])
def test_a_store_with_secrets_is_used_within_this_process(cluster: str, tmp_path: Path) -> None:
    """A store with a signing key of its own signs and reads what a run keeps, and others see nothing of it."""

    def opened(key: str | None) -> ResultStore:
        return ResultStore(tmp_path, signing_key=key)

    assert states_of(cluster, opened(SECRET)) == ["Completed"] * 2
    assert states_of(cluster, opened(SECRET)) == ["Cached"] * 2
    with pytest.warns(UserWarning, match="sign"):
        assert states_of(cluster, opened("another")) == ["Completed"] * 2


@pytest.mark.parametrize(
    ("storage", "told"),
    [
        (
            lambda folder: MemoryResult("x"),
            r"^memory://x: a store in the memory of this process .*\n.*a folder that all",
        ),
        (
            lambda folder: S3Result("b", options={"secret": SECRET}),
            r"^s3://b: this store has credentials .*\n.*environ",
        ),
        (lambda folder: f"sftp://me:{SECRET}@host/x", r"^sftp://me@host/x: this store has credentials .*\n.*environ"),
        (
            lambda folder: ResultStore(folder, signing_key=SECRET),
            rf"signing key of its own.*\n.*{SIGNING_KEY_VARIABLE}",
        ),
    ],
    ids=["memory", "options", "url", "signing key"],
)
def test_what_must_not_travel_is_refused_at_the_call(tmp_path: Path, storage: Any, told: str) -> None:
    """Where workers are other processes, the call of the task is the error, and it says what to do instead."""
    place = storage(tmp_path)

    @flow(cluster="local", result_storage=place)
    def main() -> str:
        with pytest.raises(StoreUrlError, match=told) as caught:
            double.submit(1)
        return str(caught.value)

    assert SECRET not in main()


@pytest.mark.parametrize(
    "storage", [S3Result("b", options={"secret": SECRET}), f"sftp://me:{SECRET}@host/x"], ids=["options", "url"]
)
def test_credentials_are_neither_pickled_nor_shown(storage: Any) -> None:
    """However a task gets to another process, and whoever prints it."""
    chosen: Task[..., Any] = double.with_options(name="other", result_storage=storage)
    with pytest.raises(StoreUrlError, match="credentials"):
        pickle.dumps(chosen.spec.persistence.storage)  # type: ignore[union-attr]
    assert SECRET not in repr((StoreAddress.of(storage), chosen.spec, chosen.spec.persistence))


def test_a_signing_key_of_the_environment_may_be_given_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process reads its own environment; the key is not in the pickle, and the store is opened once."""
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, SECRET)
    address = StoreAddress.of(ResultStore(tmp_path, signing_key=SECRET, safe=True, serializer="json"))
    data = pickle.dumps(address)
    assert SECRET.encode() not in data
    one, two = pickle.loads(data), pickle.loads(data)
    assert one.open() is two.open()
    assert one.open().signing_key == SECRET.encode()


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and per cents in the name of a folder are no escapes."""
    folder = tmp_path / "a b%20c"
    assert states_of("inline", folder) == ["Completed"] * 2
    assert (folder / "format.json").exists()
    monkeypatch.chdir(tmp_path)
    assert states_of("inline", "x/../a b%20c") == ["Cached"] * 2


def test_a_store_of_ones_own_options_is_shared_by_workers(tmp_path: Path) -> None:
    """A ResultStore goes to worker processes with its serializer: the packs are JSON."""
    assert states_of("local", ResultStore(tmp_path, serializer="json")) == ["Completed"] * 2
    assert states_of("local", ResultStore(tmp_path, serializer="json")) == ["Cached"] * 2
    assert b"json" in next(tmp_path.rglob("*.pack")).read_bytes()


def test_no_place_is_no_store() -> None:
    """An empty text is not the current folder."""
    with pytest.raises(StoreUrlError, match="is no URL of a store"):
        double.with_options(result_storage="")
