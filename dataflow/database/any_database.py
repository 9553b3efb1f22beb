"""A database of runs that SQLAlchemy reaches: a server, so that many machines keep their runs in one place."""

from __future__ import annotations

import functools
import importlib
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from dataflow.database.addresses import without_password
from dataflow.database.databases import Parameters, Statement
from dataflow.database.rows import Row
from dataflow.database.schema import HEAD, VERSION_TABLE
from dataflow.database.shapes import Key, Shape
from dataflow.database.statements import Words
from dataflow.database.tables import METADATA, VERSION
from dataflow.errors import HistoryError

__all__ = ["FORMS_LOCK", "AnyDatabase"]

UPGRADING: Final = "dataflow.database.upgrading"
NO_PARAMETERS: Final[Parameters] = MappingProxyType({})
CONNECT_SECONDS: Final = 10
FORMS_LOCK: Final = 7_246_883_514
"""Any number: who holds PostgreSQL's lock of this number may change the form of the tables."""

_text = functools.cache(text)


class AnyLink:
    """A connection of SQLAlchemy."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(self, statement: Statement, parameters: Parameters = NO_PARAMETERS) -> Iterable[Sequence[Any]]:
        """The rows that a statement gives."""
        return [tuple(row) for row in self._connection.execute(_text(statement), dict(parameters))]

    def many(self, statement: Statement, parameters: Sequence[Parameters]) -> None:
        """Run a statement once for each of the parameters."""
        self._connection.execute(_text(statement), [dict(one) for one in parameters])

    def replace(self, shape: Shape, rows: Mapping[Key, Row]) -> None:
        """Write rows of one class in place of those with equal keys."""
        words = Words(self._connection.dialect.identifier_preparer.quote)
        parameters = [dict(zip(shape.all_columns, values, strict=True)) for values in shape.all_values(rows)]
        keys = [{name: one[name] for name in shape.key} for one in parameters]
        self.many(words.delete(shape.row, *shape.key), keys)
        self.many(words.insert(shape.row), parameters)


class AnyDatabase:
    """A database at a URL.

    Args:
        url: what SQLAlchemy takes.

    Raises:
        HistoryError: nothing can be reached by this URL here.
    """

    problems: tuple[type[Exception], ...] = (SQLAlchemyError, OSError)
    refusals: tuple[type[Exception], ...] = (DataError, IntegrityError, ValueError, OverflowError)

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._finalizer = weakref.finalize(self, _dispose, self._engine, os.getpid())
        self._quote = self._engine.dialect.identifier_preparer.quote

    def quote(self, name: str) -> str:
        """A name as SQL."""
        return str(self._quote(name))

    def version(self) -> str | None:
        """Which form its tables have; None if it has none yet."""
        with self._engine.connect() as connection:
            return _version(connection)

    def create(self) -> None:
        """Make all tables."""
        with self._changing_forms() as connection:
            if _version(connection) is None:
                METADATA.create_all(connection)
                VERSION.create(connection)
                connection.execute(VERSION.insert().values(version_num=HEAD))

    def upgrade(self) -> None:
        """Bring its tables into the newest form."""
        # Alembic is needed once in the life of a database.
        with self._changing_forms() as connection:
            importlib.import_module(UPGRADING).upgrade(connection)

    @contextmanager
    def reading(self) -> Iterator[AnyLink]:
        """A connection that reads."""
        with self._engine.connect() as connection:
            yield AnyLink(connection)

    @contextmanager
    def writing(self) -> Iterator[AnyLink]:
        """A transaction."""
        with self._engine.begin() as connection:
            yield AnyLink(connection)

    def is_in_place(self) -> bool:
        """Always: a server that loses its tables says so."""
        return True

    def is_busy(self, error: Exception) -> bool:
        """Never."""
        return False

    def is_broken(self, error: Exception) -> bool:
        """Never."""
        return False

    def tidy(self) -> None:
        """Servers do this by themselves."""

    def shrink(self) -> None:
        """Servers do this by themselves."""

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def forget(self) -> None:
        """Leave the connections to the process they belong to."""
        self._finalizer.detach()
        self._engine.dispose(close=False)

    @contextmanager
    def _changing_forms(self) -> Iterator[Connection]:
        """A transaction that no other process has at the same time, where the server can say so."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_text("SELECT pg_advisory_xact_lock(:number)"), {"number": FORMS_LOCK})
            yield connection


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.execute(_text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return version


def _dispose(engine: Engine, process: int) -> None:
    """Close all connections; a process that was forked must not, as they are those of the other."""
    engine.dispose(close=os.getpid() == process)


def _engine(url: str) -> Engine:
    try:
        address = make_url(url)
        has_psycopg = address.get_driver_name() == "psycopg"
        return create_engine(
            address,
            pool_size=1,
            pool_pre_ping=True,  # a server that was restarted is asked again, not found dead
            connect_args={"connect_timeout": CONNECT_SECONDS} if has_psycopg else {},
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise _unusable(url, error, "check it; " + EXAMPLES) from error
    except ModuleNotFoundError as error:
        fix = f"install the package {error.name}; for PostgreSQL: pip install 'dask-dataflow[postgresql]'"
        raise _unusable(url, error, fix) from error


EXAMPLES: Final = '"sqlite:///~/.dataflow/history.db", "postgresql://user:password@host/database", or "off"'


def _unusable(url: str, error: Exception, fix: str) -> HistoryError:
    return HistoryError(
        f"no database can be reached by this URL: {error}", where=f"history {without_password(url)}", fix=fix
    )
