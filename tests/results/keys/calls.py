"""Short ways to write plans and pre-images in the tests of keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dataflow_results.canonical import Source
from dataflow_results.digests import digest
from dataflow_results.keying.explain import Candidate
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.keying.keys import KeyPlan, Keys
from dataflow_results.keying.plans import CallArguments, RunPlace, make_plan
from dataflow_results.keying.preimages import BatchPreimage, Preimage, pack_preimage, unpack_preimage
from dataflow_results.policies import DEFAULT, CachePolicy
from dataflow_results.records import Provenance

SOURCE = Source(digest=b"a" * 20, parts={"load": "00" * 20, "clean": "11" * 20})
LOAD = TaskIdentity(name="load", module_qualname="steps.load", source=SOURCE)
PLACE = RunPlace(run="run-1", node="load", flow_parameters={"date": "2026-01-01", "verbose": False})
DAY_SECONDS = 86_400.0


def plan_of(
    policy: CachePolicy = DEFAULT,
    names: Sequence[str] = ("x", "y"),
    *,
    constants: Mapping[str, Any] | None = None,
    identity: TaskIdentity = LOAD,
    place: RunPlace = PLACE,
    lineage: Sequence[str] = (),
) -> KeyPlan:
    """A plan of the task `LOAD`."""
    call = CallArguments(names=tuple(names), constants=constants or {}, lineage=frozenset(lineage))
    return make_plan(identity, policy, call, place)


def keys_of(plan: KeyPlan, **columns: Sequence[Any]) -> Keys:
    """The keys of a batch whose columns are given by name; a plan without columns has one element."""
    count = len(next(iter(columns.values()))) if columns else 1
    return plan.keys(columns, {}, count, range(count))


def key_of(plan: KeyPlan, **arguments: Any) -> bytes:
    """The key of one element with these arguments."""
    keys = keys_of(plan, **{name: [value] for name, value in arguments.items()})
    assert not keys.errors
    return keys[0]


def preimage_of(plan: KeyPlan, **columns: Sequence[Any]) -> BatchPreimage:
    """What is kept of a batch."""
    return unpack_preimage(pack_preimage(plan, keys_of(plan, **columns), columns=columns))


def wanted_of(plan: KeyPlan, **arguments: Any) -> Preimage:
    """The pre-image of one element with these arguments."""
    return preimage_of(plan, **{name: [value] for name, value in arguments.items()}).row(0)


def stored_of(plan: KeyPlan, days: float = 1, expires_days: float | None = None, **columns: Sequence[Any]) -> Candidate:
    """A batch that was stored so many days after the epoch."""
    expires_at = None if expires_days is None else expires_days * DAY_SECONDS
    provenance = Provenance(task="load", created_at=days * DAY_SECONDS, expires_at=expires_at, run_id=plan.run)
    return Candidate(provenance=provenance, preimage=preimage_of(plan, **columns))


def with_source(**parts: str) -> TaskIdentity:
    """The task `LOAD` with other sources of its functions."""
    return replace(LOAD, source=Source(digest=digest(b"source", repr(parts).encode()), parts=parts))
