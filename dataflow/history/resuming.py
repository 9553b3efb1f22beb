"""How a run that ended before its time is resumed: what to write, in Python and on the command line."""

from __future__ import annotations

import importlib
import json
import pickle
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from dataflow.database.rows import RequestRow, RunRow
from dataflow.states import State, StateType

__all__ = ["ENDED_EARLY", "WAITING", "Resuming", "asked_text", "resuming_of", "take_up"]

ENDED_EARLY = frozenset({StateType.CRASHED, StateType.FAILED, StateType.CANCELLED, StateType.TIMED_OUT})

WAITING = frozenset({StateType.PAUSED, StateType.SUSPENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resuming:
    """What to write to resume a run."""

    python: str
    command: str
    """Empty if it is not known where its flow is, or with which arguments it was called."""


def resuming_of(row: RunRow, state: State[None], *, keeps_results: bool) -> Resuming | None:
    """How a run is resumed; None if it cannot be, or need not.

    Args:
        row: the run.
        state: as it is seen from here.
        keeps_results: whether any of its tasks keeps results: without them, all would run again.
    """
    is_suspended = state.type is StateType.SUSPENDED
    if (not is_suspended and not (keeps_results and state.type in ENDED_EARLY)) or row.door == "task":
        return None
    place, _, name = row.entrypoint.rpartition(":")
    module = PurePath(place).stem if place.endswith(".py") else place
    found = f"from {module} import {name}\n" if module and name else ""
    arguments = ", ..." if row.parameters != "{}" else ""
    python = f'{found}{name or row.flow}.resume("{row.id}"{arguments})'
    return Resuming(python=python, command=f"dataflow runs resume {row.id}" if _is_found_again(row) else "")


def asked_text(row: RequestRow) -> str:
    """What a run asks people for, with the fields that it wants; empty if it asks for nothing.

    Example:
        >>> body = '{"type": "int", "schema": {"type": "integer"}}'
        >>> asked_text(RequestRow(id="a", run_id="b", kind="input", key="pause-1", body=body, asked=0.0))
        'pause-1: int'
    """
    body = json.loads(row.body)
    if row.kind != "input" or not body["type"]:
        return ""
    fields = (body.get("schema") or {}).get("properties", {})
    wanted = ", ".join(f"{name}: {_field_text(field)}" for name, field in fields.items())
    described = f", {body['description']}" if body.get("description") else ""
    return f"{row.key}: {body['type']}{f' ({wanted})' if wanted else ''}{described}"


def _field_text(field: dict[str, Any]) -> str:
    default = f" = {json.dumps(field['default'])}" if "default" in field else ""
    return f"{field.get('type', 'any')}{default}"


def take_up(row: RunRow, run_input: Any = None) -> State[Any]:
    """Run the flow of a run again under its id, in this process and to its end.

    Args:
        row: the run, with its arguments.
        run_input: what it asked for; None: nothing is said.
    """
    # Loaded when a run is taken up: it leads to all of the engine, and who only asks needs nothing of that.
    entrypoints = importlib.import_module("dataflow.recording.entrypoints")
    arguments, keywords = ((), {}) if row.arguments is None else pickle.loads(row.arguments)
    given = {} if run_input is None else {"run_input": run_input}
    state: State[Any] = entrypoints.load_entrypoint(row.entrypoint).take_up(row.id, *arguments, **keywords, **given)
    return state


def _is_found_again(row: RunRow) -> bool:
    return bool(row.entrypoint) and (row.arguments is not None or row.parameters == "{}")
