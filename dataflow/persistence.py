"""How results outlive a run: what the options of a task, those of its flow and the settings say together."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pickle
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dataflow_results as results  # its names are loaded when used: most runs keep no results
from dataflow.settings import settings
from dataflow_results.errors import StoreUrlError
from dataflow_results.policies import DEFAULT, NO_CACHE, CacheKeyFnPolicy, CachePolicy

if TYPE_CHECKING:
    from dataflow.options import FlowOptions, TaskOptions
    from dataflow_results.files.address import Address
    from dataflow_results.store import ResultStore

__all__ = ["FlowPersistence", "Persistence", "StoreAddress", "flow_persistence", "persistence_of"]

WITHIN_A_PROCESS = frozenset({"memory"})
"""Protocols whose stores another process cannot see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """Where results lie: a URL and the options that open it, or a store that user code has opened itself.

    It pickles where nothing secret would travel with it.
    """

    url: str
    """Without credentials."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    full_url: str = field(default="", repr=False)
    """The URL as it was given, if it holds a password; else empty."""
    opened: ResultStore | None = field(default=None, repr=False)
    """The store, if user code has opened it: its serializer, its signing key and the like count as well."""
    template: str | None = field(default=None, repr=False)
    """File name of each result, for tasks that name none: the ``location`` of a location."""

    @classmethod
    def of(cls, storage: Any) -> StoreAddress:
        """Of a URL, a path, a location such as ``S3Result(...)``, or a store.

        Raises:
            StoreUrlError: it is no URL of a store.

        Example:
            >>> StoreAddress.of("s3://bucket/results")
            StoreAddress(url='s3://bucket/results')
        """
        if isinstance(storage, str | Path):
            return cls._of_url(str(storage), {}, None)
        if hasattr(storage, "signing_key"):
            return cls(url=storage.url, opened=storage)
        options = dict(getattr(storage, "storage_options", None) or {})
        return cls._of_url(storage.url, options, getattr(storage, "location", None))

    @classmethod
    def _of_url(cls, url: str, options: Mapping[str, Any], template: str | None) -> StoreAddress:
        if "://" not in url and url:  # a path becomes a URL, because workers may have another current folder
            path = os.path.normpath(Path(url).expanduser().absolute())
            return cls(url=f"file://{path}", storage_options=options, template=template)
        address = _address_of(url, options)
        full_url = address.full if address.full != address.shown else ""
        return cls(url=address.shown, storage_options=options, full_url=full_url, template=template)

    def open(self) -> ResultStore:
        """The store: the one that user code opened, else one for each URL and options in a process.

        Raises:
            StoreUrlError: the package that serves it is not installed.
        """
        return self.opened or results.open_store(self.full_url or self.url, self.storage_options)

    def check_travels(self) -> None:
        """Whether worker processes can use it.

        Raises:
            StoreUrlError: it lies in the memory of this process, or what opens it is a secret.
        """
        protocol = self.url.partition("://")[0]
        if protocol in WITHIN_A_PROCESS:
            problem = "a store in the memory of this process cannot be seen by worker processes"
            fix = 'a folder that all of them see, or a bucket; or cluster="threads" or "inline"'
            raise StoreUrlError(problem, where=self.url, fix=fix)
        self._check_secrets()

    def _check_secrets(self) -> None:
        if self.opened is not None:
            pickle.dumps(self.opened)  # refuses credentials
            self._check_signing_key(self.opened.signing_key)
        elif _address_of(self.full_url or self.url, self.storage_options).secret:
            raise StoreUrlError(
                "this store has credentials in its URL or options, and those must not travel to other processes",
                where=self.url,
                fix="put them into the environment or the configuration of fsspec on each machine",
            )

    def _check_signing_key(self, key: bytes | None) -> None:
        variable = importlib.import_module("dataflow_results.store").SIGNING_KEY_VARIABLE  # loaded when used, as above
        if (key or b"") != os.environ.get(variable, "").encode():
            raise StoreUrlError(
                "this store was opened with a signing key of its own, which must not travel to other processes",
                where=self.url,
                fix=f"leave signing_key= out, and set {variable} in every process that uses the store",
            )

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_secrets()
        if self.opened is not None:
            return (_received, (pickle.dumps(self.opened), self.template))
        return (_rebuilt, (self.url, dict(self.storage_options), self.template))


def _address_of(url: str, options: Mapping[str, Any]) -> Address:
    module = importlib.import_module("dataflow_results.files.address")  # loaded when used: most runs keep no results
    found: Address = module.address_of(url, options)
    return found


def _rebuilt(url: str, storage_options: Mapping[str, Any], template: str | None) -> StoreAddress:
    return StoreAddress(url=url, storage_options=storage_options, template=template)


@functools.cache
def _received(data: bytes, template: str | None) -> StoreAddress:
    """The address of a store that came from another process; opened once, so that look-up tables are shared."""
    store = pickle.loads(data)
    return StoreAddress(url=store.url, opened=store, template=template)


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
    if policy is None and (expiration is not None or options.refresh_cache):
        policy = DEFAULT
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


def _warn(where: str, problem: str, fix: str) -> None:
    warnings.warn(f"{where}: {problem}; instead: {fix}", UserWarning, stacklevel=5)
