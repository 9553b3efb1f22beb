"""Causes as values: a reason why elements of a node failed, as it is told, stored and compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

__all__ = ["Cause", "Range", "causes_from_json", "generalised"]

QUOTED = re.compile(r"""(?<!\w)(?P<mark>["'`])(?:(?!(?P=mark)).)*(?P=mark)""")
IDENTITY = re.compile(r"\b(?:0x[0-9a-fA-F]+|(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8}[0-9a-fA-F-]*)\b")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

Range = tuple[int, int]
"""Elements from start to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for which elements of a node have no value."""

    node: str
    is_mapped: bool
    state: str
    """``"Failed"``, ``"TimedOut"``, ``"Crashed"``, ``"Cancelled"`` or ``"UpstreamFailed"``: not run because of it."""
    type: str
    """Name of the class of the exception; empty if there was none, or it was not looked at."""
    message: str
    """Of the first one."""
    is_varied: bool = False
    """Whether others of these have other numbers or names in their message."""
    place: str = ""
    """Where in the user's code it was raised: ``"/path/file.py:17 in load"``."""
    count: int
    """Number of elements."""
    elements: tuple[Range, ...] = ()
    """Which, as runs from start to stop, the first of them at least; empty for a plain node."""
    traceback: str = ""
    """Of the first one; empty for what was not run because of it."""

    @property
    def root(self) -> tuple[str, str, str]:
        """Equal for failures and for what was not run because of them."""
        return self.type, generalised(self.message), self.place


def generalised(message: str) -> str:
    """A message without what differs from element to element: numbers, identities, what stands in quotes.

    Example:
        >>> generalised("user 'bob' has 3 of 4.5 GB at 0x7f3a")
        "user '…' has # of # GB at #"
    """
    return NUMBER.sub("#", IDENTITY.sub("#", QUOTED.sub(r"\g<mark>…\g<mark>", message)))


def causes_from_json(text: str) -> list[Cause]:
    """The reasons that `Causes.to_json` wrote.

    Example:
        >>> causes_from_json("[]")
        []
    """
    return [
        Cause(**{**fields, "elements": tuple((start, stop) for start, stop in fields["elements"])})
        for fields in json.loads(text)
    ]
