"""The suite that every store must pass, on every place the tests can reach, and on files of somebody else's making."""

from __future__ import annotations

from typing import Any

import pytest

from dataflow_results.files import open_files
from dataflow_results.store import ResultStore
from dataflow_results.testing.counting import CountingFiles
from dataflow_results.testing.suite import StoreTests
from tests.results.servers import Place, on


class TestLocal(StoreTests):
    """A folder of this machine."""

    @pytest.fixture
    def place(self, local: Place) -> Any:
        return local


@on("moto", "radosgw", "gcs", "azurite")
class TestServers(StoreTests):
    """Cloud stores; credentials reach other processes by the environment."""

    examples, steps = 2, 6

    def for_another_process(self, place: Place) -> Any:
        return ResultStore(place.url, storage_options=place.options_without_secrets), place.environment


class TestMemory(StoreTests):
    """The memory of this process."""

    other_processes = False

    @pytest.fixture
    def place(self, memory: Place) -> Any:
        return memory


class TestForeignFiles(StoreTests):
    """An implementation of `Files` that is not ours."""

    other_processes = True

    @pytest.fixture
    def place(self, local: Place) -> Any:
        return CountingFiles(open_files(local.url))
