"""Results on a real Dask cluster: workers read and write the store themselves, and nothing kept is computed twice."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from dataflow import flow, task, unmapped
from dataflow.cache_policies import INPUTS
from dataflow.results import MemoryResult, S3Result, load
from dataflow_results.errors import StoreError
from tests.results.servers import Place, running

KEPT = INPUTS - "folder"


def note(folder: str, name: object) -> None:
    """Counts a call, in one write that no other process can split."""
    file = os.open(Path(folder) / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{name}\n".encode())
    os.close(file)


def calls(folder: Path) -> Counter[str]:
    """How often each call was made, over all workers."""
    file = folder / "calls"
    return Counter(file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else [])


@task(cache_policy=KEPT, batch_size=10)
def double(x: int, folder: str) -> int:
    note(folder, x)
    return 2 * x


@task(cache_policy=KEPT, batch_size=5)
def kill_once(x: int, folder: str) -> int:
    """The element 12 kills its worker, the first time."""
    note(folder, x)
    if x == 12 and not (Path(folder) / "killed").exists():
        (Path(folder) / "killed").touch()
        os._exit(1)
    return 2 * x


def test_workers_keep_and_find_results(client: Client, tmp_path: Path) -> None:
    """40 elements in 4 batches: 4 packs; the second run finds all; with 2 changed, these 2 are run."""

    @flow(cluster=client, result_storage=tmp_path / "store")
    def main(numbers: list[int]) -> tuple[list[int], Counter[str]]:
        elements = double.map(numbers, unmapped(str(tmp_path)))
        return elements.result(), Counter(element.state.name for element in elements)

    assert main(list(range(40))) == ([2 * x for x in range(40)], {"Completed": 40})
    assert len(list((tmp_path / "store").rglob("*.pack"))) == 4
    assert main(list(range(40))) == ([2 * x for x in range(40)], {"Cached": 40})
    assert main([100, *range(1, 39), 139])[1] == {"Cached": 38, "Completed": 2}
    assert calls(tmp_path) == {str(x): 1 for x in (*range(40), 100, 139)}


def test_inline_and_dask_find_each_others_results(client: Client, tmp_path: Path) -> None:
    """The same key in every process: what one kind of cluster kept, the other finds."""

    @flow(result_storage=tmp_path / "store")
    def main(numbers: list[int]) -> list[str]:
        elements = double.map(numbers, unmapped(str(tmp_path)))
        elements.wait()
        return [element.state.name for element in elements]

    assert main.with_options(cluster="inline")([1, 2]) == ["Completed", "Completed"]
    assert main.with_options(cluster=client)([1, 2, 3]) == ["Cached", "Cached", "Completed"]
    assert main.with_options(cluster="inline")([3, 2, 1]) == ["Cached", "Cached", "Cached"]


def test_a_reference_leads_to_the_value_after_the_run(client: Client, tmp_path: Path) -> None:
    """Results that workers wrote are loaded by this process, when nothing is left on the cluster."""

    @flow(cluster=client, result_storage=tmp_path / "store")
    def main() -> list[str]:
        elements = double.map([5, 6], unmapped(str(tmp_path)))
        return [str(element.reference()) for element in elements]

    assert [load(text) for text in main()] == [10, 12]


def test_a_relative_path_is_that_of_the_client(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have folders of their own; results lie where the client's relative path points."""
    monkeypatch.chdir(tmp_path)

    @flow(cluster=client, result_storage="here")
    def main() -> list[int]:
        return double.map([5, 6], unmapped(str(tmp_path))).result()

    assert main() == [10, 12]
    assert len(list((tmp_path / "here").rglob("*.pack"))) == 1


