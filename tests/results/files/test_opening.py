"""URLs and paths of every spelling lead to the right files, once per process; wrong ones say what to write."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import sys
from pathlib import Path

import pytest

from dataflow_results.errors import StoreUrlError
from dataflow_results.files import open_files
from dataflow_results.files.address import address_of
from dataflow_results.files.habits import holds_secret, secret_texts
from dataflow_results.files.opening import connect
from dataflow_results.locations import AzureResult, GCSResult, LocalResult, MemoryResult, S3Result


@pytest.mark.parametrize("spelling", ["{0}/r", "file://{0}/r", "local://{0}/r", "{0}/r/", "{0}/x/../r", "r", "./r"])
def test_local_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    """All spellings of one folder are one store."""
    monkeypatch.chdir(tmp_path)
    assert open_files(spelling.format(tmp_path)).url == f"file://{tmp_path}/r"


def test_home_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the user's home, and a Path is as good as text."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_files("~/r").url == open_files("file://~/r").url == f"file://{tmp_path}/r"
    assert open_files(tmp_path / "r") is open_files(str(tmp_path / "r"))


def test_asked_twice_it_is_the_same(tmp_path: Path) -> None:
    """One object for URL and options in a process; other options are another."""
    assert open_files("memory://one") is open_files("memory://one/")
    assert open_files("memory://one") is not open_files("memory://two")
    assert open_files(tmp_path) is not open_files(tmp_path, durable=True)


def test_durable_files_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With durable=True file and folders reach the disk before a write ends; without, none is waited for."""
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd))[1]
    )
    open_files(tmp_path / "fast").write("a/b", [b"x"])
    assert synced == []
    root = tmp_path / "safe"
    open_files(root, durable=True).write("a/b", [b"x"])
    assert synced[0].startswith(f"{root}/a/.partial-")
    assert synced[1:] == [f"{root}/a", str(root)]


@pytest.mark.parametrize(
    ("url", "problem", "fix"),
    [
        ("nosuch://x", "no filesystem is known for 'nosuch'", "s3, gs"),
        ("", "is no URL", "s3://bucket"),
        ("simplecache::s3://b", "a chain of filesystems", "the last URL"),
    ],
)
def test_wrong_urls(url: str, problem: str, fix: str) -> None:
    """What is wrong, and what to write, stand in the error."""
    with pytest.raises(StoreUrlError, match=problem) as raised:
        open_files(url)
    assert fix in raised.value.fix


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without s3fs, the error says which extra brings it."""
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for name in ("s3", "s3a"):
        monkeypatch.delitem(registry._registry, name, raising=False)
    with pytest.raises(StoreUrlError, match="not installed") as raised:
        open_files("s3://missing-package")
    assert raised.value.fix == "pip install 'dask-dataflow[s3]'"


@pytest.mark.parametrize(
    ("url", "shown", "secret"),
    [
        ("s3://bucket/a/", "s3://bucket/a", False),
        ("sftp://me:pw@host:22/a", "sftp://me@host:22/a", True),
        ("sftp://me@host/a", "sftp://me@host/a", False),
        ("https://host/a?sig=abc", "https://host/a", True),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str, secret: bool) -> None:
    """Passwords and query strings are not shown, and make an address that must not travel."""
    address = address_of(url)
    assert (address.shown, address.secret) == (shown, secret)
    assert "pw" not in repr(address)
    assert "abc" not in repr(address)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ()),
        ({"anon": True, "endpoint_url": "http://x", "project": "p"}, ()),
        ({"token": "cloud"}, ()),
        ({"token": "anon"}, ()),
        ({"key": "AKIA", "secret": "sssss"}, ("sssss", "AKIA")),
        ({"connection_string": "AccountKey=x"}, ("AccountKey=x",)),
        ({"client_kwargs": {"aws_secret_access_key": "deeper"}}, ("deeper",)),
        ({"token": {"private_key": "dict"}}, ("dict",)),
    ],
)
def test_secrets_among_options(options: dict[str, object], expected: tuple[str, ...]) -> None:
    """Known names of secrets are found at any depth; ways of finding one are none."""
    assert secret_texts(options) == expected
    assert holds_secret(options) is bool(expected)


def test_secrets_do_not_travel() -> None:
    """Files whose options hold a secret refuse to be pickled, and say where the secret belongs."""
    with pytest.raises(StoreUrlError, match="must not travel") as raised:
        pickle.dumps(open_files("s3://b", {"key": "AKIA", "secret": "sssss"}))
    assert "environment" in raised.value.fix
    assert "sssss" not in str(raised.value)


def _read_in_child(url: str, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    answers.put(open_files(url).read("a"))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_files_work_after_a_fork(tmp_path: Path) -> None:
    """A forked process makes its own connections."""
    files = open_files(tmp_path)
    files.write("a", [b"x"])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_in_child, args=(files.url, answers))
    child.start()
    assert answers.get(timeout=30) == b"x"
    child.join()


@pytest.mark.parametrize(
    ("given", "checksums", "addressing"),
    [
        ({}, "when_required", None),
        ({"request_checksum_calculation": "when_supported"}, "when_supported", None),
        ({"s3": {"addressing_style": "path"}}, "when_required", {"addressing_style": "path"}),
    ],
)
def test_what_s3_is_told(given: dict[str, object], checksums: str, addressing: object) -> None:
    """No second checksum of what is sent, unless options say so; other settings of theirs stay."""
    filesystem, _ = connect(address_of("s3://b", {"config_kwargs": given} if given else {}))
    assert filesystem.config_kwargs["request_checksum_calculation"] == checksums
    assert filesystem.config_kwargs.get("s3") == addressing


def test_an_older_botocore_is_not_told_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would refuse the setting."""
    config = importlib.import_module("botocore.config").Config
    known = {name: value for name, value in config.OPTION_DEFAULTS.items() if "checksum" not in name}
    monkeypatch.setattr(config, "OPTION_DEFAULTS", known)
    filesystem, _ = connect(address_of("s3://b"))
    assert not filesystem.config_kwargs


def test_locations_by_their_classic_names(tmp_path: Path) -> None:
    """Each location gives the URL fsspec knows, and its options."""
    assert LocalResult(tmp_path).url == f"file://{tmp_path}"
    assert LocalResult().url == f"file://{Path.home()}/.dataflow/results"
    assert [kind("b", "p/").url for kind in (S3Result, GCSResult, AzureResult)] == ["s3://b/p", "gs://b/p", "az://b/p"]
    assert MemoryResult().url == "memory://dataflow-results"
    with_options = S3Result("b", options={"secret": "sssss"}, location="{task_name}")
    assert (with_options.storage_options, with_options.location) == ({"secret": "sssss"}, "{task_name}")
    assert "sssss" not in repr(with_options)
    with pytest.raises(StoreUrlError, match="no name of a bucket"):
        S3Result("s3://b")
