"""Exactly once: what has a result is not run again, and one element that cannot be kept is one element's trouble."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow import flow, task
from dataflow.cache_policies import INPUTS
from dataflow.results import S3Result
from dataflow_results.errors import StoreDenied, StoreError
from dataflow_results.problems import ResultsWarning

ran: list[Any] = []
"""The arguments of calls that were made; everything here runs in this process."""


@pytest.fixture(autouse=True)
def nothing_ran_yet() -> None:
    ran.clear()


@task(cache_policy=INPUTS)
def double(x: Any) -> Any:
    ran.append(x)
    return 2 * x


def packs_in(folder: Path) -> int:
    """How many packs a store has."""
    return sum(1 for _ in folder.rglob("*.pack"))


def test_ten_changed_of_a_thousand(tmp_path: Path) -> None:
    """1,000 elements are run and kept; of the same with 10 changed exactly these 10 are run."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main(numbers: Any) -> Any:
        return double.map(numbers).result()

    assert main(list(range(1000))) == [2 * x for x in range(1000)]
    assert len(ran) == 1000
    ran.clear()
    changed = [x + 0.5 if x % 100 == 7 else x for x in range(1000)]
    assert main(changed) == [2 * x for x in changed]
    assert ran == [7.5, 107.5, 207.5, 307.5, 407.5, 507.5, 607.5, 707.5, 807.5, 907.5]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_is_invisible(tmp_path: Path, batch_size: int) -> None:
    """What was kept in batches of one size is found in batches of another."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main(size: int | None) -> list[str]:
        elements = double.with_options(batch_size=size).map(range(50))
        elements.wait()
        return [element.state.name for element in elements]

    assert main(batch_size) == ["Completed"] * 50
    assert main(20) == ["Cached"] * 50
    assert ran == list(range(50))


def test_one_batch_is_one_pack(tmp_path: Path) -> None:
    """500 small results in one batch make one file, and nothing is written when all are found."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> None:
        double.with_options(batch_size=500).map(range(500)).wait()

    main()
    assert packs_in(tmp_path) == 1
    main()
    assert packs_in(tmp_path) == 1


def test_equal_elements_of_one_map_are_computed_once(tmp_path: Path) -> None:
    """Of 300 elements with 3 different arguments 3 are run, wherever the others lie; all of them have the value."""

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[int]:
        return double.map([x % 3 for x in range(300)]).result()

    assert main() == [2 * (x % 3) for x in range(300)]
    assert ran == [0, 1, 2]


def test_equal_large_results_lie_in_the_store_once(tmp_path: Path) -> None:
    """Two elements with different arguments and equal arrays of 2 MB share one file of the store."""

    @task(cache_policy=INPUTS)
    def zeros(x: int) -> Any:
        return np.zeros(250_000)

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[float]:
        return [float(array.sum()) for array in zeros.map([1, 2]).result()]

    assert [main(), main()] == [[0.0, 0.0], [0.0, 0.0]]
    assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 1


def test_failed_elements_are_not_cached(tmp_path: Path) -> None:
    """What failed is run again by the next run, what completed is not."""

    @task(cache_policy=INPUTS)
    def refuse_two(x: int) -> int:
        ran.append(x)
        if x == 2:
            raise ValueError("two")
        return x

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[str]:
        elements = refuse_two.map([1, 2, 3])
        elements.wait()
        return [element.state.name for element in elements]

    assert main() == ["Completed", "Failed", "Completed"]
    assert main() == ["Cached", "Failed", "Cached"]
    assert ran == [1, 2, 3, 2]


def test_a_result_that_cannot_be_stored_fails_its_element(tmp_path: Path) -> None:
    """A lock cannot outlive a run: its element fails, what depends on it is UpstreamFailed, the rest is kept."""

    @task(cache_policy=INPUTS)
    def make(x: int) -> Any:
        return threading.Lock() if x == 2 else x

    @task
    def after(x: Any) -> str:
        return type(x).__name__

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[list[str]]:
        made = make.map([1, 2, 3])
        behind = after.map(made)
        kept_behind = after.with_options(name="kept", cache_policy=INPUTS).map(made)
        found = []
        for elements in (made, behind, kept_behind):
            elements.wait()
            found.append([element.state.name for element in elements])
        assert made[1].state.message.startswith("Unserializable: _thread.lock cannot be stored by 'pickle'")
        assert "instead: give back plain data" in made[1].state.message
        assert behind[0].result() == "int"
        return found

    ended = ["Completed", "UpstreamFailed", "Completed"]
    assert main() == [["Completed", "Failed", "Completed"], ended, ended]
    assert main()[0] == ["Cached", "Failed", "Cached"]


