"""How results outlive a run: what the options of a task, those of its flow and the settings say together."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflow.settings import settings
from dataflow_results.policies import NO_CACHE, CacheKeyFnPolicy, CachePolicy

if TYPE_CHECKING:
    from dataflow.options import FlowOptions, TaskOptions

__all__ = ["FlowPersistence", "Persistence", "StoreAddress", "flow_persistence", "persistence_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """Where results lie: a URL, and the options that open it."""

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, storage: Any) -> StoreAddress:
        """Of a URL, a path, a location such as ``S3Result(...)``, or a store.

        Example:
            >>> StoreAddress.of("s3://bucket/results")
            StoreAddress(url='s3://bucket/results')
        """
        if isinstance(storage, str | Path):
            return cls(url=_absolute(str(storage)))
        return cls(url=_absolute(storage.url), storage_options=dict(getattr(storage, "storage_options", None) or {}))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Persistence:
    """What a task says about its results; None leaves it to the flow, and then to the settings."""

    persist: bool | None
    policy: CachePolicy | None
    expires_after_seconds: float | None
    refresh: bool
    storage: StoreAddress | None
    template: str | None
    """File name of each result in the store, with fields such as ``{parameters[date]}``; None: packs."""
    serializer: Any
    version: str | None
    function: Callable[..., Any]
    """The function as the user wrote it, for its source."""
    signature: inspect.Signature

    @property
    def asked_for(self) -> bool | None:
        """Whether results are to be kept: asking for a cache, a place or a file is enough. None: nothing was said."""
        if self.persist is not None:
            return self.persist
        if self.policy is not None and not self.policy.caches:
            return None if self.storage is None else True
        given = (self.policy, self.storage, self.template, self.serializer)
        return True if any(value is not None for value in given) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPersistence:
    """What a flow says about the results of its tasks, where those say nothing themselves."""

    persist: bool
    storage: StoreAddress
    serializer: Any = None
    parameters: Mapping[str, Any] | None = None
    """Arguments of the flow, for the policy FLOW_PARAMETERS; None if it has none."""

    def keeps(self, task: Persistence) -> bool:
        """Whether the results of a task are kept."""
        return self.persist if task.asked_for is None else task.asked_for


def persistence_of(
    options: TaskOptions, function: Callable[..., Any], signature: inspect.Signature, *, where: str
) -> Persistence:
    """What the options of a task say about its results."""
    policy, key_function, expiration = options.cache_policy, options.cache_key_fn, options.cache_expiration
    if key_function is not None and policy is not None:
        _warn(where, "cache_key_fn decides alone, cache_policy is not used", "CacheKeyFnPolicy(fn) + a policy")
    if key_function is not None:
        policy = CacheKeyFnPolicy(key_function)
    if options.persist_result is False and policy is not None and policy != NO_CACHE:
        _warn(where, "persist_result=False switches its cache off", "leave persist_result out")
    return Persistence(
        persist=options.persist_result,
        policy=policy,
        expires_after_seconds=expiration.total_seconds() if isinstance(expiration, timedelta) else expiration,
        refresh=bool(options.refresh_cache),
        storage=None if options.result_storage is None else StoreAddress.of(options.result_storage),
        template=options.result_storage_key,
        serializer=options.result_serializer,
        version=options.version,
        function=function,
        signature=signature,
    )


def flow_persistence(
    options: FlowOptions, *, parameters: Mapping[str, Any] | None = None, outer: FlowPersistence | None = None
) -> FlowPersistence:
    """What the options of a flow, those of the flow that calls it, and the settings say together."""
    persist, storage, serializer = options.persist_result, options.result_storage, options.result_serializer
    if persist is None and (storage is not None or serializer is not None):
        persist = True
    if persist is None:
        persist = settings().persist_results if outer is None else outer.persist
    if storage is not None:
        address = StoreAddress.of(storage)
    else:
        address = StoreAddress.of(settings().result_storage) if outer is None else outer.storage
    inherited = None if outer is None else outer.serializer
    return FlowPersistence(
        persist=persist,
        storage=address,
        serializer=inherited if serializer is None else serializer,
        parameters=parameters,
    )


def _absolute(url: str) -> str:
    """A path becomes a URL: workers may have another current folder."""
    return url if "://" in url else Path(url).expanduser().absolute().as_uri()


def _warn(where: str, problem: str, fix: str) -> None:
    warnings.warn(f"{where}: {problem}; instead: {fix}", UserWarning, stacklevel=5)
