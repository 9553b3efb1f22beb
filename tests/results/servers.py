"""Real stores for the tests: how each server is started, what it needs, and how fsspec reaches it.

`place` (a fixture in conftest.py) gives a test a fresh, empty place on each of them in turn. Servers are started when
the first test asks, on free ports, and end with the test run even if that is killed (server_scripts/guard.py). What is
not installed is skipped with a reason that says how to install it, or fails if `DATAFLOW_TEST_SERVERS=required`.
"""

from __future__ import annotations

import importlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent / "server_scripts"
INSTALLED = Path(__file__).parents[2] / ".servers"
"""Where `make servers` puts what does not come with Python."""

BUCKET = "dataflow-tests"
PORTS = range(20_000, 32_000)
"""Below the range that systems take ports for outgoing connections from: those could come between asking and using."""

START_SECONDS = 60.0
REQUIRED = "required"
SECRETS = frozenset({"connection_string", "key", "secret", "token"})

# The account and key that are published for this emulator; they open nothing else.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere results can be kept.

    Attributes:
        name: which server: one of `EVERYWHERE`.
        url: an fsspec URL without credentials; nothing is there yet.
        storage_options: all that fsspec needs besides the URL, credentials included.
        environment: variables that say to another process what `options_without_secrets` leaves out.
    """

    name: str
    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def options_without_secrets(self) -> dict[str, Any]:
        """Options that may be pickled; they do together with `environment`."""
        return {name: value for name, value in self.storage_options.items() if name not in SECRETS}

    def fresh(self) -> Place:
        """A folder of this place that nobody used before."""
        return replace(self, url=f"{self.url}/{uuid.uuid4().hex[:12]}")


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port among a hundred tried")


def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def environment_without_python() -> dict[str, str]:
    """The environment for programs of the system: the search path of our Python would mislead theirs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def last_words(folder: Path) -> str:
    """The end of what the server said, for the error message; the folder is removed."""
    text = (folder / "server.log").read_text(encoding="utf-8", errors="replace")
    shutil.rmtree(folder, ignore_errors=True)
    return text[-2_000:]


@contextmanager
def guarded(port: int, command: Callable[[Path], list[str]], **options: Any) -> Iterator[None]:
    """A server in processes of its own, from the moment it listens on the port until the block ends.

    Raises:
        RuntimeError: it ended by itself; the message holds its last words.
        TimeoutError: it does not listen within `START_SECONDS`.
    """
    folder = Path(tempfile.mkdtemp(prefix="dataflow-server-"))
    guard = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "guard.py"), str(folder), *command(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends the tests first; they end the server
        **options,
    )
    try:
        wait_until_up(guard, port, folder)
        yield
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait(timeout=START_SECONDS)


