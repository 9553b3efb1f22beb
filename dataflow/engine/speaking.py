"""Saying something while a task runs: a notice with the place of the element that says it, ahead of its report."""

from __future__ import annotations

from typing import Any

from dataflow.engine.notices import LOG
from dataflow.engine.voices import hearing_voice

__all__ = ["relay", "say"]


def say(kind: str, body: Any, replaces: str | None = None) -> bool:
    """Say something as the element that is executing in this context, or as the body of the flow.

    Args:
        kind: `LOG`, `ARTIFACT`.
        body: plain types only.
        replaces: name of what this tells of; an earlier notice of that kind and name gives way, if it is not sent yet.

    Returns:
        Whether somebody takes it: False outside of flows and tasks.

    Example:
        >>> say("artifact", {})
        False
    """
    voice = hearing_voice()
    return voice is not None and voice.say(kind, body, None, replaces)


def relay(kind: str, at: float, body: Any, replaces: str | None = None) -> None:
    """Say what a process of an isolated attempt has said."""
    voice = hearing_voice()
    if voice is None:
        return
    if kind == LOG:
        level, name, message = body
        voice.log(level, name, message, at)
    else:
        voice.say(kind, body, at, replaces)
