"""Which form the tables have, and what is done with a database of another form."""

from __future__ import annotations

from typing import Final

from dataflow.database.databases import Database
from dataflow.errors import HistoryError

__all__ = ["FORMS", "HEAD", "VERSION_TABLE", "is_ready_to_read", "make_ready"]

FORMS: Final = ("0001", "0002", "0003")
"""All forms there were, oldest first; each has a migration from the one before."""
HEAD: Final = FORMS[-1]
VERSION_TABLE: Final = "dataflow_version"


def make_ready(database: Database, where: str) -> None:
    """Let a database have all tables in their newest form.

    Args:
        database: the database.
        where: what it is called in messages.

    Raises:
        HistoryError: a newer version of this package has made it.
    """
    if not is_ready_to_read(database, where):
        database.create()


def is_ready_to_read(database: Database, where: str) -> bool:
    """Whether it has tables, which are then in their newest form; it is never created.

    Raises:
        HistoryError: a newer version of this package has made it.
    """
    version = database.version()
    if version in FORMS[:-1]:
        database.upgrade()
    elif version not in {None, HEAD}:
        raise HistoryError(
            f"made by a newer version of dataflow: its form is {version}, known are those up to {HEAD}",
            where=where,
            fix="upgrade dataflow here, or name another database: DATAFLOW_HISTORY=sqlite:///~/.dataflow/other.db",
        )
    return version is not None
