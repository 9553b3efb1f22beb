"""A store over http is listed with sizes, read by ranges from every server, and never written."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dataflow.engine.kept import claims_on
from dataflow_results.errors import ResultMissing, StoreDenied, StoreUnreachable
from dataflow_results.files import Files, open_files
from dataflow_results.files.remote import RemoteFiles
from dataflow_results.files.trouble import Patience
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from dataflow_results.testing.suite import keys_of


class Plain(SimpleHTTPRequestHandler):
    """Sends the whole file for any range, and lists folders as a page of links."""

    asked: list[str]
    refused = ""
    gone = ""

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        if self.path.endswith(self.gone or "\0"):
            self.send_error(404)
        else:
            super().do_HEAD()

    def do_GET(self) -> None:
        if self.path.strip("/").endswith(self.refused or "\0"):
            self.send_error(403)
        elif self.path.endswith(self.gone or "\0"):
            self.send_error(404)
        else:
            super().do_GET()

    def list_directory(self, path: Any) -> None:
        """With links to sort by and to itself, as pages of other servers have."""
        names = [f"{found.name}/" if found.is_dir() else found.name for found in Path(path).iterdir()]
        links = ["?C=N;O=D", "./", "../", *(quote(name) for name in sorted(names))]
        page = "\n".join(f'<a href="{link}">x</a>' for link in links).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


class WithRanges(Plain):
    """Sends what was asked for."""

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        start, stop = int(wanted[1]), int(wanted[2] or len(data)) + 1
        part = data[start:stop]
        self.send_response(206 if part else 416)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture(params=[Plain, WithRanges])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, type[Plain]]]:
    """Where the folder of a test is served, and the class that does it."""

    class Handler(request.param):  # type: ignore[misc,name-defined]
        asked: list[str] = []  # noqa: RUF012 - of this server

        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", Handler
        serving.shutdown()
        thread.join()


@pytest.fixture
def files(server: tuple[str, type[Plain]]) -> Files:
    """The folder of a test over http."""
    return open_files(server[0])


def sizes(files: Files, folder: str = "") -> dict[str, int]:
    return {entry.name: entry.size_bytes for entry in files.list(folder)}


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, None, b"0123456789"),
        (0, 4, b"0123"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (8, 99, b"89"),
        (2, 12, b"23456789"),
        (10, None, b""),
        (99, 200, b""),
    ],
)
def test_ranges(tmp_path: Path, files: Files, start: int, stop: int | None, expected: bytes) -> None:
    """A server that ignores ranges is read as rightly as one that knows them."""
    (tmp_path / "a").write_bytes(b"0123456789")
    assert files.read("a", start, stop) == expected


def test_many_reads(tmp_path: Path, files: Files) -> None:
    """Ranges of many files at once, an absent one in its place."""
    (tmp_path / "a").write_bytes(b"0123456789")
    first, absent, last = files.read_many([("a", 0, 3), ("x", 0, 4), ("a", 5, 7)])
    assert (first, type(absent), last) == (b"012", ResultMissing, b"56")
    target = bytearray(4)
    files.read_into("a", 4, memoryview(target))
    assert target == b"4567"


def test_listings_tell_sizes_and_times(tmp_path: Path, files: Files) -> None:
    """Pages of links tell no sizes, so each file is asked; links to sort a page by are no files."""
    for name in ("tasks/t/packs/1.pack", "tasks/t/packs/2.pack", "größer als.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert sizes(files) == {"größer als.txt": 16, "tasks/t/packs/1.pack": 20, "tasks/t/packs/2.pack": 20}
    assert sizes(files, "tasks/t") == {"tasks/t/packs/1.pack": 20, "tasks/t/packs/2.pack": 20}
    assert sizes(files, "not/there") == {}
    assert files.read("größer als.txt") == "größer als.txt".encode()
    now = (tmp_path / "größer als.txt").stat().st_mtime
    assert all(abs(entry.modified_seconds - now) < 2 for entry in files.list())


def test_a_file_that_goes_while_it_is_listed_is_left_out(tmp_path: Path, server: tuple[str, type[Plain]]) -> None:
    """It stood on the page, and is gone when its size is asked for."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    server[1].gone = "/b"
    assert sizes(open_files(server[0])) == {"a": 1}


def test_a_folder_that_may_not_be_seen_is_an_error(tmp_path: Path, server: tuple[str, type[Plain]]) -> None:
    """What can be listed is not given for the whole."""
    for name in ("a", "shut/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    server[1].refused = "shut"
    with pytest.raises(StoreDenied):
        open_files(server[0]).list()


def test_a_server_that_is_gone_is_an_error_and_no_empty_store() -> None:
    """Otherwise all would be computed again, and nobody told why."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    opened = open_files(url)
    assert isinstance(opened, RemoteFiles)
    impatient = RemoteFiles(opened._access.address, opened._access.connect, patience=Patience(tries=1))
    with pytest.raises(StoreUnreachable):
        impatient.list()


def test_results_are_found_over_http(tmp_path: Path, server: tuple[str, type[Plain]]) -> None:
    """Small values and large ones that one wrote to a disk, another reads from its server."""
    values = [1, "two", b"x" * 2_000_000]
    ResultStore(tmp_path).task("t").save(keys_of(0, 1, 2), values, Provenance(task="t", created_at=0.0))
    results = ResultStore(server[0]).task("t")
    assert results.load(results.find(keys_of(0, 1, 2, 3), now=1.0))[:3] == values
    assert len([path for path in server[1].asked if path.endswith(".pack")]) == 1


def test_it_is_read_only_and_nobody_warns_of_it(files: Files) -> None:
    """Writing is refused; that there are no claims is no surprise to anybody, so no warning is given."""
    with pytest.raises(StoreDenied, match="can only be read"):
        files.write("b", [b"x"])
    assert files.creates_safely() is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert claims_on(ResultStore(files.url), "t") is None
