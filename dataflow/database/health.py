"""How the writer bears a database that does not work: when to try again, and when to say something. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

__all__ = ["Health", "Trouble", "after_failure", "after_success"]

FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 10.0
"""How long others may write before that is worth a word."""


class Trouble(Enum):
    """What kind of trouble there is."""

    BUSY = "busy"
    """Others write: nothing is wrong, unless it lasts."""
    PASSING = "passing"
    """It may work again: a full disk, a server that is restarted."""
    HOPELESS = "hopeless"
    """It will not work again in the life of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How writing went lately; times in seconds since the epoch."""

    failing_since: float | None = None
    next_try: float = 0.0
    delay_seconds: float = FIRST_DELAY_SECONDS
    has_said_so: bool = False
    is_off: bool = False
    """Nothing is tried any more."""

    @property
    def is_well(self) -> bool:
        """Whether the last try worked, or there was none yet."""
        return self.failing_since is None


def after_failure(health: Health, now: float, trouble: Trouble) -> tuple[Health, bool]:
    """The health after a try that failed, and whether to warn.

    Example:
        >>> health, warns = after_failure(Health(), 100.0, Trouble.PASSING)
        >>> health.next_try, health.delay_seconds, warns
        (100.25, 0.5, True)
    """
    since = now if health.failing_since is None else health.failing_since
    is_worth_a_word = trouble is not Trouble.BUSY or now - since >= PATIENCE_SECONDS
    changed = replace(
        health,
        failing_since=since,
        next_try=now + health.delay_seconds,
        delay_seconds=min(LONGEST_DELAY_SECONDS, health.delay_seconds * 2),
        has_said_so=health.has_said_so or is_worth_a_word,
        is_off=trouble is Trouble.HOPELESS,
    )
    return changed, is_worth_a_word and not health.has_said_so


def after_success(health: Health) -> tuple[Health, bool]:
    """The health after a try that worked, and whether to say that it works again."""
    return Health(), health.has_said_so
