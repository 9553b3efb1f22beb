"""Hooks of flows: told of each state that a run comes into, also of those between two attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataflow.context import current_run
from dataflow.hooks import Hooks
from dataflow.states import Crashed, Pending, State

__all__ = ["FlowAttempt", "FlowTeller"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowAttempt:
    """A run of a flow as its hooks are told of it, at one moment."""

    id: str
    """Of the run."""
    name: str
    """What the run is called."""
    flow_name: str
    run_count: int
    """Number of the attempt."""
    state: State[Any]
    parameters: Mapping[str, Any]
    """Arguments of the flow by name, those with defaults too."""
    run: Any = field(default=None, repr=False)

    @property
    def state_name(self) -> str:
        """What its state is called."""
        return self.state.name


@dataclass(slots=True, kw_only=True, eq=False)
class FlowTeller:
    """Tells the hooks of one run of a flow.

    Args:
        hooks: of the flow.
        name: what the run is called.
        parameters: arguments of the flow.
    """

    hooks: Hooks
    name: str
    parameters: Mapping[str, Any]
    _state: State[Any] = field(default_factory=Pending)

    def tell(self, run: Any, state: State[Any], attempt: int) -> None:
        """The run has come into this state.

        Args:
            run: of this attempt.
            state: the state now.
            attempt: its number.
        """
        old, self._state = self._state, state if state.run is not None else replace(state, run=run)
        subject = FlowAttempt(
            id=run.id,
            name=self.name,
            flow_name=run.name,
            run_count=attempt,
            state=self._state,
            parameters=self.parameters,
            run=run,
        )
        token = current_run.set(run)
        try:
            self.hooks.tell(subject, old, self._state)
        finally:
            current_run.reset(token)

    def crashed(self, run: Any, error: BaseException, attempt: int) -> None:
        """The run ends without an answer, because of this."""
        self.tell(run, Crashed(f"{type(error).__name__}: {error}".removesuffix(": "), data=error), attempt)
