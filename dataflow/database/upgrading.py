"""Bringing a database made by an older version of this package into today's form, in place: Alembic's migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

__all__ = ["CONNECTION", "MIGRATIONS", "configuration", "upgrade", "upgrade_sqlite"]

MIGRATIONS: Final = Path(__file__).with_name("migrations")
CONNECTION: Final = "connection"
"""Under this name the migrations find the connection that they run on."""

_one_at_a_time = Lock()
"""Alembic tells its migrations what they run on through variables of its modules."""


def upgrade(connection: Connection, form: str = "head") -> None:
    """Run the migrations that are missing, in the transaction of a connection: either all of them, or none.

    Args:
        connection: nobody else changes the form of the tables meanwhile.
        form: the last one to run.
    """
    with _one_at_a_time:
        command.upgrade(configuration(connection), form)


def upgrade_sqlite(connect: Callable[[], sqlite3.Connection], form: str = "head") -> None:
    """The same for a SQLite file; who comes second finds nothing left to do.

    Args:
        connect: opens it, with ``isolation_level=None``.
        form: the last one to run.
    """
    engine = _sqlite_engine(connect)
    with engine.begin() as connection:
        upgrade(connection, form)


def configuration(connection: Connection) -> Config:
    """What Alembic's commands take."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes[CONNECTION] = connection
    return config


def _sqlite_engine(connect: Callable[[], sqlite3.Connection]) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    # The right to write is asked for before the form is looked at, so that two processes cannot both find it old.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