def test_a_result_that_fails_while_it_is_stored_fails_its_element(tmp_path: Path) -> None:
    """The user's own __reduce__ raises: the batch lives on, and the message says what happened."""

    class Sulky:
        def __reduce__(self) -> Any:
            raise RuntimeError("not today")

    @task(cache_policy=INPUTS)
    def make(x: int) -> Any:
        return Sulky() if x == 0 else x

    @flow(cluster="inline", result_storage=tmp_path)
    def main() -> list[str]:
        elements = make.map([0, 1])
        elements.wait()
        assert "RuntimeError: not today" in elements[0].state.message
        return [element.state.name for element in elements]

    assert main() == ["Failed", "Completed"]


NO_SERVER = S3Result(
    "bucket",
    options={
        "key": "AKIDEXAMPLE",
        "secret": "topsecret",
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    },
)


def test_a_store_that_does_not_answer_fails_the_elements(caplog: pytest.LogCaptureFixture) -> None:
    """Elements that need it fail with an error that says which store, and without its secrets; nothing runs in vain."""

    @task
    def without(x: int) -> int:
        return x

    @flow(cluster="inline", result_storage=NO_SERVER)
    def main() -> str:
        elements = double.map([1, 2])
        free = without.with_options(persist_result=False).map([1, 2])
        assert free.result() == [1, 2]
        elements.wait()
        assert [element.state.name for element in elements] == ["Failed", "Failed"]
        error = elements[0].result(raise_on_failure=False)
        assert isinstance(error, StoreError)
        return str(error)

    said = main()
    assert said.startswith("s3://bucket/")
    assert "the store cannot be reached" in said
    assert "instead: check the network and the endpoint" in said
    assert ran == []
    assert "topsecret" not in said + caplog.text


def test_a_path_that_is_a_file_is_no_store(tmp_path: Path) -> None:
    """The elements fail with a StoreError that names the path."""
    (tmp_path / "file").write_text("x", encoding="utf-8")

    @flow(cluster="inline", result_storage=tmp_path / "file")
    def main() -> None:
        elements = double.map([1, 2])
        elements.wait()
        error = elements[0].result(raise_on_failure=False)
        assert isinstance(error, StoreError)
        assert str(tmp_path / "file") in str(error)

    main()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing of it."""

    def log_message(self, *_: Any) -> None:
        """Not to the test's output."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL at which the folder ``store`` can be read, and not written."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/store"
        server.shutdown()
        thread.join()


def test_a_read_only_store_fails_what_is_new(tmp_path: Path, served: str) -> None:
    """What a colleague serves over http is found and taken; what would have to be written fails with a StoreError."""

    @flow(cluster="inline")
    def main(numbers: list[int], place: Any) -> list[str]:
        elements = double.with_options(result_storage=place).map(numbers)
        elements.wait()
        errors = [element.result(raise_on_failure=False) for element in elements]
        assert all(isinstance(error, StoreDenied) for error in errors if not isinstance(error, int))
        return [element.state.name for element in elements]

    assert main([1], tmp_path / "store") == ["Completed"]
    assert main([1, 2], served) == ["Cached", "Failed"]


def test_a_damaged_pack_is_computed_again(tmp_path: Path) -> None:
    """Ten bytes in the middle of a pack are changed: its elements are run again, with a warning, and all is right."""

    @flow(cluster="inline")
    def main(place: Path) -> list[int]:
        return double.with_options(result_storage=place).map([1, 2, 3]).result()

    main(tmp_path / "store")
    ran.clear()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    for pack in (tmp_path / "copy").rglob("*.pack"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 10] = b"\xff" * 10
        pack.write_bytes(data)
    with pytest.warns(ResultsWarning, match="does not fit its checksum"):
        assert main(tmp_path / "copy") == [2, 4, 6]
    assert sorted(ran) == [1, 2, 3]
    assert [str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy" / "set-aside").rglob("*.pack*")]
