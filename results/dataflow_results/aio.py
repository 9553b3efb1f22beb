"""The store for coroutines: the same core, each call in a thread so that the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataflow_results.records import ResultReference
    from dataflow_results.store import ResultStore

Key = TypeVar("Key", bound=str | bytes)

__all__ = ["AsyncResultStore"]


class AsyncResultStore:
    """What `ResultStore` does, awaited. Get it from ``ResultStore.aio``.

    Example:
        >>> import asyncio
        >>> from dataflow_results.store import ResultStore
        >>> async def example():
        ...     store = ResultStore("memory://aio").aio
        ...     await store.put("answer", 42)
        ...     return await store.get("answer")
        >>> asyncio.run(example())
        42
    """

    def __init__(self, store: ResultStore) -> None:
        self._store = store

    async def put(self, key: str | bytes, value: Any) -> ResultReference:
        """See `ResultStore.put`."""
        return await asyncio.to_thread(self._store.put, key, value)

    async def put_many(self, values: Mapping[Key, Any]) -> dict[Key, ResultReference]:
        """See `ResultStore.put_many`."""
        return await asyncio.to_thread(self._store.put_many, values)

    async def get(self, key: str | bytes, *default: Any) -> Any:
        """See `ResultStore.get`."""
        return await asyncio.to_thread(self._store.get, key, *default)

    async def get_many(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """See `ResultStore.get_many`."""
        return await asyncio.to_thread(self._store.get_many, keys)

    async def exists(self, key: str | bytes) -> bool:
        """See `ResultStore.exists`."""
        return await asyncio.to_thread(self._store.exists, key)

    async def exists_many(self, keys: Sequence[str | bytes]) -> list[bool]:
        """See `ResultStore.exists_many`."""
        return await asyncio.to_thread(self._store.exists_many, keys)

    async def delete(self, key: str | bytes) -> None:
        """See `ResultStore.delete`."""
        await asyncio.to_thread(self._store.delete, key)

    async def delete_many(self, keys: Sequence[str | bytes]) -> None:
        """See `ResultStore.delete_many`."""
        await asyncio.to_thread(self._store.delete_many, keys)

    async def list(self, prefix: str = "") -> list[str]:
        """See `ResultStore.list`."""
        return await asyncio.to_thread(self._store.list, prefix)

    async def load(self, reference: ResultReference) -> Any:
        """See `ResultStore.load`."""
        return await asyncio.to_thread(self._store.load, reference)
