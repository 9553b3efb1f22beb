"""The fast walk of a program as generated source: one Python function per program, no loop over its steps.

Asking per element and step which slot to fill, from where, and how costs several times what a small task costs. So the
loop over the steps is unrolled once per program, as the standard library does for dataclasses. What this function must
do is defined by the careful walk beside it (`walk.walk_carefully`), to which it hands over as soon as a step raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from keyword import iskeyword
from types import CodeType
from typing import Any

from dataflow.compiler.program import Program, Step
from dataflow.engine.trials import Returned
from dataflow.states import State

__all__ = ["MISSING", "WALK_NAME", "fast_walk", "source_of"]

MISSING = object()
"""In the slot of a step that was not reached."""
WALK_NAME = "<walk of "
"""What the names of files begin with that the walks stand in, so that their frames can be told."""


def fast_walk(program: Program, functions: Sequence[Callable[..., Any]]) -> Callable[..., int]:
    """The function that walks elements through a program.

    It takes the values of all constants and broadcasts, the rows (bare values if there is one column), a clock, a
    control that says whether to go on, the list of stamps, ``recover(offset, error, frame, stamps)``, which ends an
    element after an exception and gives the values of all steps, the list of what an element submitted itself, a list
    in which it writes where it is before steps that are watched, and the ``append`` of each output. It returns how many
    elements it ran. ``functions`` are called instead of those of the steps.
    """
    namespace: dict[str, Any] = {"MISSING": MISSING, "Returned": Returned, "State": State}
    namespace.update({f"f{position}": function for position, function in enumerate(functions)})
    exec(_compiled(source_of(program), f"{WALK_NAME}{program.name}>"), namespace)  # noqa: S102 - our own text
    return namespace["walk"]  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=256)
def _compiled(source: str, name: str) -> CodeType:
    """The source compiled; once for all batches of a program, and for all programs of one shape and name."""
    return compile(source, name, "exec")


def source_of(program: Program) -> str:
    """The source of the walk: ``v`` are the slots of the frame, ``t`` the times at which steps ended."""
    shared = len(program.constants) + program.broadcasts
    first_step = shared + program.columns
    steps = range(len(program.steps))
    values = [f"v{first_step + position}" for position in steps]
    times = [f"t{position}" for position in steps]
    keeps = [f"keep{output}" for output in range(len(program.outputs))]
    row = ", ".join(f"v{slot}" for slot in range(shared, first_step)) or "_"
    body = [line for position, step in enumerate(program.steps) for line in _step(step, position, first_step)]
    frame = ", ".join(f"v{slot}" for slot in range(first_step + len(values)))
    given = [f"v{slot}" for slot in range(shared)]
    lines = [
        f"def walk({_listed(given)}rows, clock, control, stamps, recover, nested, live, *keep):",
        f"    {_listed(keeps)}= keep" if keeps else "    pass",
        f"    {' = '.join(times)} = clock()",
        "    stamp = stamps.append",
        "    stamp(t0)",
        "    check = control(t0)",
        "    done = 0",
        f"    for {row} in rows:",
        f"        {' = '.join(values)} = MISSING",
        "        try:",
        *(f"            {line}" for line in body),
        f"            {'; '.join(f'stamp({time})' for time in times)}",
        "        except BaseException as error:",
        f"            {_listed(values)}= recover(done, error, [{frame}], [{', '.join(times)}])",
        f"            {times[-1]} = stamps[-1]",
        *(f"        {keep}({values[position]})" for keep, position in zip(keeps, program.outputs, strict=True)),
        "        done += 1",
        f"        if {times[-1]} >= check:",
        f"            check = control({times[-1]})",
        "            if check < 0:",
        "                break",
        "    return done",
    ]
    return "\n".join(lines)


def _step(step: Step, position: int, first_step: int) -> list[str]:
    slot = first_step + position
    frame, times = (", ".join(f"{kind}{at}" for at in range(end)) for kind, end in (("v", slot), ("t", position)))
    mark = [f"live[0] = done, {position}, [{frame}], [{times}]"] if step.rules.is_watched else []
    return [
        *mark,
        f"value = f{position}({_arguments(step)})",
        "if type(value) is State or nested: raise Returned(value)",
        f"v{slot} = value; t{position} = clock()",
    ]


def _listed(names: list[str]) -> str:
    return "".join(f"{name}, " for name in names)


def _arguments(step: Step) -> str:
    return ", ".join([f"v{slot}" for slot in step.positional] + [_keyword(*pair) for pair in step.keywords])


def _keyword(name: str, slot: int) -> str:
    """A keyword may be any string; only some can be written as a name."""
    is_name = name.isidentifier() and not iskeyword(name)
    return f"{name}=v{slot}" if is_name else f"**{{{name!r}: v{slot}}}"
