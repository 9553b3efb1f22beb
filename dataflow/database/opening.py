"""From a URL to a database: a SQLite file through the standard library, everything else through SQLAlchemy."""

from __future__ import annotations

import importlib

from dataflow.database.addresses import canonical_url, sqlite_path
from dataflow.database.databases import Database
from dataflow.database.sqlite_file import SqliteFile

__all__ = ["database_at"]

SERVERS = "dataflow.database.any_database"


def database_at(url: str) -> Database:
    """The database that a URL names; nothing is opened yet.

    Raises:
        HistoryError: the URL names no database that can be used, or a package is missing for it.
    """
    address = canonical_url(url)
    path = sqlite_path(address)
    if path is not None:
        return SqliteFile(path)
    # Only here: SQLAlchemy takes a quarter of a second to import, and most databases are SQLite files.
    database: Database = importlib.import_module(SERVERS).AnyDatabase(address)
    return database
