"""Getting at a filesystem of fsspec: made anew in each process, asked patiently, its errors told in our words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from dataflow_results.files.address import Address
from dataflow_results.files.habits import Habits, habits_of
from dataflow_results.files.protocol import check_name
from dataflow_results.files.trouble import Patience, Trouble, diagnose, error_for

__all__ = ["Access", "Connect"]

T = TypeVar("T")

Connect: TypeAlias = Callable[[Address], tuple[Any, str]]
"""Makes the fsspec filesystem of an address, and the path of the store within it."""


@dataclass(slots=True, kw_only=True)
class _Connection:
    """What one process has of a store."""

    filesystem: Any
    root: str
    process: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    folders: set[str] = field(default_factory=set)
    """Folders that were made, on filesystems that need them."""
    conditional: bool | None = None
    """Whether creates are exclusive; None: not asked yet."""


class Access:
    """The way to one store.

    Args:
        address: where it lies.
        connect: called once in each process, when the store is first needed; also after a fork, because the loops
            and connections of these libraries do not survive one.
        patience: how long what may succeed later is tried again.
    """

    __slots__ = ("_connection", "_secrets", "address", "connect", "habits", "patience")

    def __init__(self, address: Address, connect: Connect, patience: Patience) -> None:
        self.address = address
        self.connect = connect
        self.patience = patience
        self.habits: Habits = habits_of(address.protocol)
        self._secrets = address.secrets
        self._connection: _Connection | None = None

    @property
    def here(self) -> _Connection:
        """The connection of this process."""
        connection = self._connection
        if connection is None or connection.process != os.getpid():
            filesystem, root = self._connected()
            connection = self._connection = _Connection(filesystem=filesystem, root=root.rstrip("/"))
        return connection

    def _connected(self) -> tuple[Any, str]:
        outcome = self.attempt(lambda: self.connect(self.address))
        if isinstance(outcome, Trouble):
            raise error_for(outcome, self.address.shown)
        return outcome

    @property
    def filesystem(self) -> Any:
        """The filesystem of this process."""
        return self.here.filesystem

    def path(self, name: str) -> str:
        """What the filesystem calls a file of the store."""
        return f"{self.here.root}/{check_name(name)}"

    def where(self, name: str) -> str:
        """What people call it."""
        return f"{self.address.shown}/{name}" if name else self.address.shown

    def judge(self, error: BaseException) -> Trouble:
        """What an error of the filesystem means."""
        return diagnose(error, self._secrets)

    def attempt(self, action: Callable[[], T]) -> T | Trouble:
        """The value of an action, or its trouble when patience has ended."""
        return self.patience.attempt(action, self.judge)

    def call(self, name: str, action: Callable[[], T], *, writing: bool = False) -> T:
        """The value of an action; its trouble is raised as an error of ours."""
        outcome = self.attempt(action)
        if isinstance(outcome, Trouble):
            raise error_for(outcome, self.where(name), writing=writing)
        return outcome

    def make_folder(self, name: str) -> None:
        """Make the folder of a file, on filesystems that need it."""
        here, folder = self.here, self.path(name).rpartition("/")[0]
        if folder not in here.folders:
            self.call(name, lambda: here.filesystem.makedirs(folder, exist_ok=True), writing=True)
            here.folders.add(folder)
