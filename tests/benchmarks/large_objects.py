"""R5: one large array through serializer and object store against the same bytes by fsspec, s3fs and obstore.

``python -m tests.benchmarks.large_objects [local] [rclone] [moto]`` prints speed as a part of what raw bytes reach in
the same run, and peak memory in multiples of the array. Each measurement is a process of its own, and servers are too.
The best of each way counts: a machine that gives memory and disk to others is slower by chance, never faster.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "results")]

import fsspec  # noqa: E402
import numpy as np  # noqa: E402

from dataflow_results.files import open_files  # noqa: E402
from dataflow_results.packs.objects import read_object, write_object  # noqa: E402
from dataflow_results.serializers import Serializer, find_serializer  # noqa: E402
from tests.benchmarks.harness import Row, is_met, table  # noqa: E402

KEY, SECRET, BUCKET = "ACCESSKEY123", "SECRETKEY12345", "large-objects"
SPEED, MEMORY = ">= 0.8", "<= 1.3"
SERVER_SECONDS = 30
ROOM_BYTES = 12_000_000_000


def storage_options(endpoint: str) -> dict[str, Any]:
    """What fsspec needs to reach a server of S3 on this machine; nothing for a disk.

    Payloads are not signed, as over https, where the connection protects them: SHA-256 is not what is measured.
    """
    if not endpoint:
        return {}
    return {
        "key": KEY,
        "secret": SECRET,
        "client_kwargs": {"endpoint_url": endpoint},
        "config_kwargs": {"s3": {"addressing_style": "path", "payload_signing_enabled": False}},
    }


def array_of(size_bytes: int) -> np.ndarray[Any, Any]:
    """Numbers that do not compress within the reach of usual compressors."""
    return np.resize(np.random.default_rng(0).random(1_000_003), size_bytes // 8)


class Ours:
    """Serializer and object store, as `ResultStore` uses them for a large value."""

    def __init__(self, url: str, endpoint: str) -> None:
        self.files = open_files(url, storage_options(endpoint))
        found = find_serializer("numpy")
        assert isinstance(found, Serializer)
        self.serializer = found

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        named, size_bytes = write_object(self.files, self.serializer.dump(array))
        return [named.hex(), size_bytes]

    def get(self, place: Any) -> object:
        return self.serializer.load(read_object(self.files, bytes.fromhex(place[0]), place[1]))


class Fsspec:
    """The same bytes by fsspec: no digest, no atomic publication on a disk."""

    def __init__(self, url: str, endpoint: str) -> None:
        self.filesystem, root = fsspec.core.url_to_fs(url, **storage_options(endpoint))
        self.path = f"{root}/raw"

    def put(self, data: bytes) -> Any:
        self.filesystem.pipe_file(self.path, data)
        return [self.path]

    def get(self, place: Any) -> object:
        return self.filesystem.cat_file(place[0])


class Obstore:
    """The same bytes by obstore."""

    def __init__(self, url: str, endpoint: str) -> None:
        store = importlib.import_module("obstore.store")
        self.obstore = importlib.import_module("obstore")
        if endpoint:
            options = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "aws_endpoint": endpoint}
            options["aws_unsigned_payload"] = "true"
            prefix = url.partition(f"{BUCKET}/")[2]
            config = {**options, "aws_region": "us-east-1"}
            client_options = {"allow_http": True, "timeout": "120s"}
            self.store = store.S3Store(BUCKET, prefix=prefix, config=config, client_options=client_options)
        else:
            self.store = store.LocalStore(url.removeprefix("file://"), mkdir=True)

    def put(self, data: bytes) -> Any:
        self.obstore.put(self.store, "obstore", data)
        return ["obstore"]

    def get(self, place: Any) -> object:
        return self.obstore.get(self.store, place[0]).bytes()


WAYS: dict[str, Callable[[str, str], Any]] = {"ours": Ours, "fsspec": Fsspec, "obstore": Obstore}


def resident_bytes(field: str) -> int:
    """Resident memory of this process now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def reset_peak() -> None:
    """Begin to count the peak from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measured(way: str, url: str, endpoint: str, size_bytes: int, place: Any) -> dict[str, Any]:
    """One put (place None) or get in this process: seconds, and the peak in multiples of the array."""
    user = WAYS[way](url, endpoint)
    WAYS[way](f"{url}/warm", endpoint).put(array_of(65536) if way == "ours" else b"warm")  # imports, connections
    before = resident_bytes("VmRSS")
    value: Any = None
    if place is None:
        value = array_of(size_bytes)
        value = (
            value.copy() if way == "ours" else value.tobytes()
        )  # for all: memory is freed that the disk's cache takes
    reset_peak()
    start = time.perf_counter()
    result = user.put(value) if place is None else user.get(place)
    seconds = time.perf_counter() - start
    peak = resident_bytes("VmHWM") - before
    told = result if place is None else None
    return {"seconds": seconds, "memory": peak / size_bytes, "place": told}


def in_a_process(**arguments: Any) -> dict[str, Any]:
    """The same in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, "--measure", json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compared(names: Sequence[str], url: str, endpoint: str, size_bytes: int, repeat: int) -> list[Row]:
    """Each way in turns, so that a slow minute hits all; puts and gets.

    Args:
        names: of the rows: speed and memory of put, speed and memory of get.
        url: of the store.
        endpoint: of its server; empty for a disk.
        size_bytes: of the array.
        repeat: how many times each way is measured.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for turn in range(repeat):
        for way in sorted(WAYS, key=lambda way: (list(WAYS).index(way) + turn) % len(WAYS)):
            put = in_a_process(way=way, url=url, endpoint=endpoint, size_bytes=size_bytes, place=None)
            get = in_a_process(way=way, url=url, endpoint=endpoint, size_bytes=size_bytes, place=put["place"])
            found.setdefault((way, "put"), []).append(put)
            found.setdefault((way, "get"), []).append(get)
            wipe(url, endpoint)
    store = "on S3" if endpoint else "on a disk"
    return [
        *rows_of(names[:2], f"put {store}", {way: found[way, "put"] for way in WAYS}, size_bytes),
        *rows_of(names[2:], f"get {store}", {way: found[way, "get"] for way in WAYS}, size_bytes),
    ]


def wipe(url: str, endpoint: str) -> None:
    """Remove what was written."""
    filesystem, root = fsspec.core.url_to_fs(url, **storage_options(endpoint))
    for path in filesystem.find(root):
        filesystem.rm_file(path)


def rows_of(names: Sequence[str], what: str, found: dict[str, list[dict[str, Any]]], size_bytes: int) -> list[Row]:
    """Speed against the faster of the raw ways, and peak memory."""
    speed = {way: size_bytes / 1e9 / min(one["seconds"] for one in found[way]) for way in WAYS}
    raw = max((way for way in WAYS if way != "ours"), key=lambda way: speed[way])
    told = ", ".join(f"{way} {speed[way]:.2f}" for way in WAYS if way != "ours")
    ours, theirs = (max(one["memory"] for one in found[way]) for way in ("ours", raw))
    return [
        Row(
            name=names[0],
            what=f"{what}: against raw bytes",
            unit="GB/s",
            ours=speed["ours"],
            reference=speed[raw],
            ratio=speed["ours"] / speed[raw],
            bound=SPEED,
            note=told,
        ),
        Row(
            name=names[1],
            what=f"{what}: peak memory / array",
            unit="x",
            ours=ours,
            reference=theirs,
            ratio=ours,
            bound=MEMORY,
            note=f"reference: {raw}",
        ),
    ]


def r5(repeat: int | None = None, size_bytes: int = 1_000_000_000) -> list[Row]:
    """One array on a disk (five times if not said otherwise), and on a fast server of S3 (twice)."""
    with tempfile.TemporaryDirectory() as folder:
        rows = compared(("R5a", "R5b", "R5c", "R5d"), f"file://{folder}", "", size_bytes, repeat or 5)
    with rclone() as endpoint:
        rows += compared(("R5e", "R5f", "R5g", "R5h"), f"s3://{BUCKET}/store", endpoint, size_bytes, repeat or 2)
    return rows


@contextmanager
def moto() -> Iterator[str]:
    """An S3 server of Python, in a process of its own; it copies the whole object for each range of it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _server([sys.executable, "-m", "moto.server", "-p", "{port}"], folder) as url,
    ):
        yield url


