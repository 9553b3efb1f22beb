"""Handles and futures where they do not belong: another flow, another run, a cycle, a condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dataflow import Flow, flow, task
from dataflow.errors import CycleError, HandleError
from tests.bad_input.checks import refused


@task
def increase(x: Any) -> Any:
    """A plain step."""
    return x + 1


def test_a_handle_of_another_flow_is_refused() -> None:
    """Both flows are named."""
    with Flow("first"):
        one = increase(1)
    with refused(HandleError, "first", "second", "increase"), Flow("second"):
        increase(one)


def test_a_handle_of_another_flow_in_a_container_is_refused() -> None:
    """The path to it is named."""
    with Flow("first"):
        one = increase(1)
    with refused(HandleError, "first", "x['a'][1]"), Flow("second"):
        increase({"a": [0, one]})


def test_a_handle_outside_any_flow_is_refused() -> None:
    """A call outside a flow runs the function, which cannot run on a handle."""
    with Flow("first"):
        one = increase(1)
    with refused(HandleError, "increase", "first"):
        increase(one)


def test_a_cycle_names_its_nodes() -> None:
    """Nothing runs; the complaint shows the way around."""

    def build() -> None:
        with Flow("round"):
            first = increase(1)
            second = task(increase.fn, name="second")(first)
            first.set_upstream(second)

    with refused(CycleError, "increase", "second"):
        build()


def test_a_future_of_another_run_is_refused() -> None:
    """The message names the run and the fix: pass its value."""
    kept: list[Any] = []

    @flow(cluster="inline")
    def earlier() -> None:
        kept.append(increase.submit(1))
        kept[0].wait()

    @flow(cluster="inline")
    def later() -> None:
        increase.submit(kept[0])

    earlier()
    with refused(HandleError, "earlier", "later", ".result()"):
        later()


QUESTIONS: dict[str, Callable[[Any], object]] = {
    "truth": bool,
    "iteration": list,
    "length": len,
    "membership": lambda handle: 3 in handle,
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_lazy_handle_has_no_value_to_ask(ask: Callable[[Any], object]) -> None:
    """A condition on a handle would always be true; it is refused where it stands."""
    with Flow("lazy"):
        one = increase(1)
        with refused(HandleError, "increase", "before the flow runs"):
            ask(one)


@pytest.mark.parametrize("ask", [bool, list, len], ids=["truth", "iteration", "length"])
def test_a_plain_future_has_no_value_to_ask(ask: Callable[[Any], object]) -> None:
    """The same in the body of a flow: the value is ``future.result()``."""

    @flow(cluster="inline")
    def main() -> None:
        future = increase.submit(1)
        with refused(HandleError, "increase", ".result()"):
            ask(future)

    main()
