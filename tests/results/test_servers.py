"""The servers of the tests behave as the stores they stand for, seen through the plain fsspec filesystems."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.results.servers import EVERYWHERE, SERVERS, Place, Server, free_port, guarded, on, places, running

TEXT = b"0123456789"
OUTCOMES = (pytest.skip.Exception, pytest.fail.Exception)


def files_of(place: Place) -> tuple[Any, str]:
    """The fsspec filesystem of a place, and the path its URL stands for."""
    files, path = importlib.import_module("fsspec").url_to_fs(place.url, **place.storage_options)
    return files, path


def create(files: Any, path: str, data: bytes) -> str:
    """Create a file only if it is absent: "created", or the words in which the server refused."""
    try:
        files.pipe_file(path, data, mode="create")
    except FileExistsError:
        return "FileExistsError"
    except OSError as error:
        answer = getattr(error.__cause__, "response", {"Error": {"Code": "none"}})
        return f"OSError({error.errno}) for {answer['Error']['Code']}"
    return "created"


def test_place_is_empty_and_keeps_files(place: Place) -> None:
    """Nothing is there at first; what was put is got back, whole and by range, listed with its size, and removed."""
    files, path = files_of(place)
    assert not files.exists(path)
    files.makedirs(f"{path}/deep", exist_ok=True)
    files.pipe_file(f"{path}/one", TEXT)
    files.pipe_file(f"{path}/deep/two", TEXT * 2)
    assert files.cat_file(f"{path}/one") == TEXT
    assert files.cat_file(f"{path}/one", start=3, end=6) == b"345"
    assert sizes_of(files, path) == {f"{path}/one": 10, f"{path}/deep/two": 20}
    files.rm_file(f"{path}/one")
    assert list(sizes_of(files, path)) == [f"{path}/deep/two"]


def sizes_of(files: Any, path: str) -> dict[str, int]:
    """Every file below a path with its size in bytes, never from a cache."""
    files.invalidate_cache()
    return {name: facts["size"] for name, facts in files.find(path, detail=True).items()}


REFUSALS = {
    "local": "FileExistsError",
    "memory": "FileExistsError",
    "moto": "FileExistsError",
    "radosgw": "OSError(22) for PreconditionFailed",
    "gcs": "FileExistsError",
    "azurite": "FileExistsError",
}
"""How each says that the file is there already; s3fs looks for a word in the answer that Ceph leaves out."""


def test_second_create_is_refused(place: Place) -> None:
    """A file is created once; the second attempt is refused in the server's own words and changes nothing."""
    files, path = files_of(place)
    files.makedirs(path, exist_ok=True)
    assert [create(files, f"{path}/claim", text) for text in (b"first", b"second")] == ["created", REFUSALS[place.name]]
    assert files.cat_file(f"{path}/claim") == b"first"


@on("moto", "radosgw", "gcs", "azurite")
def test_one_of_many_creators_wins(place: Place) -> None:
    """Of eight at once exactly one creates the file, and it is that one's text which stands there."""
    files, path = files_of(place)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: create(files, f"{path}/claim", b"%d" % n), range(8)))
    assert sorted(answers) == sorted(["created"] + [REFUSALS[place.name]] * 7)
    assert files.cat_file(f"{path}/claim") == b"%d" % answers.index("created")


@on("gcs")
def test_large_upload_is_conditional_too(place: Place) -> None:
    """An upload in several pieces does not replace a file that came into being before its end."""
    files, path = files_of(place)
    upload = files.open(f"{path}/large", "xb", block_size=2**18)
    upload.write(bytes(2**19))
    files.pipe_file(f"{path}/large", TEXT)
    with pytest.raises(FileExistsError):
        upload.close()
    assert files.cat_file(f"{path}/large") == TEXT


@on("gcs")
def test_upload_given_up_and_move_take_no_time(place: Place) -> None:
    """What the emulator lacks of its own is answered at once: gcsfs would repeat each for half a minute."""
    files, path = files_of(place)
    began = time.monotonic()
    upload = files.open(f"{path}/large", "wb", block_size=2**18)
    upload.write(bytes(2**19))
    upload.discard()
    files.pipe_file(f"{path}/one", TEXT)
    files.mv_file(f"{path}/one", f"{path}/deep/two")
    assert list(sizes_of(files, path)) == [f"{path}/deep/two"]
    assert files.cat_file(f"{path}/deep/two") == TEXT
    assert time.monotonic() - began < 10


