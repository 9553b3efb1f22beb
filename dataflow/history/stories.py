"""Stories of the past: what happened to an element of an execution that is kept in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataflow.history.recalling import Recalled
from dataflow.stories import Story
from dataflow.storytelling import Teller

if TYPE_CHECKING:
    from dataflow.database.reader import Reader
    from dataflow.database.rows import ExecutionRow

__all__ = ["story_of"]


def story_of(reader: Reader, execution: ExecutionRow, place: Any) -> Story:
    """What happened to a node or an element, state by state, each with its reason; as the run itself would tell it.

    Of elements that wait for another attempt nothing is told but that they were added: only what has ended is kept.

    Args:
        reader: of the database.
        execution: one attempt at a run.
        place: ``"load"``, ``"load[17]"``, or a pair of a slug and an index.

    Raises:
        UsageError: there is no such node or element.
    """
    recalled = Recalled(reader, execution, place, exact_times=True)
    return Teller(facts_of=recalled.facts_of, kept_at=recalled.kept_at).story(recalled.node, recalled.index)
