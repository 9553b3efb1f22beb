"""URLs that mean one database are spelt alike, and messages show no passwords."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflow.database.addresses import canonical_url, sqlite_path, without_password
from dataflow.errors import HistoryError

HOME = Path.home()


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:////data/runs.db?timeout=5", "sqlite:////data/runs.db"),
        ("sqlite+pysqlite:////data/runs.db", "sqlite:////data/runs.db"),
        ("/data/runs.db", "sqlite:////data/runs.db"),
        ("sqlite:///~/runs.db", f"sqlite:///{HOME}/runs.db"),
        ("~/runs.db", f"sqlite:///{HOME}/runs.db"),
        ("sqlite:///runs.db", f"sqlite:///{Path.cwd()}/runs.db"),
        ("sqlite:////data/my runs%20.db", "sqlite:////data/my runs%20.db"),
        ("postgresql://ada:secret@db/runs", "postgresql+psycopg://ada:secret@db/runs"),
        ("postgres://db/runs", "postgresql+psycopg://db/runs"),
        ("postgresql+psycopg2://db/runs", "postgresql+psycopg2://db/runs"),
    ],
)
def test_one_spelling(url: str, canonical: str) -> None:
    """Home and driver are named, options of SQLite are left out, a path is a SQLite file."""
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", ":memory:"])
def test_memory_is_no_place_for_history(url: str) -> None:
    """A database that ends with its process is refused with what to write instead."""
    with pytest.raises(HistoryError, match=r"can be asked by nobody[\s\S]*instead: name a file"):
        canonical_url(url)


def test_only_sqlite_has_a_path() -> None:
    """Servers have none."""
    assert sqlite_path("sqlite:////data/runs.db") == Path("/data/runs.db")
    assert sqlite_path("postgresql+psycopg://db/runs") is None


@pytest.mark.parametrize("password", ["secret", "with/slash", "p:w"])
def test_messages_show_no_password(password: str) -> None:
    """Whatever the password looks like."""
    assert without_password(f"postgresql://ada:{password}@db:5432/runs") == "postgresql://ada:***@db:5432/runs"
