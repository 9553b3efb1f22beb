"""A place for results that outlive the process: values under keys, on any disk or cloud store that fsspec knows."""

from __future__ import annotations

import os
import platform
import re
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from dataflow_results.aio import AsyncResultStore
from dataflow_results.digests import DIGEST_BYTES, digest
from dataflow_results.errors import CorruptResult, ReadingError, ResultMissing, StoreUrlError
from dataflow_results.files.opening import open_files
from dataflow_results.files.protocol import Files
from dataflow_results.packs.layout import Layout
from dataflow_results.packs.shelf import PackCache
from dataflow_results.problems import Problem, Problems
from dataflow_results.records import Provenance, ResultReference
from dataflow_results.serializers.registry import AnySerializer, resolve
from dataflow_results.task_results import StoreSetup, TaskResults

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = [
    "INLINE_BYTES",
    "SAFE_VARIABLE",
    "SIGNING_KEY_VARIABLE",
    "USER_COLLECTION",
    "Location",
    "ResultStore",
    "load",
    "open_store",
]

INLINE_BYTES: Final = 1024 * 1024
"""Values up to this size share a file with others of their batch; larger ones get their own."""
SAFE_VARIABLE: Final = "DATAFLOW_RESULTS_SAFE"
SIGNING_KEY_VARIABLE: Final = "DATAFLOW_RESULTS_SIGNING_KEY"
USER_COLLECTION: Final = "values"
"""Where `ResultStore.put` puts values."""
COLLECTION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_RAISE: Final = object()
Key = TypeVar("Key", bound=str | bytes)