def test_workers_do_not_write_into_one_file(client: Client, tmp_path: Path) -> None:
    """8 elements that turn out to want one file, on all workers at once: at most one has it, the others say why."""

    @task
    def counted() -> list[int]:
        return list(range(8))

    @task(target="{parameters[x]:.0}all.json", batch_size=1, cache_policy=INPUTS)
    def text(x: str) -> str:
        return x

    @flow(cluster=client, result_storage=tmp_path / "store")
    def main() -> list[str]:
        texts = text.map(task(lambda x: str(x), name="made").map(counted.submit()))
        texts.wait()
        return [element.state.message for element in texts]

    refused = [message for message in main() if message]
    assert len(refused) >= 7
    assert all("the file 'all.json'" in message for message in refused)


def test_a_killed_worker_costs_what_was_under_way(tmp_path: Path) -> None:
    """A worker dies in a batch of 5: the run ends well, and only elements that were under way ran twice."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as own,
    ):

        @flow(cluster=own, result_storage=tmp_path / "store")
        def main() -> list[int]:
            return kill_once.map(range(30), unmapped(str(tmp_path))).result()

        assert main() == [2 * x for x in range(30)]
        seen = calls(tmp_path)
        assert set(seen) == {str(x) for x in range(30)}
        again = {int(x) for x, count in seen.items() if count > 1}
        assert 12 in again
        assert again <= {10, 11, 12}, "the elements of its batch that had begun; batches before it were kept"
        assert main() == [2 * x for x in range(30)]
        assert calls(tmp_path) == seen


# S3


@pytest.fixture(scope="module")
def moto() -> Iterator[Place]:
    """S3 within this process."""
    with running("moto") as place:
        yield place


def s3_of(place: Place, options: Any) -> S3Result:
    """A location on the server."""
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    return S3Result(bucket, prefix, options=options)


def test_on_s3_credentials_are_those_of_each_process(
    moto: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With credentials in the environment of client and workers only, results are kept, found and referred to."""
    place = moto.fresh()
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as own,
    ):

        @flow(cluster=own, result_storage=s3_of(place, place.options_without_secrets))
        def main() -> tuple[Counter[str], str]:
            elements = double.map(range(40), unmapped(str(tmp_path)))
            elements.wait()
            return Counter(element.state.name for element in elements), str(elements[39].reference())

        first, second = main(), main()
    assert first[0] == {"Completed": 40}
    assert second[0] == {"Cached": 40}
    assert first[1] == second[1]
    assert load(second[1], place.options_without_secrets) == 78
    assert not any(secret in repr((first, second)) for secret in place.environment.values())


def test_credentials_do_not_travel_to_workers(client: Client, moto: Place, tmp_path: Path) -> None:
    """Options that hold a secret are refused where workers are other processes, with what to do instead."""

    @flow(cluster=client, result_storage=s3_of(moto.fresh(), moto.storage_options))
    def main() -> Any:
        elements = double.map(range(4), unmapped(str(tmp_path)))
        return elements[0].result(raise_on_failure=False)

    with pytest.raises(StoreError, match="credentials"):
        main()


def test_locations_show_no_secrets(moto: Place) -> None:
    """The place of results as it may be printed or logged."""
    location = s3_of(moto, moto.storage_options)
    assert not any(secret in repr(location) for secret in moto.environment.values())
    chosen = double.with_options(result_storage=location)
    shown = repr((chosen, chosen.options, chosen.spec))
    assert not any(secret in shown for secret in moto.environment.values())


def test_the_memory_of_a_process_is_no_store_for_a_cluster(client: Client, tmp_path: Path) -> None:
    """A memory:// store cannot work between processes, and says so instead of finding now this and now that."""

    @flow(cluster=client, result_storage=MemoryResult("on-dask"))
    def main() -> list[int]:
        return double.map(range(4), unmapped(str(tmp_path))).result()

    with pytest.raises(StoreError, match="memory"):
        main()


def test_locations_pickle(moto: Place) -> None:
    """Locations without secrets travel."""
    location = s3_of(moto, moto.options_without_secrets)
    assert pickle.loads(pickle.dumps(location)) == location