@on("moto", "radosgw", "gcs", "azurite")
def test_large_file(place: Place) -> None:
    """Forty megabytes written in parts are got back as they were."""
    files, path = files_of(place)
    data = os.urandom(1_000_000) * 40
    with files.open(f"{path}/large", "wb", block_size=10_000_000) as file:
        file.write(data)
    assert files.cat_file(f"{path}/large") == data


@on("moto", "radosgw", "gcs", "azurite")
def test_many_small_files_at_once(place: Place) -> None:
    """A hundred concurrent requests are answered within seconds."""
    files, path = files_of(place)
    files.pipe({f"{path}/{n}": b"%d" % n for n in range(100)})
    found = files.cat([f"{path}/{n}" for n in range(100)])
    assert sorted(found.values()) == sorted(b"%d" % n for n in range(100))


@on("radosgw")
@pytest.mark.parametrize("wrong", [{"key": "AKNOBODY"}, {"secret": "SKWRONG"}], ids=["key", "secret"])
def test_wrong_credentials_are_refused(place: Place, wrong: dict[str, str]) -> None:
    """The gateway knows its users: an unknown key or a wrong secret reads nothing."""
    files, path = files_of(place)
    files.pipe_file(f"{path}/one", TEXT)
    stranger = type(files)(**{**place.storage_options, **wrong})
    with pytest.raises(PermissionError):
        stranger.cat_file(f"{path}/one")


@on("moto", "radosgw", "gcs", "azurite")
def test_environment_does_for_secrets(place: Place) -> None:
    """Another process reaches the place by options without secrets and the environment."""
    files, path = files_of(place)
    files.pipe_file(f"{path}/one", TEXT)
    program = (
        f"import fsspec; print(fsspec.open({place.url + '/one'!r}, **{place.options_without_secrets!r}).open().read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **place.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == repr(TEXT), done.stderr
    assert not set(place.environment.values()) & set(map(str, place.options_without_secrets.values()))


def test_places_differ(place: Place) -> None:
    """Each test gets a place of its own below what the server shares."""
    assert place.fresh().url != place.fresh().url
    assert place.fresh().url.startswith(place.url)
    assert all(secret not in repr(place) for secret in place.environment.values())


def test_every_server_has_its_tests() -> None:
    """All servers are among the places, and those with processes of their own carry the mark."""
    assert set(SERVERS) < set(EVERYWHERE)
    assert [p.values[0] for p in places(*EVERYWHERE) if p.marks] == ["radosgw", "gcs", "azurite"]


@pytest.mark.parametrize(("setting", "outcome"), [("", pytest.skip.Exception), ("required", pytest.fail.Exception)])
def test_missing_server_is_skipped_or_required(
    monkeypatch: pytest.MonkeyPatch, setting: str, outcome: type[BaseException]
) -> None:
    """What is not installed is named together with its remedy: a reason to skip, or to fail where all are required."""
    absent = Server(start=SERVERS["moto"].start, modules=("no_such_module",), programs=("no-such-program",))
    monkeypatch.setitem(SERVERS, "absent", absent)  # type: ignore[arg-type]
    monkeypatch.setenv("DATAFLOW_TEST_SERVERS", setting)
    with pytest.raises(OUTCOMES) as caught, running("absent"):
        pass
    assert type(caught.value) is outcome
    assert str(caught.value) == "absent: no_such_module, no-such-program not installed; install with: make servers"


def test_server_that_ends_says_why() -> None:
    """A server that cannot start is an error with its last words, never a skip."""
    with (
        pytest.raises(RuntimeError, match="no room for me"),
        guarded(free_port(), lambda _: ["sh", "-c", "echo no room for me"]),
    ):
        pass


def processes_with(word: str) -> list[str]:
    """Running processes whose command line holds the word."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if word in line and "ps -ewwo" not in line]


KILLED = """
import os, signal, sys
from tests.results.servers import free_port, guarded
port = free_port()
with guarded(port, lambda folder: [sys.executable, "-c", sys.argv[1], str(port), str(folder)]):
    print("up", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
SERVES = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", sys.argv[2]])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(sys.argv[2], flush=True)
while True: listener.accept()
"""


def test_killed_run_leaves_nothing(tmp_path: Path) -> None:
    """When the tests are killed with -9, the server, its children and its folder are gone a moment later."""
    run = subprocess.run(
        [sys.executable, "-c", KILLED, SERVES],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout) == (-9, "up\n"), run.stderr
    deadline = time.monotonic() + 20
    while (left := [*processes_with(str(tmp_path)), *tmp_path.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
