"""Runs one server for as long as the process that asked for it lives, and leaves nothing behind: no process, no file.

Called as `python guard.py FOLDER COMMAND ...` with a pipe as standard input. The pipe closes when the asking process
ends, however it ends (a test run that is killed can tidy up nothing itself); then every process of the server is killed
and the folder removed. Processes of the server have to stay in the group they are started in: daemons run in the
foreground.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

LOOK_SECONDS = 1.0
"""How often to see whether the parent is gone though the pipe is open: a forked child of it may hold the other end."""


def wait_for_the_end(server: subprocess.Popen[bytes], parent: int) -> None:
    """Return when the pipe closes, when the parent is gone, or when the server ended by itself."""
    while server.poll() is None and os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], LOOK_SECONDS)
        if readable and not os.read(0, 1):
            return


def kill_group(server: subprocess.Popen[bytes]) -> None:
    """Kill every process of the server, also those that outlived the one that started them."""
    with contextlib.suppress(ProcessLookupError):  # none is left
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def main(folder: Path, command: list[str]) -> int:
    """Run the command inside the folder; what it says goes to `server.log` there."""
    parent = os.getppid()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,  # a group of its own, so that all of it can be killed at once
        )
    try:
        wait_for_the_end(server, parent)
        ended_by_itself = server.poll() is not None
    finally:
        kill_group(server)
    if not ended_by_itself or os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)
    return int(ended_by_itself)  # then the folder stays for the parent, who reads the log in it


if __name__ == "__main__":
    # Ctrl-C and polite ends are the parent's business, which closes the pipe. SIG_IGN would be inherited by the server.
    for polite in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, lambda *_: None)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
