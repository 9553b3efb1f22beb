"""Where the history of runs is kept, as the settings say it, or as the run does that this code is part of."""

from __future__ import annotations

import socket

from dataflow.context import element_facts, run_facts
from dataflow.database.addresses import is_off
from dataflow.run_facts import RunFacts
from dataflow.settings import settings

__all__ = ["history_url", "origin", "url_within"]

FILE = "sqlite"


def history_url() -> str | None:
    """URL of the database that the history of a run is kept in which begins here; None if it is kept nowhere."""
    return url_within(run_facts())


def url_within(outer: RunFacts | None) -> str | None:
    """The same, of a run that begins within another one.

    What a task begins on a worker is kept where the history of its run is. A file is written to on one machine only,
    because locks on shared disks do not hold: on others there is no history.
    """
    url = settings().history if outer is None else outer.history
    is_elsewhere = outer is not None and url.startswith(FILE) and outer.host != socket.gethostname()
    return None if is_off(url) or is_elsewhere else url


def origin() -> tuple[str, str]:
    """Id of the run that this code is part of, and its element: ``"load[3]"``; empty for what there is not."""
    outer, element = run_facts(), element_facts()
    if outer is None:
        return "", ""
    index = element.get("index")
    return outer.id, str(element.get("slug", "")) + ("" if index is None else f"[{index}]")
