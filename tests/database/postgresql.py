"""A real PostgreSQL for the tests: started once, gone with the test run; each test has its own schema."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.database.server_scripts.postgresql import prefix
from tests.results.servers import REQUIRED, environment_without_python, free_port, guarded

SCRIPT = Path(__file__).parent / "server_scripts" / "postgresql.py"
DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """Where the newest server is installed; it is not on Debian's search path."""
    found = [path.parent for path in DEBIAN.glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@contextmanager
def running() -> Iterator[str]:
    """The URL of a server; skips the test, or fails it, where none is installed."""
    found = programs()
    if found is None or find_spec("psycopg") is None:
        reason = "postgresql: not installed; install with: make servers, as root on Debian or Ubuntu"
        refuse = pytest.fail if os.environ.get("DATAFLOW_TEST_SERVERS") == REQUIRED else pytest.skip
        refuse(reason)
    port = free_port()
    folders: list[Path] = []

    def command(folder: Path) -> list[str]:
        folders.append(folder)
        return [sys.executable, str(SCRIPT), str(folder), str(port), str(found)]

    with guarded(port, command, env=environment_without_python()):
        url = f"postgresql+psycopg://dataflow@127.0.0.1:{port}/postgres"
        wait_until_asked(url)
        yield url
        stop(found, folders[0])


def stop(programs: Path, folder: Path) -> None:
    """End the server before it is killed: what it shares between its processes would outlive it."""
    command = [*prefix(), str(programs / "pg_ctl"), "-D", str(folder / "home" / "data"), "-m", "immediate", "stop"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder / "home")
    shutil.rmtree(folder, ignore_errors=True)


def wait_until_asked(url: str) -> None:
    """Return when the server answers: it listens a moment earlier."""
    engine = create_engine(url, pool_pre_ping=True)
    for attempt in range(100):
        try:
            engine.connect().close()
        except Exception:
            if attempt == 99:
                raise
        else:
            break
    engine.dispose()


def fresh(url: str) -> str:
    """The URL of an empty schema of a server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    return f"{url}?options=-csearch_path%3D{name}"
