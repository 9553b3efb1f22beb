"""Control flow of the graph door: `case`, `switch`, `ifelse`, `merge`; conditions are handles, or mapped handles."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataflow.annotations import mapped as mapped_annotation
from dataflow.annotations import strip
from dataflow.blocks import Guarded, entered, flow_for, outside
from dataflow.calls import Call, Operation
from dataflow.context import current_flow
from dataflow.errors import UsageError
from dataflow.graph.nodes import Reference, TaskSpec
from dataflow.handles import Handle
from dataflow.rules import PLAIN, Rules
from dataflow.signals import NOTHING, Skip
from dataflow.triggers import not_all_skipped

if TYPE_CHECKING:
    from dataflow.flow_graph import FlowGraph

__all__ = ["case", "ifelse", "merge", "switch"]

SHOWN_CHARACTERS = 40
"""So much of a value stands in the name of its comparison."""
IN_PYTHON = "in a @flow body write it in Python: `if result == value: ...`"


def compare(value: Any, expected: Any) -> bool:
    """True if both are equal; else what waits for it is skipped."""
    if value == expected:
        return True
    raise Skip  # without a message, which would be kept for each element; the name of the node tells it


def truth(value: Any) -> bool:
    """Whether Python takes the value for true."""
    return bool(value)


def itself(value: Any) -> Any:
    """The value."""
    return value


def first_not_skipped(*values: Any, only_if: Any = None) -> Any:
    """The first value there is; ``only_if`` is what the block around the merge waits for."""
    is_barred = only_if is NOTHING or (isinstance(only_if, list) and not only_if)
    found = () if is_barred else [value for value in values if value is not NOTHING]
    if not found:
        raise Skip("the block it stands in was skipped" if is_barred else "all branches were skipped")
    return found[0]


def operation(name: str, function: Callable[..., Any], *, rules: Rules = PLAIN) -> Operation:
    """A function as something that a flow calls by itself."""
    signature = inspect.signature(function)
    positional = [each.name for each in signature.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]
    spec = TaskSpec(name=name, function=function, parameters=tuple(positional), rules=rules)
    return Operation(spec=spec, signature=signature)


TRUTH = operation("truth", truth)
VALUE = operation("value", itself)
MERGE = replace(
    operation("merge", first_not_skipped, rules=Rules(trigger=not_all_skipped, skip_on_upstream_skip=False)),
    guard_argument="only_if",
)


class Case(Guarded):
    """The block of a `case`. Its comparison comes with the first node inside, so that an empty block adds nothing."""

    def __init__(self, flow: FlowGraph, condition: Any, value: Any) -> None:
        super().__init__(flow)
        self._condition = condition
        self._value = value
        self._comparison: Handle | None = None

    def guard(self) -> Handle:
        """The comparison."""
        if self._comparison is None:
            with outside(self):
                self._comparison = compared(self.flow, self._condition, self._value)
        return self._comparison


@contextmanager
def case(condition: Any, value: Any) -> Iterator[None]:
    """Nodes that are added inside run only if the condition equals the value; else they are skipped.

    A mapped condition is compared element by element. A map inside then goes with it: its element i runs if element i
    of the condition is equal, so both must have the same length. Anything else inside runs if one of the elements is.

    Args:
        condition: a handle.
        value: what its value is compared to by ``==``.

    Raises:
        UsageError: outside ``with Flow(...)``, or the value is a handle.

    Example:
        >>> from dataflow import Flow, case, merge, task
        >>> @task
        ... def is_even(x):
        ...     return x % 2 == 0
        >>> @task
        ... def halve(x):
        ...     return x // 2
        >>> with Flow("halves") as flow:
        ...     numbers = task(lambda x: x, name="numbers").map([4, 5, 6])
        ...     with case(is_even.map(numbers), True):
        ...         halves = halve.map(numbers)
        ...     least = merge(halves, numbers)
        >>> state = flow.run(cluster="inline")
        >>> state.result[halves].result, state.result[least].result
        ([2, 3], [2, 5, 3])
    """
    if isinstance(strip(value)[0], Reference) or hasattr(value, "spec"):
        fix = "case(first.is_equal(second), True), or compare them in a task"
        raise UsageError(f"the value of a case is {value!r}, which has no value before the flow runs", fix=fix)
    with entered(Case(flow_for(current_flow.get(), "case(...)", IN_PYTHON, condition), condition, value)):
        yield


def switch(condition: Any, cases: Mapping[Any, Any], *, mapped: bool = False) -> None:
    """Make nodes that are there already run only if the condition equals their value; else they are skipped.

    What the nodes use runs in any case; put it into a `case` block if it should not.

    Args:
        condition: a handle; a mapped one decides for each element of the nodes that are mapped.
        cases: nodes by value.
        mapped: whether the value of a plain condition is a list that is compared item by item.

    Raises:
        UsageError: outside ``with Flow(...)``.

    Example:
        >>> from dataflow import Flow, Parameter, merge, switch, task
        >>> with Flow("greeting") as flow:
        ...     language = Parameter("language")
        ...     english, french = task(lambda: "hello")(), task(lambda: "bonjour")()
        ...     switch(language, {"en": english, "fr": french})
        ...     greeting = merge(english, french)
        >>> flow.run(language="fr", cluster="inline").result[greeting].result
        'bonjour'
    """
    flow = flow_for(current_flow.get(), "switch(...)", IN_PYTHON, condition, *cases.values())
    for value, branch in cases.items():
        if branch is not None:
            _let_wait(flow, branch, compared(flow, condition, value, iterate=mapped))


def _let_wait(flow: FlowGraph, branch: Any, comparison: Handle) -> None:
    own = flow.add_task(branch)
    together = own.is_mapped and comparison.is_mapped
    flow.set_dependencies(own, upstream_tasks=[mapped_annotation(comparison) if together else comparison])


def ifelse(condition: Any, true_task: Any, false_task: Any, *, mapped: bool = False) -> None:
    """Make one node run only if the condition is true, another only if it is false; each may be None.

    Args:
        condition: a handle; of any type, as in an ``if``. A mapped one decides for each element.
        true_task: a node that is there already.
        false_task: another one.
        mapped: as for `switch`.

    Raises:
        UsageError: outside ``with Flow(...)``.

    Example:
        >>> from dataflow import Flow, ifelse, merge, task
        >>> with Flow("shorten") as flow:
        ...     words = task(str.split, name="words")("a b c")
        ...     some, none = task(len)(words), task(lambda: "nothing")()
        ...     ifelse(words, some, none)
        ...     answer = merge(some, none)
        >>> flow.run(cluster="inline").result[answer].result
        3
    """
    flow = flow_for(current_flow.get(), "ifelse(...)", IN_PYTHON, condition, true_task, false_task)
    is_true = flow.call(Call(task=TRUTH, arguments=(_elements_of(condition, mapped),), keywords={}))
    switch(is_true, {True: true_task, False: false_task})


def merge(*branches: Any, mapped: bool = False) -> Handle:
    """The value of the first branch that was not skipped, in the order of the arguments; skipped if all of them were.

    Mapped branches are merged element by element. A failed branch fails it. A plain value as the last branch is taken
    if everything before was skipped.

    Args:
        branches: handles.
        mapped: whether the values of plain handles are lists that are merged item by item.

    Raises:
        UsageError: outside ``with Flow(...)``, or without a branch.

    Example:
        >>> from dataflow import Flow, case, merge, task
        >>> with Flow("default") as flow:
        ...     answer = task(lambda: "no")()
        ...     with case(answer, "yes"):
        ...         chosen = task(lambda: 1)()
        ...     number = merge(chosen, 0)
        >>> flow.run(cluster="inline").result[number].result
        0
    """
    flow = flow_for(current_flow.get(), "merge(...)", IN_PYTHON, *branches)
    if not branches:
        raise UsageError("merge() without branches", where=f"flow {flow.name!r}", fix="merge(first, second)")
    handles = [_as_handle(flow, branch) for branch in branches]
    arguments = tuple(_elements_of(handle, mapped) for handle in handles)
    return flow.call(Call(task=MERGE, arguments=arguments, keywords={}))


def compared(flow: FlowGraph, condition: Any, value: Any, *, iterate: bool = False) -> Handle:
    """Add the node that compares a condition to a value."""
    bare = strip(condition)[0]
    told = getattr(bare, "slug", None) or getattr(bare, "name", None) or f"{bare!r:.{SHOWN_CHARACTERS}}"
    comparison = operation(f"case({told} == {value!r:.{SHOWN_CHARACTERS}})", compare)
    given = flow.add_task(condition) if hasattr(condition, "spec") else condition
    return flow.call(Call(task=comparison, arguments=(_elements_of(given, iterate), value), keywords={}))


def _elements_of(value: Any, iterate: bool) -> Any:
    bare = strip(value)[0]
    is_iterated = isinstance(bare, Handle) and (iterate or bare.is_mapped)
    return mapped_annotation(value) if is_iterated else value


def _as_handle(flow: FlowGraph, branch: Any) -> Any:
    if hasattr(branch, "spec"):
        return flow.add_task(branch)
    if isinstance(strip(branch)[0], Reference):
        return branch
    return flow.call(Call(task=VALUE, arguments=(branch,), keywords={}))
