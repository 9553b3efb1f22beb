"""Where the database of runs is: one spelling of its URL for all that mean the same, and one without its password."""

from __future__ import annotations

import re
from pathlib import Path

from dataflow.errors import HistoryError

__all__ = ["canonical_url", "is_off", "sqlite_path", "without_password"]

SQLITE = re.compile(r"sqlite(\+pysqlite)?://")
PASSWORD = re.compile(r"(?P<before>://[^:/@]*:)[^@]*(?P<after>@)")
ALIASES = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""Which driver a URL means that names none: the one that the extra ``postgresql`` brings."""
OFF = frozenset({"", "off"})


def is_off(url: str) -> bool:
    """Whether a setting says that there is to be no history.

    Example:
        >>> is_off("off"), is_off("runs.db")
        (True, False)
    """
    return url.lower() in OFF


def canonical_url(url: str) -> str:
    """One spelling for a database: home expanded, the driver named. A path is a SQLite file.

    Raises:
        HistoryError: a SQLite database in memory, which nobody else could ask.

    Example:
        >>> canonical_url("sqlite:////data/history.db"), canonical_url("postgresql://ada@db/runs")
        ('sqlite:////data/history.db', 'postgresql+psycopg://ada@db/runs')
    """
    if "://" not in url or SQLITE.match(url):
        return f"sqlite:///{_path_of(url)}"
    scheme, rest = url.split("://", 1)
    return f"{ALIASES.get(scheme, scheme)}://{rest}"


def sqlite_path(url: str) -> Path | None:
    """The file of a database as `canonical_url` spells it; None if it is no SQLite file."""
    return _path_of(url) if SQLITE.match(url) else None


def without_password(url: str) -> str:
    """For messages.

    Example:
        >>> without_password("postgresql://ada:secret@db/runs")
        'postgresql://ada:***@db/runs'
    """
    return PASSWORD.sub(r"\g<before>***\g<after>", url)


def _path_of(url: str) -> Path:
    """The absolute path; what follows a question mark are options for SQLAlchemy that do not apply here."""
    written = url if "://" not in url else SQLITE.sub("", url).partition("?")[0].removeprefix("/")
    if written in {"", ":memory:"}:
        raise HistoryError(
            "a database in memory can be asked by nobody",
            where=f"history={url!r}",
            fix='name a file, as in "sqlite:///~/.dataflow/history.db", or "off" for no history',
        )
    return Path(written).expanduser().absolute()
