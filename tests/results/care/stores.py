"""Stores for the tests of care and of the command line: filled by hand, at times of our choosing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflow_results.canonical import Source
from dataflow_results.digests import digest
from dataflow_results.keying.identity import TaskIdentity
from dataflow_results.keying.keys import KeyPlan, Keys
from dataflow_results.keying.plans import CallArguments, RunPlace, make_plan
from dataflow_results.keying.preimages import pack_preimage
from dataflow_results.policies import DEFAULT, CachePolicy
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore

DAY_SECONDS = 86_400.0
NEW_YEAR = 1_735_689_600.0
"""2025-01-01 00:00 UTC."""


def key_of(text: str) -> bytes:
    """A key for a test."""
    return digest(b"test", text.encode())


def keys_of(texts: Sequence[str]) -> bytes:
    """Keys one after the other."""
    return b"".join(map(key_of, texts))


def save(
    store: ResultStore, values: Mapping[str, Any], *, collection: str = "load-0a1b2c3d", at: float = 0.0, **said: Any
) -> None:
    """Store values under keys made of their names, as one batch of a task."""
    provenance = Provenance(**{"task": collection.rpartition("-")[0], "created_at": at, **said})
    saved = store.task(collection).save(keys_of(list(values)), list(values.values()), provenance)
    assert not saved.errors


def load(store: ResultStore, names: Sequence[str], *, collection: str = "load-0a1b2c3d", now: float = 0.0) -> list[Any]:
    """The values under keys made of names; errors stand in the place of what is missing."""
    results = store.task(collection)
    results.refresh()
    return results.load(results.find(keys_of(names), now=now, refresh_if_missing=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task whose results are stored with the pre-images of their keys."""

    name: str
    parts: Mapping[str, str]
    """Functions it reaches, and the digest of the source of each."""
    policy: CachePolicy = DEFAULT
    module: str = "steps"

    @property
    def identity(self) -> TaskIdentity:
        """As keys know it."""
        source = Source(digest=digest(b"source", repr(sorted(self.parts.items())).encode()), parts=self.parts)
        return TaskIdentity(name=self.name, module_qualname=f"{self.module}.{self.name}", source=source)

    def plan(self, constants: Mapping[str, Any], columns: Sequence[str], run: str) -> KeyPlan:
        """How keys of a map are made."""
        call = CallArguments(names=(*columns, *constants), constants=constants)
        return make_plan(self.identity, self.policy, call, RunPlace(run=run, node=self.name))

    def keys(self, plan: KeyPlan, columns: Mapping[str, Sequence[Any]]) -> Keys:
        """The keys of a batch."""
        count = len(next(iter(columns.values())))
        return plan.keys(columns, {}, count, range(count))

    def store(
        self,
        store: ResultStore,
        values: Sequence[Any],
        provenance: Provenance,
        *,
        columns: Mapping[str, Sequence[Any]],
        constants: Mapping[str, Any] | None = None,
    ) -> Keys:
        """Store a map of the task as one batch."""
        plan = self.plan(constants or {}, list(columns), provenance.run_id)
        keys = self.keys(plan, columns)
        said = replace(provenance, task=self.name, node=self.name, preimage=pack_preimage(plan, keys, columns=columns))
        saved = store.task(self.identity.collection).save(keys.digests, values, said)
        assert not saved.errors
        return keys
