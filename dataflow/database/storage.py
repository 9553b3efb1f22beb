"""The writer's hold on its database: opened when needed, and again after trouble; used by its thread only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice

from dataflow.database.addresses import without_password
from dataflow.database.databases import Database
from dataflow.database.deleting import delete_run, outdated_runs
from dataflow.database.health import Trouble
from dataflow.database.opening import database_at
from dataflow.database.retention import Keep
from dataflow.database.rows import RequestRow, Row
from dataflow.database.schema import make_ready
from dataflow.database.shapes import SHAPES, Key
from dataflow.database.statements import AT_ONCE, Query, Words, put
from dataflow.errors import HistoryError

__all__ = ["Storage"]


class Storage:
    """A database to be written. Used by the writer's thread only.

    Args:
        url: as `canonical_url` spells it.
    """

    def __init__(self, url: str) -> None:
        self.where = without_password(url)
        self._url = url
        self._database: Database | None = None
        self._words = Words(str)
        self.is_open = False

    def open(self) -> bool:
        """Make sure that there is a database with all its tables; True if one that was there had been taken away.

        Raises:
            HistoryError: it can never be used.
            Exception: it cannot be used now.
        """
        was_taken_away = self._database is not None and not self._database.is_in_place()
        if was_taken_away:
            self.close()
        if not self.is_open:
            self._database = database_at(self._url)
            self._words = Words(self._database.quote)
            make_ready(self._database, self.where)
            self.is_open = True
        return was_taken_away

    def write(self, rows: Mapping[Key, Row]) -> list[Row]:
        """Write all rows in one transaction; gives back those that no database would take, which are left out."""
        database = self._opened
        try:
            with database.writing() as link:
                put(link, rows)
        except database.refusals:
            return self._write_apart({key: _cleaned(row) for key, row in rows.items()})
        return []

    def open_requests(self, run_ids: Collection[str]) -> list[RequestRow]:
        """What is asked of runs and not answered yet."""
        ids = list(run_ids)
        with self._opened.reading() as link:
            return [
                row
                for first in range(0, len(ids), AT_ONCE)
                for row in Query(self._words, RequestRow)
                .among("run_id", ids[first : first + AT_ONCE])
                .where(f"{self._words.quote('answered')} IS NULL", {})
                .ordered("asked")
                .rows(link)
            ]

    def outdated(self, keep: Keep, now: float) -> list[str]:
        """The ids of runs to forget, oldest first."""
        with self._opened.reading() as link:
            return outdated_runs(link, self._words, keep, now)

    def delete(self, run_id: str) -> None:
        """Forget a run."""
        delete_run(self._opened, self._words, run_id)
        self._opened.shrink()

    def tidy(self) -> None:
        """What has time when nothing is to be written."""
        self._opened.tidy()

    def trouble_of(self, error: Exception) -> Trouble:
        """What an error means for the tries to come."""
        database = self._database
        if isinstance(error, HistoryError):
            return Trouble.HOPELESS
        if database is not None and database.is_broken(error):
            return Trouble.HOPELESS
        return Trouble.BUSY if database is not None and database.is_busy(error) else Trouble.PASSING

    def close(self) -> None:
        """Let go of the database; `open` takes hold of it again."""
        database, self._database, self.is_open = self._database, None, False
        if database is not None:
            database.close()

    def forget(self) -> None:
        """Let go of connections that belong to the process this one was forked from."""
        if self._database is not None:
            self._database.forget()
        self._database, self.is_open = None, False

    @property
    def _opened(self) -> Database:
        assert self._database is not None, "open() comes first"
        return self._database

    def _write_apart(self, rows: Mapping[Key, Row]) -> list[Row]:
        """All rows that can be written: those that cannot are found by halving."""
        database = self._opened
        try:
            with database.writing() as link:
                put(link, rows)
        except database.refusals:
            if len(rows) == 1:
                return list(rows.values())
            half = len(rows) // 2
            return [
                *self._write_apart(dict(islice(rows.items(), half))),
                *self._write_apart(dict(islice(rows.items(), half, None))),
            ]
        return []


def _cleaned(row: Row) -> Row:
    """A row whose texts every database takes: PostgreSQL keeps no NUL, and nobody half of a character."""
    shape = SHAPES[type(row)]
    values = dict(zip(shape.columns, shape.values_of(row), strict=True))
    texts = {name: _clean(value) for name, value in values.items() if isinstance(value, str)}
    cleaned: Row = shape.row(**(values | texts))
    return cleaned


def _clean(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode("utf-8")