@contextmanager
def rclone() -> Iterator[str]:
    """A fast S3 server; it would otherwise read a whole file for the ETag of each range of it.

    Its files are in memory where there is room: what is compared is what we do, not what a disk does meanwhile.
    """
    with tempfile.TemporaryDirectory(dir=_roomy_memory()) as folder:
        command = ["rclone", "serve", "s3", "--addr", "127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]
        with _server([_tool("rclone"), *command[1:], "--vfs-cache-mode", "off", "--etag-hash=", folder], folder) as url:
            yield url


def _roomy_memory() -> str | None:
    """A folder that lies in memory and has room for the largest array with all that is in use; None: there is none."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES else None


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise FileNotFoundError(f"{name} is not installed")
    return found


@contextmanager
def _server(command: Sequence[str], folder: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [part.format(port=port) for part in command]
    process = subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    try:
        _wait_for(port)
        url = f"http://127.0.0.1:{port}"
        fsspec.filesystem("s3", **storage_options(url)).mkdir(BUCKET)
        yield url
    finally:
        process.terminate()
        process.wait(SERVER_SECONDS)


def _wait_for(port: int) -> None:
    for _ in range(SERVER_SECONDS * 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the server did not start")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and give 0 if every bound is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stores", nargs="*", default=["local", "rclone", "moto"])
    parser.add_argument("--bytes", type=int, default=1_000_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        print(json.dumps(measured(**json.loads(chosen.measure))))
        return 0
    rows: list[Row] = []
    for store in chosen.stores:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            if store == "local":
                rows += compared([store] * 4, f"file://{folder}", "", chosen.bytes, chosen.repeat)
            else:
                with {"moto": moto, "rclone": rclone}[store]() as endpoint:
                    rows += compared([store] * 4, f"s3://{BUCKET}/store", endpoint, chosen.bytes, chosen.repeat)
    print(table(rows))
    return 0 if all(is_met(row.ratio, row.bound) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
