"""A graph drawn as text that notebooks render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Picture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A graph in two languages of drawing programs; ``str(picture)`` is the first.

    Example:
        >>> print(Picture(mermaid="flowchart TD", dot="digraph {}"))
        flowchart TD
    """

    mermaid: str
    dot: str

    def __str__(self) -> str:
        return self.mermaid

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/vnd.mermaid": self.mermaid,
            "text/markdown": f"```mermaid\n{self.mermaid}\n```",
            "text/plain": self.mermaid,
        }
