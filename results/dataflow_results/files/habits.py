"""What is known of each kind of store: when a write becomes visible, how it is published, which package serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

__all__ = [
    "ALIASES",
    "EXTRAS",
    "HABITS",
    "Habits",
    "Publishing",
    "habits_of",
    "holds_secret",
    "is_read_only",
    "secret_texts",
]


class Publishing(Enum):
    """How a stream whose name is known only at its end gets that name."""

    COPY = auto()
    """Written to the store under a passing name, then copied by the store itself."""
    SPOOL = auto()
    """Kept in a local temporary file until the name is known: the store cannot copy at once, or we do not know."""
    RENAME = auto()
    """Written under a passing name, then renamed: filesystems, where a write in progress can be seen."""
    JOIN = auto()
    """Collected in memory, where the store is too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How one kind of store behaves."""

    publishing: Publishing = Publishing.SPOOL
    read_only: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    """What its constructor is always given: listings must come from the store, not from a cache of this process."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Settings of botocore, which serves S3, as far as the version at hand knows them."""


UNCACHED = {"use_listings_cache": False}
UNSUMMED = {"request_checksum_calculation": "when_required"}
"""No second checksum of what is sent: what is read is verified by one of ours. It also is what older servers expect."""

HABITS: dict[str, Habits] = {
    "abfs": Habits(options=UNCACHED),
    "dav": Habits(publishing=Publishing.RENAME),
    "ftp": Habits(publishing=Publishing.RENAME),
    "gs": Habits(publishing=Publishing.COPY, options=UNCACHED),
    "hdfs": Habits(publishing=Publishing.RENAME),
    "http": Habits(read_only=True, options=UNCACHED),
    "memory": Habits(publishing=Publishing.JOIN),
    "s3": Habits(publishing=Publishing.COPY, options=UNCACHED, config=UNSUMMED),
    "sftp": Habits(publishing=Publishing.RENAME),
    "smb": Habits(publishing=Publishing.RENAME),
    "webhdfs": Habits(publishing=Publishing.RENAME),
}
"""Habits by protocol; one that is not here is taken for an object store of unknown abilities."""

ALIASES = {
    "abfss": "abfs",
    "adl": "abfs",
    "arrow_hdfs": "hdfs",
    "az": "abfs",
    "gcs": "gs",
    "https": "http",
    "s3a": "s3",
    "ssh": "sftp",
    "webdav": "dav",
}

EXTRAS = {
    "abfs": "pip install 'dask-dataflow[azure]'",
    "gs": "pip install 'dask-dataflow[gcs]'",
    "http": "pip install aiohttp",
    "s3": "pip install 'dask-dataflow[s3]'",
    "sftp": "pip install paramiko",
    "smb": "pip install smbprotocol",
}
"""What to install for a protocol."""

SECRET_NAMES = (
    "account_key",
    "account_name_key",
    "client_secret",
    "connection_string",
    "credential",
    "key",
    "passphrase",
    "passwd",
    "password",
    "pkey",
    "sas_token",
    "secret",
    "token",
    "username_password",
)
"""Options with such a name, or one that ends with it after an underscore, are secrets."""

PUBLIC_VALUES = frozenset({"anon", "browser", "cache", "cloud", "default", "google_default", ""})
"""Values of such options that say how to find a secret and are none."""


def habits_of(protocol: str) -> Habits:
    """Habits of the stores of a protocol.

    Example:
        >>> habits_of("gcs").publishing
        <Publishing.COPY: 1>
    """
    return HABITS.get(ALIASES.get(protocol, protocol), Habits())


def is_read_only(url: str) -> bool:
    """Whether the store at a URL can only be read, whoever asks.

    Example:
        >>> is_read_only("https://host/results"), is_read_only("s3://bucket"), is_read_only("file:///tmp")
        (True, False, False)
    """
    return habits_of(url.partition(":")[0].lower()).read_only


def holds_secret(options: Mapping[str, Any]) -> bool:
    """Whether storage options hold what must not travel.

    Example:
        >>> holds_secret({"anon": True}), holds_secret({"client_kwargs": {"aws_secret_access_key": "x"}})
        (False, True)
    """
    return bool(_secrets(options))


def secret_texts(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The secrets among storage options that are text, longest first."""
    texts = {value for value in _secrets(options) if isinstance(value, str) and len(value) > 3}
    return tuple(sorted(texts, key=len, reverse=True))


def _secrets(options: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += _secrets(value)
        elif value is not None and value not in PUBLIC_VALUES and _is_secret(name):
            found.append(value)
    return found


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(lowered == secret or lowered.endswith(f"_{secret}") for secret in SECRET_NAMES)
