"""The bytes of the canonical form: every encoding is a tag and a short payload, or stands as its digest.

The grammar, complete::

    encoding = tag length payload        length is one byte, payload has at most 64
             | "i" 8 bytes               an int that fits, big-endian two's complement
             | "d" 8 bytes               a float, IEEE 754
             | "n" | "t" | "f"           None, True, False
             | "^" 4 bytes               the value so many levels above: a cycle
             | "#" digest                of tag and payload, where the payload would be longer

An encoding therefore ends where it says, none is the beginning of another, and none is longer than 66 bytes. What
`encode` gives begins with `CANONICAL_VERSION`, and so does all that is hashed: a changed form is a clean miss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataflow_results.digests import DIGEST_BYTES, Buffer, Hasher, hasher

__all__ = [
    "CANONICAL_VERSION",
    "INLINE_BYTES",
    "PREFIX",
    "CanonicalWarning",
    "Parts",
    "finished",
    "hidden",
    "node",
    "running_hash",
    "text",
]

CANONICAL_VERSION = 1
"""Goes up when the form of any value changes: then nothing stored before is found by value any more."""
PREFIX = bytes([CANONICAL_VERSION])
"""What each encoding given out begins with."""
INLINE_BYTES = 64
"""A payload longer than this stands as its digest."""
HASH_TAG = b"canonical form %d" % CANONICAL_VERSION
LENGTHS = [bytes([size]) for size in range(INLINE_BYTES + 1)]


class CanonicalWarning(UserWarning):
    """A key was made, but a change of some value may not be seen, or may be seen where there is none."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A value taken apart: what kind it is, and the simpler values it consists of.

    Attributes:
        label: names the kind of the value; of a user's class the name of the class.
        fields: the simpler values; each key is the piece of path that leads there, as in ``.name`` or ``['name']``.
    """

    label: str
    fields: Mapping[str, Any]


def node(tag: bytes, payload: bytes) -> bytes:
    """A payload under a one-byte tag; longer ones stand as their digest."""
    size = len(payload)
    if size <= INLINE_BYTES:
        return tag + LENGTHS[size] + payload
    return finished(running_hash(tag, payload))


def hidden(tag: bytes, payload: bytes) -> bytes:
    """A payload that always stands as its digest: a secret, which nobody may read in a stored key."""
    return finished(running_hash(tag, payload))


def running_hash(tag: bytes, *parts: Buffer) -> Hasher:
    """The hash of a payload that is too long to be held, begun with its first parts."""
    running = hasher(HASH_TAG)
    running.update(tag)
    for part in parts:
        running.update(part)
    return running


def finished(running: Hasher) -> bytes:
    """The encoding of what a running hash has seen."""
    return b"#" + running.digest(DIGEST_BYTES)


def text(value: str) -> bytes:
    """The encoding of a string; lone surrogates, which file names can hold, are allowed."""
    return node(b"s", value.encode("utf-8", "surrogatepass"))