class Location(Protocol):
    """Where a store lies, as a value: see ``LocalResult``, ``S3Result`` and the like."""

    @property
    def url(self) -> str:
        """The URL of the store."""

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec is given besides the URL."""


class ResultStore:
    """Keeps values under keys, on any disk or cloud store that fsspec knows.

    Values come back exactly as they were, or not at all: what is damaged, half-written, or unsigned where a signing key
    is set, counts as missing and is reported. Threads and processes may share a store without any lock. A store
    pickles; in the other process it is opened when it is first used.

    Args:
        location: a URL, a path, a location such as ``S3Result("bucket")``, or an implementation of `Files`.
        serializer: for all values; None lets the type of each value decide.
        storage_options: what fsspec is given besides the URL. Credentials belong into the environment.
        safe: read and write only formats that cannot run code; None: as ``DATAFLOW_RESULTS_SAFE`` says, else no.
        signing_key: sign what is written, and read only what is signed with this key; None means the environment
            variable ``DATAFLOW_RESULTS_SIGNING_KEY``; empty means no signing.
        inline_bytes: values of more bytes get a file of their own.
        durable: a local write ends only when the disk has it.

    Raises:
        StoreUrlError: the location is wrong, or the package that serves it is not installed.

    Example:
        >>> store = ResultStore("memory://example-of-a-store")
        >>> reference = store.put("answer", {"value": 42})
        >>> store.get("answer"), store.get("question", None), store.list()
        ({'value': 42}, None, ['answer'])
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | Location | Files,
        *,
        serializer: str | AnySerializer | None = None,
        storage_options: Mapping[str, Any] | None = None,
        safe: bool | None = None,
        signing_key: str | bytes | None = None,
        inline_bytes: int = INLINE_BYTES,
        durable: bool = False,
    ) -> None:
        if _is_files(location):
            files = location
        else:
            url, options = _address(location, storage_options)
            files = open_files(url, options, durable=durable)
        self._setup_from(files, resolve(serializer), _safe(safe), _signing_key(signing_key), inline_bytes)

    def _setup_from(
        self, files: Files, serializer: AnySerializer | None, safe: bool, signing_key: bytes | None, inline_bytes: int
    ) -> None:
        self._layout = Layout(files)
        self._setup = StoreSetup(
            files=files,
            serializer=serializer,
            signing_key=signing_key,
            safe=safe,
            inline_bytes=inline_bytes,
            cache=PackCache(),
            problems=Problems(),
            before_reading=self._layout.check,
            before_writing=self._layout.write,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskResults] = {}

    def __getstate__(self) -> tuple[Any, ...]:
        setup = self._setup
        # the signing key stays: the other process reads its own environment
        return setup.files, setup.serializer, setup.safe, setup.signing_key is not None, setup.inline_bytes

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        files, serializer, safe, signed, inline_bytes = state
        key = _signing_key(None)
        if signed and key is None:
            fix = f"set {SIGNING_KEY_VARIABLE} in every process that uses the store"
            raise StoreUrlError(
                "the store was opened with a signing key, and this process has none", where=files.url, fix=fix
            )
        self._setup_from(files, serializer, safe, key, inline_bytes)

    def __repr__(self) -> str:
        return f"ResultStore({self.url!r})"

    @property
    def url(self) -> str:
        """Where the store lies, without credentials."""
        return self._setup.files.url

    @property
    def files(self) -> Files:
        """The files of the store."""
        return self._setup.files

    @property
    def signing_key(self) -> bytes | None:
        """The key that packs must be signed with, if any."""
        return self._setup.signing_key

    @property
    def problems(self) -> list[Problem]:
        """What was found damaged, foreign or unsigned so far, oldest first."""
        return self._setup.problems.all()

    @property
    def aio(self) -> AsyncResultStore:
        """The same for coroutines: ``await store.aio.get(...)``."""
        return AsyncResultStore(self)

    def task(self, collection: str) -> TaskResults:
        """The results of one collection, in bulk, as an engine uses them.

        Raises:
            StoreUrlError: the name of the collection is not safe as the name of a folder.
        """
        if not COLLECTION.fullmatch(collection):
            fix = "letters, digits, '_', '-' and '.', up to 200 of them"
            raise StoreUrlError("this is no name for a collection", where=repr(collection), fix=fix)
        with self._lock:
            return self._tasks.setdefault(collection, TaskResults(self._setup, collection))

    def collections(self) -> list[str]:
        """Names of all collections, sorted.

        Raises:
            StoreError: the store does not answer.
        """
        return sorted({entry.name.split("/")[1] for entry in self._setup.files.list("tasks")})

    # one value -------------------------------------------------------------------------------------------------------

    def put(self, key: str | bytes, value: Any) -> ResultReference:
        """Store a value under a key; replaces what was there.

        Args:
            key: a name, or a digest of 20 bytes.
            value: anything that can be serialized, ``None`` too.

        Raises:
            StoringError: the value cannot be stored.
            StoreError: the store is in trouble.
        """
        return self.put_many({key: value})[key]

    def get(self, key: str | bytes, default: Any = _RAISE) -> Any:
        """The value under a key.

        Args:
            key: a name, or a digest of 20 bytes.
            default: given if there is none, or only a damaged one, which is reported; without it, that is an error.

        Raises:
            ResultMissing: nothing is stored under the key.
            CorruptResult: it is damaged.
            ReadingError: it may not be read, or not here.
            StoreError: the store does not answer.
        """
        value = self._values([key])[0]
        if isinstance(value, ResultMissing | CorruptResult) and default is not _RAISE:
            return default
        if isinstance(value, ReadingError):
            value.where = f"{self.url}#{key if isinstance(key, str) else key.hex()}"
            raise value
        return value

    def exists(self, key: str | bytes) -> bool:
        """Whether something is stored under a key."""
        return self.exists_many([key])[0]

    def delete(self, key: str | bytes) -> None:
        """Remove what is stored under a key; nothing stored is no error."""
        self.delete_many([key])

    # many values -----------------------------------------------------------------------------------------------------

    def put_many(self, values: Mapping[Key, Any]) -> dict[Key, ResultReference]:
        """Store many values with one write.

        Raises:
            StoringError: a value cannot be stored; the others are.
            StoreError: the store is in trouble.
        """
        digests = [_digest(key) for key in values]
        provenance = Provenance(task="", created_at=self._setup.clock(), writer=_writer())
        saved = self._user.save(b"".join(digests), list(values.values()), provenance, names=_names(values))
        for error in saved.errors.values():
            raise error
        return {
            key: ResultReference(url=self.url, collection=USER_COLLECTION, key=found)
            for key, found in zip(values, digests, strict=True)
        }

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """The values under many keys; keys that nothing can be given for are left out.

        Raises:
            StoreError: the store does not answer.
        """
        values: Sequence[Any] = self._values(keys)
        return {key: value for key, value in zip(keys, values, strict=True) if not isinstance(value, ReadingError)}

    def exists_many(self, keys: Sequence[str | bytes]) -> list[bool]:
        """Whether something is stored, for each key."""
        self._user.refresh()
        found = self._user.find(_joined(keys), now=self._setup.clock(), refresh_if_missing=False)
        return [bool(stored) for stored in found.pack >= 0]

    def delete_many(self, keys: Sequence[str | bytes]) -> None:
        """Remove what is stored under many keys, with one write."""
        self._user.refresh()  # so that the deletion is newer than what it deletes
        self._user.delete(_joined(keys), names=_names(keys))

    def list(self, prefix: str = "") -> list[str]:
        """Names of all values that begin with a prefix, sorted; values under digests have no name.

        Raises:
            StoreError: the store does not answer.
        """
        self._user.refresh()
        names = sorted(
            {name for head in self._user.heads() for name in head.names or () if name and name.startswith(prefix)}
        )
        found = self._user.find(_joined(names), now=self._setup.clock(), refresh_if_missing=False)
        return [names[position] for position in found.stored.tolist()]

    def load(self, reference: ResultReference) -> Any:
        """The value that a reference names; its URL may be another way to say where this store lies.

        Raises:
            ResultMissing: it is not there any more.
            ReadingError: it is damaged, or may not be read.
            StoreError: the store does not answer.
        """
        results = self.task(reference.collection)
        value = results.load(results.find(reference.key, now=self._setup.clock()))[0]
        if isinstance(value, ReadingError):
            value.where = str(reference)
            raise value
        return value

    @property
    def _user(self) -> TaskResults:
        return self.task(USER_COLLECTION)

    def _values(self, keys: Sequence[str | bytes]) -> Sequence[Any]:
        self._user.refresh()  # somebody may have replaced what is known here
        found = self._user.find(_joined(keys), now=self._setup.clock(), refresh_if_missing=False)
        return self._user.load(found)


