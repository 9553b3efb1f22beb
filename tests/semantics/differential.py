"""What Prefect gives for small flows, and what ours gives: rows of data, how ours are run, the page made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataflow import Flow, flow
from dataflow.errors import UsageError
from dataflow.handles import Handle
from dataflow.states import State, StateType

__all__ = ["DECISIONS", "REFUSED", "Case", "outcome", "page"]

REFUSED = "refused before it runs"
NAMES = {kind: "".join(word.title() for word in kind.name.split("_")) for kind in StateType}
DECISIONS: dict[str, str] = {
    "iterated": "Lists, tuples, ranges, generators, arrays, Series and futures are iterated.",
    "not iterated": "Strings, bytes, scalars, None and defaults are never iterated.",
    "dicts": "A dict, a set or a table in a map is an error that names the argument and the fix.",
    "lengths": "Unequal lengths are an error; `strict=False` zips to the shortest.",
    "nothing to iterate": "A map with nothing to iterate is an error at the call.",
    "wait_for": "What is only waited for is not iterated, unless it is wrapped in `mapped(...)`.",
    "failed elements": "A map with failed elements is Failed; its completed elements stay usable.",
    "failed inputs": "What rests on a failure is UpstreamFailed: an end, chained to its cause.",
    "gathered failures": "Allowed failures stand as exceptions at their places, whatever kind of failure it was.",
    "gathered skips": "Skipped elements are left out of a gather; if all were, what gathers them is skipped.",
    "triggers": "The trigger is always asked.",
    "final state": "What a flow returns decides, in any container; else failed work that nobody looked at fails it.",
    "None": "None is a value like any other.",
    "retries": "Retries are states of the engine: by number, list, callable, condition; a delay is not needed.",
    "on time": "A failure stays where it happens: a time limit ends an attempt on time, also around a blocking call.",
    "all ends": "A flow ends only when all submitted work has ended.",
}
"""The decisions that make ours differ, by a short name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One small flow: what it does, what the others give (in the words of ours; None: no such thing), and ours."""

    what: str
    build: Callable[[], Any]
    """Adds the nodes to the flow around it and gives the handles to look at by name; or, in a body, is the flow."""
    source: str
    """The sections of the two inventories that say what the others give: ``classic 1.5``, ``modern 1.4``."""
    ours: str
    classic: str | None = None
    modern: str | None = None
    why: str = ""
    """The name of the decision that makes ours differ from one of them."""
    is_body: bool = False
    """Whether it is the body of a ``@flow``, and not of a ``with Flow(...)`` block."""

    @property
    def differs(self) -> bool:
        """Whether ours is another outcome than one of the others."""
        known = [theirs for theirs in (self.classic, self.modern) if theirs is not None]
        return not all(self.ours == theirs or self.ours.startswith(f"{theirs}; ") for theirs in known)


def outcome(case: Case, cluster: str) -> str:
    """Run ours, and write down what became of it."""
    return _outcome_of_body(case, cluster) if case.is_body else _outcome_of_graph(case, cluster)


def _outcome_of_graph(case: Case, cluster: str) -> str:
    try:
        with Flow("case") as around:
            shown: Mapping[str, Handle] = case.build()
        state = around.run(cluster=cluster)
    except UsageError:
        return REFUSED
    told = [f"{name}: {_told(state.run, handle)}" for name, handle in shown.items()]
    return "; ".join([*told, f"flow: {state.name}"])


def _told(run: Any, handle: Handle) -> str:
    node, index = handle.node, handle.index
    if node.space is None or index is not None:
        return _told_state(run.state(node, index))
    elements = [_told_state(run.state(node, index), bare=True) for index in range(run.length(node))]
    return f"{NAMES[run.state(node).type]} [{', '.join(elements)}]"


def _told_state(state: State[Any], *, bare: bool = False) -> str:
    """A state in short: its value or error, and the number of its attempt after the first."""
    again = f" at attempt {state.attempt}" if state.attempt > 1 else ""
    if state.is_completed():
        return f"{'' if bare else 'Completed '}{_told_value(state.result())}{again}"
    error = type(state.data).__name__ if state.type in (StateType.FAILED, StateType.CRASHED) else ""
    return f"{NAMES[state.type]}{f'({error})' if error else ''}{again}"


def _told_value(value: Any) -> str:
    match value:
        case BaseException():
            return type(value).__name__
        case list():
            return f"[{', '.join(map(_told_value, value))}]"
    return repr(value)


def _outcome_of_body(case: Case, cluster: str) -> str:
    """What whoever calls the flow sees: its value or its exception, and the state it ends in."""
    run: Any = flow(case.build, name="case", cluster=cluster)
    state: State[Any] = run(return_state=True)
    with contextlib.suppress(Exception):
        return f"{NAMES[state.type]}, gives {_told_value(state.result())}"
    return f"{NAMES[state.type]}, raises {type(state.result(raise_on_failure=False)).__name__}"


INTRODUCTION = """# Small flows in Prefect and here

{count} small flows: what becomes of them in classic Prefect (0.x and 1.x), in Prefect 3, and here; {different} of them
differently. All in the words of this project, so that equal outcomes read equal: Success is written Completed,
TriggerFailed UpstreamFailed, FailedRun FlowFailed, and the elements of a map stand in brackets, with their values if they
completed. "none" means that there is no such thing, or nothing known about it. Where ours differs, the last column names
the decision behind it. Every row is run by a test.

To move over, see [Coming from Prefect, Dask or joblib](coming-from.md).
"""  # noqa: E501 - a page, not code


def page(topics: Mapping[str, Iterable[Case]]) -> str:
    """The page of documentation: a table for each topic, then the decisions."""
    tables = [_table(topic, list(cases)) for topic, cases in topics.items()]
    used = {case.why for cases in topics.values() for case in cases}
    decisions = "\n".join(f"- **{name}**: {DECISIONS[name]}" for name in DECISIONS if name in used)
    every = [case for cases in topics.values() for case in cases]
    introduction = INTRODUCTION.format(count=len(every), different=sum(case.differs for case in every))
    return "\n".join([introduction, *tables, "## The decisions\n", decisions, ""])


def _table(topic: str, cases: Iterable[Case]) -> str:
    rows = [
        "| flow | classic | Prefect 3 | here | why |",
        "|---|---|---|---|---|",
        *(
            f"| {case.what} | {_cell(case.classic)} | {_cell(case.modern)} | {case.ours} | {case.why} |"
            for case in cases
        ),
    ]
    return f"## {topic}\n\n" + "\n".join(rows) + "\n"


def _cell(theirs: str | None) -> str:
    return "none" if theirs is None else theirs
