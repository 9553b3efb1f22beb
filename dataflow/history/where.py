"""Which database is asked: the one that is named, or that of the setting ``history``."""

from __future__ import annotations

import os

from dataflow.database.addresses import is_off
from dataflow.errors import HistoryError

__all__ = ["DEFAULT_URL", "VARIABLE", "history_url"]

DEFAULT_URL = "sqlite:///~/.dataflow/history.db"
VARIABLE = "DATAFLOW_HISTORY"


def history_url(given: str | None = None) -> str:
    """The URL of the database of runs.

    The setting is read by hand: the module of the settings takes as long to load as everything else that is needed to
    show a run. A test holds the two together.

    Args:
        given: a URL, or the path of a SQLite file; None for the setting.

    Raises:
        HistoryError: there is no history.

    Example:
        >>> history_url("sqlite:///runs.db")
        'sqlite:///runs.db'
    """
    url = os.environ.get(VARIABLE, DEFAULT_URL) if given is None else given
    if is_off(url):
        raise HistoryError("no history of runs is kept", where=f"{VARIABLE}={url}", fix="name a database, or unset it")
    return url
