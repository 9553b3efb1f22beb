"""Starts a Ceph cluster with an S3 gateway in one folder: a monitor, one disk in memory, one user, the gateway.

Called as `python radosgw.py FOLDER MONITOR_PORT GATEWAY_PORT ACCESS_KEY SECRET_KEY`. The gateway's port opens when all
is ready. The daemons stay in the foreground of this process's group and write only to the folder; root is not needed.

About a second instead of the usual quarter of a minute: the monitor settles its decisions every 50 ms instead of every
second, there is no manager (it balances disks and counts, of which one disk needs neither), and placing the disk in
the map is left to the disk.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

CONFIGURATION = """
[global]
fsid = {cluster}
mon host = {monitor}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
paxos propose interval = 0.05
run dir = {folder}
crash dir = {folder}
admin socket = {folder}/$name.sock
pid file = {folder}/$name.pid
log file = {folder}/$name.log
ms bind ipv6 = false
[mon]
mon data = {folder}/mon
mon data avail crit = 1
mon data avail warn = 1
[osd]
osd objectstore = memstore
memstore device bytes = 4294967296
osd data = {folder}/osd
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{gateway_port}
# The gateway would ask the monitor for an encrypted connection, which never comes about where there are no keys.
ms mon client mode = crc
"""

PATIENCE_SECONDS = 60.0
"""How long one step may take; all of them take about a second."""


def call(*command: str) -> str:
    """What a command prints; raises CalledProcessError or TimeoutExpired."""
    done = subprocess.run(
        command, check=True, timeout=PATIENCE_SECONDS, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def start(*command: str) -> subprocess.Popen[bytes]:
    """A daemon that stays in the foreground, so that it dies with this process's group."""
    return subprocess.Popen([*command, "-f"], stdin=subprocess.DEVNULL)


def wait_for_port(port: int, daemon: subprocess.Popen[bytes]) -> None:
    """Return when the daemon listens; raises ChildProcessError if it ended before, TimeoutError if it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    if daemon.poll() is not None:
        raise ChildProcessError(f"ended with code {daemon.returncode}: {daemon.args!r}")
    raise TimeoutError(f"nothing listens on port {port}: {daemon.args!r}")


def start_cluster(folder: Path, ports: tuple[int, int], keys: tuple[str, str]) -> None:
    """Bring the daemons up one after the other, each as soon as the one it needs answers."""
    (monitor_port, gateway_port), (access_key, secret_key) = ports, keys
    cluster, disk, monitor = str(uuid.uuid4()), str(uuid.uuid4()), f"[v2:127.0.0.1:{monitor_port}]"
    conf, map_file = folder / "ceph.conf", str(folder / "monmap")
    conf.write_text(
        CONFIGURATION.format(folder=folder, cluster=cluster, monitor=monitor, gateway_port=gateway_port),
        encoding="utf-8",
    )
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    use = ("--conf", str(conf))

    call("monmaptool", "--create", "--addv", "a", monitor, "--fsid", cluster, map_file)
    call("ceph-mon", *use, "-i", "a", "--mkfs", "--monmap", map_file)
    wait_for_port(monitor_port, start("ceph-mon", *use, "-i", "a"))
    number = call("ceph", *use, "osd", "new", disk)
    call("ceph-osd", *use, "-i", number, "--mkfs", "--osd-uuid", disk)
    start("ceph-osd", *use, "-i", number)
    user = ("--uid", "tests", "--display-name", "tests", "--access-key", access_key, "--secret-key", secret_key)
    call("radosgw-admin", *use, "-n", "client.rgw", "user", "create", *user)
    start("radosgw", *use, "-n", "client.rgw")


if __name__ == "__main__":
    start_cluster(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])), (sys.argv[4], sys.argv[5]))
    daemon_number, code = os.wait()  # they run until killed: the first that ends has failed
    sys.exit(f"process {daemon_number} ended with status {code}")
