"""A SQLite file as the database of runs, through the standard library: importing SQLAlchemy takes too long."""

from __future__ import annotations

import importlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import quote

from dataflow.database.databases import Parameters, Statement
from dataflow.database.rows import Row
from dataflow.database.shapes import Key, Shape

__all__ = ["SqliteFile"]

BUSY_SECONDS: Final = 10.0
"""How long a statement waits for others that write."""
BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
FREE_PAGES: Final = 2_000
"""How many pages are given back at a time; each is moved first."""
SCHEMA: Final = Path(__file__).with_name("schema.sql")
UPGRADING: Final = "dataflow.database.upgrading"

PAGE_BYTES: Final = 16_384
"""Columns of a batch are large; the smallest run takes a page for each table and index."""
MOST_AHEAD_BYTES: Final = 16_000_000
_left_behind: list[sqlite3.Connection] = []
"""Connections of the process this one was forked from: closing them here would harm the file."""


class SqliteLink:
    """A connection to a SQLite file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def ask(self, statement: Statement, parameters: Parameters = {}) -> Iterable[Sequence[Any]]:  # noqa: B006 - only read
        """The rows that a statement gives."""
        return self._connection.execute(statement, parameters).fetchall()

    def many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Run a statement once for each of the parameters."""
        self._connection.executemany(statement, parameters)

    def replace(self, shape: Shape, rows: Mapping[Key, Row]) -> None:
        """Write rows of one class in place of those with equal keys."""
        names, marks = ", ".join(f'"{name}"' for name in shape.all_columns), ", ".join("?" * len(shape.all_columns))
        statement = f'INSERT OR REPLACE INTO "{shape.table}" ({names}) VALUES ({marks})'
        self._connection.executemany(statement, shape.all_values(rows))


class SqliteFile:
    """A SQLite file in write-ahead mode: it is read while others write."""

    problems: tuple[type[Exception], ...] = (sqlite3.Error, OSError)
    refusals: tuple[type[Exception], ...] = (
        sqlite3.DataError,
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
        ValueError,
        OverflowError,
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        """Which file the connection that writes has opened."""

    def quote(self, name: str) -> str:
        """A name as SQL."""
        return f'"{name}"'

    def version(self) -> str | None:
        """Which form its tables have; None if it has none yet."""
        if not self._path.exists():
            return None
        with self.reading() as link:
            return _version(link)

    def create(self) -> None:
        """Make the file, for its owner only, and all tables in it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        with closing(self._connect("rw")) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # this and the next only before the first table
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _write_ahead(connection)
            with _transaction(connection):
                if _version(SqliteLink(connection)) is None:
                    for statement in SCHEMA.read_text(encoding="utf-8").split(";\n"):
                        connection.execute(statement)

    def upgrade(self) -> None:
        """Bring its tables into the newest form."""
        # Alembic takes longer to import than the run of a small flow, and is needed once in the life of a file.
        importlib.import_module(UPGRADING).upgrade_sqlite(lambda: self._connect("rw"))

    @contextmanager
    def reading(self) -> Iterator[SqliteLink]:
        """A connection that reads, opened for the block: nothing is held open between questions."""
        with closing(self._connect_to_read()) as connection:
            yield SqliteLink(connection)

    @contextmanager
    def writing(self) -> Iterator[SqliteLink]:
        """A transaction of a connection that stays open."""
        if self._writer is None:
            self._opened = self._identity()
            self._writer = self._connect("rw")
            self._writer.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may cost the last moments
            self._writer.execute("PRAGMA wal_autocheckpoint = 0")  # runs wait for what is written, not for `tidy`
        with _transaction(self._writer):
            yield SqliteLink(self._writer)

    def is_in_place(self) -> bool:
        """Whether the file that was opened is still there under its name."""
        return self._writer is None or self._identity() == self._opened

    def is_busy(self, error: Exception) -> bool:
        """Whether somebody else held the lock for longer than is waited."""
        return _code(error) in BUSY

    def is_broken(self, error: Exception) -> bool:
        """Whether the file is damaged, or something else than a database."""
        return _code(error) in BROKEN

    def tidy(self) -> None:
        """Move what was written ahead into the file, if that is much; who closes it last does so in any case."""
        ahead = self._path.with_name(f"{self._path.name}-wal")
        if self._writer is not None and ahead.exists() and ahead.stat().st_size > MOST_AHEAD_BYTES:
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def shrink(self) -> None:
        """Give some of the free pages back."""
        if self._writer is not None:
            # execute() would stop after the first page: each is a row without columns, which it takes for the end.
            self._writer.executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")

    def close(self) -> None:
        """Close the connection that writes."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def forget(self) -> None:
        """Leave the connection open for ever: it is the other process's."""
        if self._writer is not None:
            _left_behind.append(self._writer)
        self._writer = None

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._path))}?{'' if mode.startswith('immutable') else 'mode='}{mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions are begun where it is said, not where the library guesses
            check_same_thread=False,  # the writer's thread ends when there is nothing to do, and another follows
        )

    def _connect_to_read(self) -> sqlite3.Connection:
        """The ordinary way has to make two files beside the database; where that cannot be, nobody can be writing."""
        connection = self._connect("rw")
        try:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("SELECT 1 FROM sqlite_master")
        except sqlite3.OperationalError:
            connection.close()
            if self._path.with_name(f"{self._path.name}-wal").exists():
                raise
            return self._connect("immutable=1")
        except BaseException:
            connection.close()
            raise
        return connection

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _version(link: SqliteLink) -> str | None:
    if not link.ask("SELECT 1 FROM sqlite_master WHERE name = 'dataflow_version'"):
        return None
    return next((str(version) for (version,) in link.ask("SELECT version_num FROM dataflow_version")), None)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Asks for the right to write at once: a transaction that reads first could not wait for others that write."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # some errors have ended the transaction already; the first one is what matters
            connection.execute("ROLLBACK")
        raise


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file; SQLite does not wait by itself for another process that does the same in this moment."""
    deadline = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if _code(error) not in BUSY or monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


def _code(error: Exception) -> int:
    """SQLite's number for an error, without what is further said about it; -1 for others."""
    code = getattr(error, "sqlite_errorcode", -1)
    return int(code) & 0xFF if code >= 0 else -1