_stores: dict[tuple[Any, ...], ResultStore] = {}


def open_store(
    location: str | os.PathLike[str] | Location, storage_options: Mapping[str, Any] | None = None, **options: Any
) -> ResultStore:
    """The store at a location: one for each location and options in a process, so that look-up tables are shared.

    Args:
        location: as in `ResultStore`.
        storage_options: as in `ResultStore`.
        options: the other options of `ResultStore`.

    Example:
        >>> open_store("memory://shared") is open_store("memory://shared")
        True
    """
    url, given = _address(location, storage_options)
    chosen = (repr(sorted(given.items())), repr(sorted(options.items())))
    wanted = (os.getpid(), str(url), *chosen, _signing_key(None), _safe(None))
    found = _stores.get(wanted)
    if found is None:
        found = _stores.setdefault(wanted, ResultStore(url, storage_options=given, **options))
    return found


def load(reference: ResultReference | str, storage_options: Mapping[str, Any] | None = None) -> Any:
    """The value that a reference names, in any process that can reach its store.

    Raises:
        ResultMissing: it is not there any more.
        ReadingError: it is damaged, or may not be read.
        StoreError: the store does not answer.

    Example:
        >>> load(ResultStore("memory://loading").put("a", [1, 2]))
        [1, 2]
    """
    named = ResultReference.parse(reference) if isinstance(reference, str) else reference
    return open_store(named.url, storage_options).load(named)


def _is_files(location: object) -> TypeIs[Files]:
    return hasattr(location, "read_many")


def _address(
    location: str | os.PathLike[str] | Location, storage_options: Mapping[str, Any] | None
) -> tuple[str | os.PathLike[str], dict[str, Any]]:
    if isinstance(location, str | os.PathLike):
        return location, dict(storage_options or {})
    return location.url, {**location.storage_options, **(storage_options or {})}


def _safe(given: bool | None) -> bool:
    return os.environ.get(SAFE_VARIABLE, "").lower() in {"1", "true", "yes", "on"} if given is None else given


def _signing_key(given: str | bytes | None) -> bytes | None:
    key = os.environ.get(SIGNING_KEY_VARIABLE, "") if given is None else given
    return (key.encode() if isinstance(key, str) else key) or None


def _digest(key: str | bytes) -> bytes:
    if isinstance(key, str):
        return digest(b"name", key.encode())
    if len(key) != DIGEST_BYTES:
        raise ValueError(f"a key is a name (str) or a digest of {DIGEST_BYTES} bytes, not {len(key)} bytes")
    return key


def _joined(keys: Sequence[str | bytes]) -> bytes:
    return b"".join(map(_digest, keys))


def _names(keys: Any) -> list[str | None]:
    return [key if isinstance(key, str) else None for key in keys]


def _writer() -> str:
    return f"{platform.node()}:{os.getpid()}"
