"""Where a store lies: a URL and its options, read once, with what may be shown kept apart from what must not."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dataflow_results.errors import StoreUrlError
from dataflow_results.files.habits import holds_secret, secret_texts

__all__ = ["LOCAL", "Address", "address_of"]

LOCAL = frozenset({"", "file", "local"})
"""Protocols of local paths."""

SCHEME = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]+):(//)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a store lies."""

    protocol: str
    shown: str
    """The URL without credentials; for local paths absolute."""
    full: str = field(repr=False)
    """The URL as it was given."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> str:
        """The path of a local address."""
        return self.shown.removeprefix("file://")

    @property
    def secret(self) -> bool:
        """Whether it holds credentials, so that it must not travel."""
        return self.full != self.shown or holds_secret(self.options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no message may contain."""
        password = _password_of(self.full)
        return (*((password,) if password else ()), *secret_texts(self.options))


def address_of(url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Address:
    """Read a URL, or a local path: absolute, relative, or beginning with ``~``.

    Raises:
        StoreUrlError: it is no URL of a store.

    Example:
        >>> address_of("sftp://me:pw@host/results/").shown
        'sftp://me@host/results'
        >>> address_of("/tmp/results").shown
        'file:///tmp/results'
    """
    text = os.fspath(url)
    if not text.strip():
        raise StoreUrlError(f"{url!r} is no URL of a store", fix="'s3://bucket/results' or '~/results'")
    if "::" in text:
        raise StoreUrlError(
            "a chain of filesystems cannot be a store", where=_shown(text), fix="the last URL of the chain"
        )
    found = SCHEME.match(text)
    protocol = found[1].lower() if found and found[2] else ""
    if protocol in LOCAL:
        return _local(text, options or {})
    shown = _shown(text)
    return Address(
        protocol=protocol, shown=shown, full=shown if _is_public(text) else text, options=dict(options or {})
    )


def _local(text: str, options: Mapping[str, Any]) -> Address:
    path = Path(SCHEME.sub("", text)).expanduser()
    shown = f"file://{Path(os.path.normpath(path.absolute()))}"
    return Address(protocol="", shown=shown, full=shown, options=dict(options))


def _is_public(text: str) -> bool:
    return not urlsplit(text).query and not _password_of(text)


def _password_of(text: str) -> str:
    return urlsplit(text).password or ""


def _shown(text: str) -> str:
    parts = urlsplit(text)
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}".rstrip("/")
