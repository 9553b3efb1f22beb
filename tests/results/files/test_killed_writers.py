"""A writer killed at any moment leaves nothing half-written under a final name."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from dataflow_results.digests import digest
from dataflow_results.files import open_files

WRITER = """
import itertools, os, sys
from dataflow_results.digests import digest
from dataflow_results.files import open_files
files = open_files(sys.argv[1])
print("ready", flush=True)
for number in itertools.count():
    data = os.urandom(16) * (1 + number % 7 * 30_000)
    files.write(f"packs/{number % 5}", [digest(b"t", data), data[:10], data[10:]])
    files.write_from(iter([digest(b"t", data), data]), lambda: f"objects/{number % 5}")
    files.create(f"leases/{number}", digest(b"t", data) + data)
"""
KILLS = 25


def test_killed_writers_leave_whole_files(tmp_path: Path) -> None:
    """After each of many kills every file that can be seen is whole; what was unfinished can be found and removed."""
    files = open_files(tmp_path)
    chance = random.Random(7)
    unfinished = 0
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline().strip() == b"ready"
            time.sleep(chance.uniform(0.0, 0.03))
            writer.send_signal(signal.SIGKILL)
        for entry in files.list():
            content = files.read(entry.name)
            assert digest(b"t", content[20:]) == content[:20], entry.name
        unfinished += len(files.leftovers())
        files.remove([entry.name for entry in (*files.leftovers(), *files.list("leases"))])
    assert unfinished > 0, "no kill came in the middle of a write: the test proves nothing"
    assert files.leftovers() == []
