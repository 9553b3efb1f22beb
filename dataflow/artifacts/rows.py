"""Rows of artifacts, made from what elements and flows say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dataflow.database.rows import ArtifactRow

__all__ = ["ArtifactRows", "artifact_row"]

KNOWN_ONLY_TO_ITS_MAKER = ("key", "description", "created")
"""What an update says only where it comes from the process that made the artifact."""


class ArtifactRows:
    """Makes the rows of one execution, and puts updates of bars of progress together with what was known of them.

    Args:
        run_id: the run.
        execution_id: the execution.
    """

    def __init__(self, run_id: str, execution_id: str = "") -> None:
        self._run_id = run_id
        self._execution_id = execution_id
        self._progress: dict[str, ArtifactRow] = {}

    def row(self, body: Mapping[str, Any], *, node: int | None = None, element: int | None = None) -> ArtifactRow:
        """The row of an artifact; that of an update belongs to who made the artifact.

        Args:
            body: what was said of it.
            node: number of the node whose element said it; None for the body of the flow.
            element: its index; None of a plain node.
        """
        place = {"execution_id": self._execution_id, "node": node, "element": element}
        row = artifact_row(body, self._progress.get(body["id"]), run_id=self._run_id, **place)
        if row.kind == "progress":
            self._progress[row.id] = row
        return row


def artifact_row(body: Mapping[str, Any], earlier: ArtifactRow | None, **place: Any) -> ArtifactRow:
    """A row of what was said, on top of what was known before.

    Args:
        body: what was said; of an update at least id, kind, data and time.
        earlier: the row until now.
        place: who made it, if there is no row until now.

    Example:
        >>> made = {"id": "7", "kind": "progress", "data": b"0", "key": "work", "created": 1.0, "updated": 1.0}
        >>> row = artifact_row(made, None, run_id="a1")
        >>> later = artifact_row({"id": "7", "kind": "progress", "data": b"50", "updated": 2.0}, row)
        >>> later.key, later.data, later.created, later.updated
        ('work', b'50', 1.0, 2.0)
    """
    if earlier is None:
        return ArtifactRow(**{"run_id": "", "created": body["updated"], **place, **body})
    if body["updated"] < earlier.updated:  # two processes, and the slower one's message came last
        return replace(earlier, **{name: body[name] for name in KNOWN_ONLY_TO_ITS_MAKER if name in body})
    return replace(earlier, **body)
