"""What is told when a displayed run has ended: why elements failed, and the commands that lead on."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.causes.texts import causes_text, commands_text
from dataflow.causes.values import Cause
from dataflow.progress.lines import Picture

__all__ = ["ending_text"]


def ending_text(picture: Picture, causes: Sequence[Cause]) -> str:
    """The reasons and the commands; nothing for a run in which nothing failed.

    Example:
        >>> ending_text(Picture(flow="nightly", run_id="5f2a", seconds=1.0, threads=1, batches=0, lines=()), [])
        ''
    """
    if not causes:
        return ""
    return f"\n{causes_text(causes)}\n\n{commands_text(picture.run_id, causes)}\n"
