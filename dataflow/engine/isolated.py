"""Steps whose attempts run in processes of their own: for the walk a function as any other, that calls elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from dataflow.compiler.program import Program, Step
from dataflow.context import current_attempt, element_facts, run_facts
from dataflow.engine.isolation import call_isolated, stop_isolated

__all__ = ["isolated", "stop_isolated"]


def isolated(program: Program, owner: str) -> Program:
    """The program with the functions of isolated steps in other processes.

    Args:
        program: of a batch.
        owner: who the processes work for; `stop_isolated` ends those of an owner.
    """
    return replace(program, steps=tuple(_elsewhere(step, owner) for step in program.steps))


def _elsewhere(step: Step, owner: str) -> Step:
    if step.rules.isolation is None:
        return step
    way = _later if asyncio.iscoroutinefunction(step.function) else _now
    return replace(step, function=partial(way, step, owner))


def _now(step: Step, owner: str, *arguments: Any, **keywords: Any) -> Any:
    isolation = step.rules.isolation
    assert isolation is not None
    facts = run_facts()
    return call_isolated(
        step.function,
        arguments,
        keywords,
        timeout_seconds=step.rules.timeout_seconds,
        memory_limit_bytes=isolation.memory_limit_bytes,
        context=current_attempt.get(),
        told=None if facts is None else (facts, element_facts()),
        run_id=owner,
        where=f"task {step.name!r}",
    )


async def _later(step: Step, owner: str, *arguments: Any, **keywords: Any) -> Any:
    return await asyncio.to_thread(_now, step, owner, *arguments, **keywords)
