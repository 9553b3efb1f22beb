"""Makes a PostgreSQL server of its own in a folder and runs it in the foreground; as root, as the user postgres.

Called by guard.py as `python postgresql.py FOLDER PORT PROGRAMS`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

USER = "postgres"
"""PostgreSQL does not run as root; Debian's package brings this user."""


def prefix() -> list[str]:
    """What makes a command run as somebody who may run PostgreSQL."""
    return ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []


def main(folder: Path, port: str, programs: Path) -> None:
    """Make the data folder, then become the server."""
    home = folder / "home"
    home.mkdir()
    if os.getuid() == 0:
        folder.chmod(0o711)
        shutil.chown(home, USER, USER)
    data = str(home / "data")
    make = [
        str(programs / "initdb"),
        "-D",
        data,
        "-A",
        "trust",
        "-U",
        "dataflow",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    subprocess.run([*prefix(), *make], check=True, cwd=home)
    # Nothing in it has to survive a crash of the machine.
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "200",
    }
    run = [str(programs / "postgres"), "-D", data, *(f"--{name}={value}" for name, value in options.items())]
    os.chdir(home)
    os.execvp(([*prefix(), *run])[0], [*prefix(), *run])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
