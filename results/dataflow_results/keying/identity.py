"""Who a task is: the part of a key that no policy leaves out, and the name of the folder its results lie in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataflow_results.digests import Digest, digest

if TYPE_CHECKING:
    from dataflow_results.canonical import Source

__all__ = ["TaskIdentity", "joined"]

SLUG_CHARACTERS = 60
UNSAFE = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskIdentity:
    """A task as keys know it.

    Example:
        >>> TaskIdentity(name="Load flights", module_qualname="steps.load").collection
        'Load-flights-7ec961a8'
    """

    name: str
    module_qualname: str
    """Module and qualified name of the function: ``steps.load``."""
    version: str | None = None
    """What the user says the version is; another version has other keys."""
    source: Source | None = None
    """Needed by policies that look at the source."""

    @property
    def key(self) -> str:
        """Module and qualified name; what key functions read as ``context.task.key``."""
        return self.module_qualname

    @property
    def task_key(self) -> str:
        """The same, as Prefect calls it."""
        return self.module_qualname

    @property
    def collection(self) -> str:
        """Name of the folder in a store; independent of version and source, so that older records are found."""
        slug = UNSAFE.sub("-", self.name).strip("-")[:SLUG_CHARACTERS] or "task"
        return f"{slug}-{digest(b'collection', joined(self.name, self.module_qualname)).hex()[:8]}"

    @property
    def digest(self) -> Digest:
        """The digest of name, place and version."""
        said = () if self.version is None else (self.version,)
        return digest(b"task", joined(self.name, self.module_qualname, *said))


def joined(*texts: str) -> bytes:
    """Texts one after the other, each with its length, so that no two lists of texts give the same bytes.

    Example:
        >>> joined("ab", "c") != joined("a", "bc")
        True
    """
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
