"""Where results are kept, by the names people know: a folder, a bucket, a container, the memory of this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflow_results.errors import StoreUrlError
from dataflow_results.templates import Template

__all__ = ["AzureResult", "GCSResult", "LocalResult", "MemoryResult", "S3Result"]

HOME = "~/.dataflow/results"


def _check_template(location: str | None) -> None:
    """A template that is wrong is refused where it is written."""
    if location is not None:
        Template(location)


class _Location:
    """A place for results; each kind gives a URL and the options fsspec needs."""

    __slots__ = ()

    @property
    def url(self) -> str:
        """The URL that fsspec knows the place by."""
        raise NotImplementedError

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec is given besides the URL."""
        return {}


@dataclass(frozen=True, slots=True)
class LocalResult(_Location):
    """Results in a folder.

    Raises:
        TemplateError: ``location`` is no template of file names.

    Example:
        >>> LocalResult("/data/results").url
        'file:///data/results'
    """

    dir: str | os.PathLike[str] = HOME
    """The folder; ``~`` is the home of the user."""
    location: str | None = field(default=None, kw_only=True)
    """Template for names of plain files, for example ``"{task_name}/{parameters[date]}.parquet"``."""

    def __post_init__(self) -> None:
        _check_template(self.location)

    @property
    def url(self) -> str:
        """A ``file://`` URL."""
        return f"file://{Path(self.dir).expanduser().absolute()}"


@dataclass(frozen=True, slots=True)
class _InBucket(_Location):
    bucket: str
    prefix: str = ""
    """Folder within the bucket."""
    location: str | None = field(default=None, kw_only=True)
    """Template for names of plain files."""
    options: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False, hash=False)
    """What the filesystem is given besides; credentials better stand in the environment."""

    def __post_init__(self) -> None:
        if not self.bucket or "/" in self.bucket:
            name = type(self).__name__
            fix = f"{name}({self.bucket.strip('/').split('/')[-1] or 'name'!r}, prefix=...)"
            raise StoreUrlError(f"{self.bucket!r} is no name of a bucket or container", where=name, fix=fix)
        _check_template(self.location)

    @property
    def url(self) -> str:
        """The URL of bucket and prefix."""
        return f"{self._scheme()}://{self.bucket}/{self.prefix.strip('/')}".rstrip("/")

    @property
    def storage_options(self) -> Mapping[str, Any]:
        """What fsspec is given besides the URL."""
        return self.options

    def _scheme(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class S3Result(_InBucket):
    """Results in a bucket of S3, or of a server that speaks like it.

    Example:
        >>> S3Result("lab", "2026").url
        's3://lab/2026'
    """

    def _scheme(self) -> str:
        return "s3"


@dataclass(frozen=True, slots=True)
class GCSResult(_InBucket):
    """Results in a bucket of Google Cloud Storage.

    Example:
        >>> GCSResult("lab").url
        'gs://lab'
    """

    def _scheme(self) -> str:
        return "gs"


@dataclass(frozen=True, slots=True)
class AzureResult(_InBucket):
    """Results in a container of Azure Blob Storage.

    Example:
        >>> AzureResult("lab", options={"account_name": "climate"}).storage_options
        {'account_name': 'climate'}
    """

    def _scheme(self) -> str:
        return "az"


@dataclass(frozen=True, slots=True)
class MemoryResult(_Location):
    """Results in the memory of this process, for tests and trials.

    Example:
        >>> MemoryResult().url
        'memory://dataflow-results'
    """

    name: str = "dataflow-results"

    @property
    def url(self) -> str:
        """A ``memory://`` URL."""
        return f"memory://{self.name}"
