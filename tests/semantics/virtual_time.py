"""Sleeping, and dying, in the functions of generated flows: real in a flow, only said where a flow is interpreted."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Died", "Overslept", "die", "limited", "sleep", "sleep_later"]


class Overslept(BaseException):
    """An attempt that is interpreted has taken longer than its limit."""


class Died(BaseException):
    """The process of an attempt that is interpreted has ended."""


limit_seconds: ContextVar[float | None] = ContextVar("limit_seconds", default=None)
"""How long an attempt may take; infinite for one without a limit, None if nothing is interpreted."""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """What runs inside is an attempt that is interpreted, with this time limit."""
    token = limit_seconds.set(float("inf") if seconds is None else seconds)
    try:
        yield
    finally:
        limit_seconds.reset(token)


def sleep(seconds: float) -> None:
    """Sleep."""
    if not _is_interpreted(seconds):
        time.sleep(seconds)


async def sleep_later(seconds: float) -> None:
    """The same for an async function."""
    if not _is_interpreted(seconds):
        await asyncio.sleep(seconds)


def _is_interpreted(seconds: float) -> bool:
    limit = limit_seconds.get()
    if limit is not None and seconds > limit:
        raise Overslept
    return limit is not None


def die() -> None:
    """End the process, without a word."""
    if limit_seconds.get() is not None:
        raise Died
    os._exit(3)