def wait_until_up(guard: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    """Return when the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while not listens(port):
        if guard.poll() is not None:
            raise RuntimeError(f"the server ended by itself; it said:\n{last_words(folder)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server did not listen within {START_SECONDS:.0f} s, see {folder}/server.log")
        time.sleep(0.02)


def make_bucket(protocol: str, options: Mapping[str, Any]) -> None:
    """The one bucket that all places of a server lie in."""
    fsspec = importlib.import_module("fsspec")
    with suppress(FileExistsError):  # moto's buckets are those of the process, also of a server that was stopped
        fsspec.filesystem(protocol, **options).mkdir(BUCKET)


def s3_place(name: str, port: int, keys: tuple[str, str]) -> Place:
    """A bucket on an S3 server of this machine."""
    options = {
        "key": keys[0],
        "secret": keys[1],
        "endpoint_url": f"http://127.0.0.1:{port}",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    make_bucket("s3", options)
    environment = {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]}
    return Place(name=name, url=f"s3://{BUCKET}", storage_options=options, environment=environment)


@contextmanager
def moto() -> Iterator[Place]:
    """S3 within this process: fast, right about conditions, takes any credentials, forgets all at the end."""
    server = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield s3_place("moto", server.get_host_and_port()[1], ("any-key", "any-secret"))
    finally:
        server.stop()


@contextmanager
def radosgw() -> Iterator[Place]:
    """S3 by Ceph: credentials are enforced, data is on its disk when it says so, 412 comes in words of its own."""
    port, monitor_port, keys = free_port(), free_port(), ("AKDATAFLOWTESTS", "SKDATAFLOWTESTS")

    def command(folder: Path) -> list[str]:
        return [sys.executable, str(SCRIPTS / "radosgw.py"), str(folder), str(monitor_port), str(port), *keys]

    with guarded(port, command, env=environment_without_python()):
        yield s3_place("radosgw", port, keys)


@contextmanager
def gcs() -> Iterator[Place]:
    """Google's storage by a patched emulator: what it proves, it proves of the emulator."""
    port = free_port()
    with guarded(port, lambda _: [sys.executable, str(SCRIPTS / "gcs.py"), str(port)]):
        options = {"project": BUCKET, "token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}
        make_bucket("gs", options)
        environment = {"FSSPEC_GS_TOKEN": "anon", "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
        yield Place(name="gcs", url=f"gs://{BUCKET}", storage_options=options, environment=environment)


@contextmanager
def azurite() -> Iterator[Place]:
    """Azure's blob storage by Microsoft's own emulator."""
    port = free_port()
    program = shutil.which("azurite-blob", path=azurite_path())
    assert program is not None
    options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    with guarded(port, lambda _: [program, *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)]):
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": "devstoreaccount1",
            "AccountKey": AZURE_KEY,
            "BlobEndpoint": f"http://127.0.0.1:{port}/devstoreaccount1",
        }
        connection = ";".join(f"{name}={value}" for name, value in parts.items())
        make_bucket("az", {"connection_string": connection})
        yield Place(
            name="azurite",
            url=f"az://{BUCKET}",
            storage_options={"connection_string": connection},
            environment={"AZURE_STORAGE_CONNECTION_STRING": connection},
        )


def azurite_path() -> str:
    """Where azurite may be: what `make servers` installed goes first."""
    return os.pathsep.join([str(INSTALLED / "node_modules" / ".bin"), os.environ.get("PATH", os.defpath)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How a server is started and what has to be there for it."""

    start: Callable[[], AbstractContextManager[Place]]
    modules: tuple[str, ...]
    programs: tuple[str, ...] = ()
    installed_by: str = "make servers"

    def missing(self) -> list[str]:
        """Modules and programs that are not installed."""
        modules = [name for name in self.modules if find_spec(name) is None]
        return modules + [name for name in self.programs if shutil.which(name, path=azurite_path()) is None]


CEPH = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
SERVERS: Mapping[str, Server] = {
    "moto": Server(start=moto, modules=("moto", "flask", "s3fs"), installed_by="pip install 'moto[server]' s3fs"),
    "radosgw": Server(
        start=radosgw, modules=("s3fs",), programs=CEPH, installed_by="make servers, as root on Debian or Ubuntu"
    ),
    "gcs": Server(
        start=gcs, modules=("gcp_storage_emulator", "gcsfs"), installed_by="pip install gcp-storage-emulator gcsfs"
    ),
    "azurite": Server(
        start=azurite,
        modules=("adlfs",),
        programs=("node", "azurite-blob"),
        installed_by="make servers, with node and npm",
    ),
}

QUICK = ("local", "memory", "moto")
"""Places that need no other process: what `pytest -m "not servers"` takes."""

EVERYWHERE = (*QUICK, "radosgw", "gcs", "azurite")


@contextmanager
def running(name: str) -> Iterator[Place]:
    """The server of this name and its one bucket; skips the test, or fails it, where something is not installed."""
    server = SERVERS[name]
    if missing := server.missing():
        reason = f"{name}: {', '.join(missing)} not installed; install with: {server.installed_by}"
        refuse = pytest.fail if os.environ.get("DATAFLOW_TEST_SERVERS") == REQUIRED else pytest.skip
        refuse(reason)
    with server.start() as place:
        yield place


def places(*names: str) -> list[Any]:
    """Parameters for the fixture `place`, those with processes of their own marked `servers`."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.servers) for name in names]


def on(*names: str) -> pytest.MarkDecorator:
    """Let a test run on these places only: `@on("moto", "radosgw")`, and take `place` as its argument."""
    return pytest.mark.parametrize("place", places(*names), indirect=True)
