"""From a URL to the files of a store: one object for each URL and its options in a process."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from dataflow_results.errors import StoreUrlError
from dataflow_results.files.address import LOCAL, Address, address_of
from dataflow_results.files.habits import ALIASES, EXTRAS, habits_of
from dataflow_results.files.local import LocalFiles
from dataflow_results.files.protocol import Files
from dataflow_results.files.remote import RemoteFiles

__all__ = ["connect", "open_files"]

_OPENED: dict[tuple[int, str, str, bool], Files] = {}
"""By process, URL, options and durability."""


def open_files(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None, *, durable: bool = False
) -> Files:
    """The files below a URL, or below a local path.

    Asked again for the same, it gives the same object. Nothing is connected before the first use.

    Args:
        url: any URL fsspec knows, or a path: absolute, relative, or beginning with ``~``.
        storage_options: what fsspec is given besides. Better leave credentials to the environment or to the
            configuration of fsspec: files that hold some cannot be pickled, so they cannot be used on a cluster.
        durable: whether a local write ends only when the disk has it.

    Raises:
        StoreUrlError: the URL is wrong, or the package that serves it is not installed.

    Example:
        >>> files = open_files("memory://example")
        >>> files.write("a", [b"hello"])
        >>> [entry.name for entry in files.list()]
        ['a']
    """
    address = address_of(url, storage_options)
    wanted = (os.getpid(), address.full, repr(sorted(address.options.items())), durable)
    found = _OPENED.get(wanted)
    if found is None:
        found = _OPENED.setdefault(wanted, _opened(address, durable=durable))
    return found


def _opened(address: Address, *, durable: bool) -> Files:
    if address.protocol in LOCAL:
        return LocalFiles(address.path, durable=durable)
    _check_served(address)
    return RemoteFiles(address, connect)


def _check_served(address: Address) -> None:
    registry = importlib.import_module("fsspec.registry")  # here, so that importing results does not cost fsspec
    try:
        registry.get_filesystem_class(address.protocol)
    except ImportError:
        fix = EXTRAS.get(ALIASES.get(address.protocol, address.protocol), "install the package that serves it")
        raise StoreUrlError("the package that serves this URL is not installed", where=address.shown, fix=fix) from None
    except ValueError:
        known = ", ".join(("file", *(name for name in ("s3", "gs", "az", "sftp", "http", "memory"))))
        problem = f"no filesystem is known for {address.protocol!r}"
        raise StoreUrlError(problem, where=address.shown, fix=f"one of {known}, ... (any that fsspec knows)") from None


def connect(address: Address) -> tuple[Any, str]:
    """A filesystem of fsspec for an address, shared with nobody, and the path of the store within it."""
    core = importlib.import_module("fsspec.core")  # as above
    habits = habits_of(address.protocol)
    options = {**habits.options, **address.options}
    if habits.config:
        options["config_kwargs"] = {**_known(habits.config), **(options.get("config_kwargs") or {})}
    filesystem, root = core.url_to_fs(address.full, skip_instance_cache=True, **options)
    return filesystem, root


def _known(config: Mapping[str, str]) -> dict[str, str]:
    """Those settings that the botocore at hand knows: it refuses others."""
    known = importlib.import_module("botocore.config").Config.OPTION_DEFAULTS  # as above
    return {name: value for name, value in config.items() if name in known}
