"""What runs made to be looked at: their artifacts, each with the element that made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from dataflow.artifacts.views import Artifact, artifacts_of
from dataflow.database.rows import ArtifactRow

if TYPE_CHECKING:
    from dataflow.database.reader import Reader

__all__ = ["artifacts_made"]


def artifacts_made(reader: Reader, rows: Sequence[ArtifactRow], limit: int | None = None) -> list[Artifact]:
    """The artifacts of some rows, the newest first; of each key the newest version.

    Args:
        reader: of the database.
        rows: of it.
        limit: so many at most.
    """

    @cache
    def slugs(execution_id: str) -> dict[int, str]:
        return {node.number: node.slug for node in reader.nodes(execution_id)}

    def place(made: Artifact) -> str:
        if made.node is None:
            return ""
        slug = slugs(made.execution_id).get(made.node, f"node {made.node}")
        return slug if made.element is None else f"{slug}[{made.element}]"

    return [replace(made, place=place(made)) for made in artifacts_of(rows)[:limit]]
