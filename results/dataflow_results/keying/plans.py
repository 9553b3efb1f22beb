"""Plans: the client says once how the keys of a node are made; workers make them for each batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataflow_results.canonical import encode
from dataflow_results.errors import KeyingError
from dataflow_results.keying.cells import key_cell, outlined
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.keying.keys import KeyPlan, OnUnknown, place_of
from dataflow_results.keying.preimages import pack_plan
from dataflow_results.policies import CachePolicy

__all__ = ["CallArguments", "RunPlace", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallArguments:
    """The arguments of a node as the client knows them."""

    names: tuple[str, ...]
    """All of them, in the order of the signature; values of ``*rest`` as ``rest[0]``, of ``**more`` as ``more[x]``."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Values that are known already and equal for all elements."""
    lineage: frozenset[str] = frozenset()
    """Arguments that stand for upstream results by 20-byte keys, here or on the worker; for LINEAGE only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlace:
    """Where in which run a node is."""

    run: str = ""
    """Id of the run."""
    node: str = ""
    """Slug of the node."""
    flow_parameters: Mapping[str, Any] = field(default_factory=dict)


def make_plan(
    identity: TaskIdentity,
    policy: CachePolicy,
    call: CallArguments,
    place: RunPlace | None = None,
    *,
    unknown: OnUnknown = "refuse",
) -> KeyPlan:
    """How the keys of one node are made; hashes what is known now.

    Args:
        identity: the task; with its source if the policy looks at it.
        policy: what counts.
        call: the arguments.
        place: run, node and flow parameters; needed by policies that look at them, and told to key functions.
        unknown: what to do with values that have no canonical form.

    Raises:
        KeyingError: the policy names an argument the task does not have, or looks at a source that nobody knows.
        UnknownType: a constant or flow parameter that counts has no canonical form.

    Example:
        >>> from dataflow_results.policies import INPUTS
        >>> identity = TaskIdentity(name="scale", module_qualname="steps.scale")
        >>> plan = make_plan(identity, INPUTS, CallArguments(names=("x", "factor"), constants={"factor": 2}))
        >>> len(plan.keys({"x": [1, 2, 3]}, {}, 3, range(3)))
        3
    """
    place = place or RunPlace()
    policy.check_arguments(identity.name, call.names)
    _check_source(identity, policy)
    counted = {name: value for name, value in call.constants.items() if policy.counts(name)}
    parameters = {name: value for name, value in place.flow_parameters.items() if policy.counts_parameter(name)}
    plan = KeyPlan(
        identity=identity,
        policy=policy,
        arguments=call.names,
        constants={name: _cell(name, value, call.lineage, unknown) for name, value in counted.items()},
        lineage=call.lineage,
        flow_parameters={
            name: encode(value, f"flow parameter {name!r}", unknown=unknown) for name, value in parameters.items()
        },
        run=place.run,
        node=place.node,
        unknown=unknown,
    )
    outlines = {name: outlined(name, value) for name, value in counted.items() if name not in call.lineage}
    outlines |= {f"parameters.{name}": outlined(name, value) for name, value in parameters.items()}
    return replace(plan, preimage=pack_plan(plan, outlines) if policy.caches else b"")


def _cell(name: str, value: Any, lineage: frozenset[str], unknown: OnUnknown) -> bytes:
    return key_cell(value) if name in lineage else encode(value, place_of(name), unknown=unknown)


def _check_source(identity: TaskIdentity, policy: CachePolicy) -> None:
    if policy.reads_source and identity.source is None and identity.version is None:
        raise KeyingError(
            f"{policy!r} looks at the source of {identity.module_qualname}, which cannot be read",
            where=f"task {identity.name!r}",
            fix='say a version: @task(version="1"), or cache_policy=INPUTS',
        )
