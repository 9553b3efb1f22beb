"""Reading through a store: every kind of damage is found, named, and set aside only when that is asked for."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataflow_results.care.inventory import Entries, ReadOnlyFiles
from dataflow_results.care.verify import verify
from dataflow_results.errors import ResultMissing, StoreUnreachable
from dataflow_results.files.protocol import Files
from dataflow_results.packs.compaction import MANY_PACKS
from dataflow_results.records import Provenance
from dataflow_results.store import ResultStore
from tests.results.care.stores import key_of, load, save
from tests.results.servers import Place, on

LOAD = "load-0a1b2c3d"


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """One of each: small values, a large one, a folder, a plain file."""
    store = ResultStore(tmp_path, inline_bytes=1_000)
    save(store, {"a": 1, "b": "text"}, at=1.0)
    save(store, {"c": b"x" * 5_000}, at=2.0)
    said = Provenance(task="load", created_at=3.0)
    store.task(LOAD).save(key_of("d"), [np.arange(9.0)], said, serializer="zarr")
    store.task(LOAD).save(key_of("e"), ["plain"], said, targets=["tables/e.txt"])
    return store


def flip(path: Path, position: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def places(store: ResultStore, *, set_aside: bool = False) -> list[str]:
    """Where something is wrong."""
    return [problem.where for problem in verify(store, set_aside=set_aside).problems]


def test_a_store_in_order_passes(store: ResultStore) -> None:
    """Everything is counted, nothing is wrong."""
    report = verify(store)
    assert report.ok
    assert (report.packs, report.results, report.objects, report.folders, report.files) == (4, 5, 1, 1, 1)
    assert report.size_bytes > 5_000


@on("memory", "moto")
def test_other_places_can_be_verified(place: Place) -> None:
    """The same on stores that are no folders."""
    store = ResultStore(place.url, storage_options=place.storage_options, inline_bytes=1_000)
    save(store, {"a": 1, "b": b"x" * 5_000}, at=1.0)
    assert (verify(store).results, verify(store).ok) == (2, True)


def test_every_byte_of_a_pack_counts(store: ResultStore, tmp_path: Path) -> None:
    """Whichever bit of a pack is changed, the pack is named."""
    pack = min(tmp_path.glob("tasks/*/packs/*"))
    label = f"{LOAD}/{pack.stem}"
    whole = pack.read_bytes()
    for position in random.Random(7).sample(range(len(whole)), 60):
        flip(pack, position)
        assert places(store) == [label], position
        pack.write_bytes(whole)
    assert places(store) == []


@pytest.mark.parametrize(
    ("pattern", "position"),
    [
        ("objects/*/*", 4_999),
        ("trees/*/0", 3),
        ("trees/*/.zarray", 10),
        ("trees/*/manifest.json", 1),
        ("tables/e.txt", 0),
    ],
)
def test_damage_outside_of_packs_is_found(store: ResultStore, tmp_path: Path, pattern: str, position: int) -> None:
    """An object, a chunk, its description and a plain file are read to the last byte."""
    (path,) = tmp_path.glob(pattern)
    flip(path, position)
    (where,) = places(store)
    assert str(path.relative_to(tmp_path)).startswith(where)
    assert path.exists()


def test_what_is_missing_is_found(store: ResultStore, tmp_path: Path) -> None:
    """An object or a file that a result needs and that is gone is a problem, with the pack that needs it."""
    (path,) = tmp_path.glob("objects/*/*")
    path.unlink()
    (tmp_path / "tables" / "e.txt").unlink()
    problems = verify(store).problems
    assert [type(problem.error) for problem in problems] == [ResultMissing, ResultMissing]
    assert all(f"needed by tasks/{LOAD}/packs/" in problem.error.where for problem in problems)


def test_an_object_that_nobody_needs_is_read_too(store: ResultStore, tmp_path: Path) -> None:
    """A damaged object would be taken for the right one by the next writer, so it counts."""
    for pack in tmp_path.glob("tasks/*/packs/*"):
        pack.unlink()
    (path,) = tmp_path.glob("objects/*/*")
    flip(path, 0)
    assert places(store) == [str(path.relative_to(tmp_path))]


def test_setting_aside_makes_room_for_the_right_ones(store: ResultStore, tmp_path: Path) -> None:
    """Damaged packs move away and damaged objects go: what they held is missing, and can be stored again."""
    pack = min(tmp_path.glob("tasks/*/packs/*"))
    flip(pack, pack.stat().st_size - 1)
    (path,) = tmp_path.glob("objects/*/*")
    flip(path, 0)
    report = verify(store, set_aside=True)
    assert [problem.set_aside for problem in report.problems] == [True, True]
    assert (tmp_path / "set-aside" / LOAD / pack.name).exists()
    assert not path.exists()
    fresh = ResultStore(tmp_path, inline_bytes=1_000)
    assert [type(value) for value in load(fresh, ["a", "c"])] == [ResultMissing, ResultMissing]
    save(fresh, {"a": 1, "c": b"x" * 5_000}, at=9.0)
    assert load(fresh, ["a", "c"]) == [1, b"x" * 5_000]


def test_verifying_writes_nothing(store: ResultStore, tmp_path: Path) -> None:
    """Also where something is damaged, every file stays as it was."""
    pack = min(tmp_path.glob("tasks/*/packs/*"))
    flip(pack, 100)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert places(ResultStore(ReadOnlyFiles(store.files))) == places(store) == [f"{LOAD}/{pack.stem}"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_unsigned_packs_are_problems_with_a_key(store: ResultStore, tmp_path: Path) -> None:
    """With a signing key, packs of others are told, and stay where they are even if damage is set aside."""
    signing = ResultStore(tmp_path, signing_key="secret")
    assert len(places(signing, set_aside=True)) == 4
    assert verify(store).ok


def test_leftovers_are_no_problem(store: ResultStore, tmp_path: Path) -> None:
    """Unfinished writes and sources of a merged pack are not results."""
    (tmp_path / "tasks" / LOAD / "packs" / ".partial-0-1-abc").write_bytes(b"half")
    source = min(tmp_path.glob("tasks/*/packs/*.pack"))
    content = source.read_bytes()
    for number in range(MANY_PACKS):
        save(store, {f"{number}": number}, at=1.0)
    assert not source.exists(), "merged"
    source.write_bytes(content)
    assert places(store) == []


def test_a_silent_store_is_an_error() -> None:
    """A store that does not answer is not a store in order."""

    class Silent(ReadOnlyFiles):
        def list(self, folder: str = "") -> Entries:
            raise StoreUnreachable("no answer", where=self.url)

    files: Files = ResultStore("memory://verify-silent").files
    with pytest.raises(StoreUnreachable):
        verify(ResultStore(Silent(files)))


WRITER = """
import sys, itertools
from dataflow_results.store import ResultStore
from tests.results.care.stores import save
store = ResultStore(sys.argv[1], inline_bytes=1_000)
print("ready", flush=True)
for number in itertools.count():
    save(store, {f"{number} {row}": f"{number} {row}".encode() * (400 if row == 0 else 1) for row in range(20)}, at=1.0)
"""
KILLS = 12


def test_a_killed_writer_leaves_a_store_in_order(tmp_path: Path) -> None:
    """Writers that are killed at random moments, merging included, leave nothing wrong or partial behind."""
    root = Path(__file__).parents[3]
    paths = os.pathsep.join(map(str, (root, root / "results")))
    moments = random.Random(11)
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            cwd=root,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        try:
            writer.wait(timeout=moments.uniform(0.0, 0.4))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        report = verify(ResultStore(tmp_path))
        assert report.problems == ()
    assert report.results > 0
    store = ResultStore(tmp_path)
    names = [f"{number} {row}" for number in range(2_000) for row in range(20)]
    for name, value in zip(names, load(store, names), strict=True):
        assert isinstance(value, ResultMissing) or value == name.encode() * (400 if name.endswith(" 0") else 1)
    shutil.rmtree(tmp_path)
