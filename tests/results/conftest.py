"""What tests of results share: `place`, a fresh empty place on local disk, in memory and on real servers in turn."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.results.servers import EVERYWHERE, Place, places, running

# Read when gcsfs is imported, so it has to be said before: the default class asks Google over an encrypted connection
# which kind of bucket it has, and waits a minute for each answer that an emulator never gives.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


LARGE_BODY = "ignore:Sending a large body directly with raw bytes:ResourceWarning"
"""What aiohttp says when gcsfs or adlfs hand it a large part as bytes, which is theirs to change."""


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that start servers, and let pass what is no fault of ours."""
    config.addinivalue_line("filterwarnings", LARGE_BODY)
    config.addinivalue_line("markers", 'servers: starts a server in processes of its own (leave out: -m "not servers")')


@pytest.fixture(scope="session", autouse=True)
def models_read_once() -> Iterator[None]:
    """Each client of S3 reads megabytes of descriptions anew; a user has a client or two, the tests have hundreds."""
    loader = importlib.import_module("botocore.loaders").JSONFileLoader
    original, known = loader.load_file, {}

    def load_file(self: Any, file_path: str) -> Any:
        if file_path not in known:
            known[file_path] = original(self, file_path)
        return known[file_path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "load_file", load_file)
        yield


@pytest.fixture(scope="session")
def moto() -> Iterator[Place]:
    """S3 within this process, started once."""
    with running("moto") as place:
        yield place


@pytest.fixture(scope="session")
def radosgw() -> Iterator[Place]:
    """S3 by a Ceph cluster, started once."""
    with running("radosgw") as place:
        yield place


@pytest.fixture(scope="session")
def gcs() -> Iterator[Place]:
    """Google's storage by an emulator, started once."""
    with running("gcs") as place:
        yield place


@pytest.fixture(scope="session")
def azurite() -> Iterator[Place]:
    """Azure's storage by an emulator, started once."""
    with running("azurite") as place:
        yield place


@pytest.fixture
def local(tmp_path: Path) -> Place:
    """A folder of this machine."""
    return Place(name="local", url=str(tmp_path))


@pytest.fixture
def memory() -> Iterator[Place]:
    """A folder in the memory of this process, emptied after the test."""
    place = Place(name="memory", url="memory://dataflow-tests").fresh()
    yield place
    files = importlib.import_module("fsspec").filesystem("memory")
    if files.exists(place.url):
        files.rm(place.url, recursive=True)


@pytest.fixture(params=places(*EVERYWHERE))
def place(request: pytest.FixtureRequest) -> Place:
    """A place nobody used before, on each server in turn; `@on(...)` of tests.results.servers names fewer."""
    found: Place = request.getfixturevalue(request.param)
    return found.fresh()
