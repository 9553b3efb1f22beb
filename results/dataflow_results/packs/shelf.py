"""The packs of one collection as files: written, listed, read in few requests, verified, set aside when damaged.

A damaged pack is read a second time before it is believed, then copied to ``set-aside/`` and removed, so that nobody
meets it again. A pack that is unsigned, or of a newer version, may be in order for somebody else: it stays where it is.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataflow_results.digests import Buffer, digest
from dataflow_results.errors import CorruptResult, ReadingError, ResultMissing, ResultsError, StoreError
from dataflow_results.files.protocol import Files
from dataflow_results.packs.encoding import FIRST_READ_BYTES, check_blocks, encode_pack, head_length, parse_head
from dataflow_results.packs.parts import PackContent, PackHead, Span, is_pack_id
from dataflow_results.problems import Problem, Problems

__all__ = ["CACHE_BYTES", "PackCache", "Shelf", "check_pack"]

CACHE_BYTES = 64 * 1024 * 1024
"""Small packs that came whole with the first read stay in memory up to this sum, over all collections of a store."""
SUFFIX = ".pack"


class PackCache:
    """Whole small packs in memory; what was used least recently goes first."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._lock = threading.Lock()
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._packs: OrderedDict[str, bytes] = OrderedDict()

    def get(self, label: str) -> bytes | None:
        """The whole pack, if it is held."""
        with self._lock:
            found = self._packs.get(label)
            if found is not None:
                self._packs.move_to_end(label)
            return found

    def put(self, label: str, data: bytes) -> None:
        """Hold a pack."""
        self.drop(label)
        with self._lock:
            self._packs[label] = data
            self._held_bytes += len(data)
            while self._held_bytes > self._limit_bytes:
                self._held_bytes -= len(self._packs.popitem(last=False)[1])

    def drop(self, label: str) -> None:
        """Forget a pack."""
        with self._lock:
            self._held_bytes -= len(self._packs.pop(label, b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Reads and writes the packs of one collection."""

    files: Files
    collection: str
    signing_key: bytes | None
    cache: PackCache
    problems: Problems
    refused: set[str] = field(default_factory=set)
    """Ids of packs that cannot be used and are still there; they are not looked at again."""

    @property
    def folder(self) -> str:
        """Where the packs lie."""
        return f"tasks/{self.collection}/packs"

    def label(self, identity: str) -> str:
        """Name of a pack for messages; it also stands in the pack."""
        return f"{self.collection}/{identity}"

    def name(self, identity: str) -> str:
        """File of a pack."""
        return f"{self.folder}/{identity}{SUFFIX}"

    def listed(self) -> dict[str, int]:
        """All packs that are there and not refused: id → size in bytes. One listing."""
        found = {
            entry.name.rpartition("/")[2].removesuffix(SUFFIX): entry.size_bytes
            for entry in self.files.list(self.folder)
            if entry.name.endswith(SUFFIX)
        }
        return {name: size for name, size in found.items() if is_pack_id(name) and name not in self.refused}

    def write(self, identity: str, content: PackContent) -> PackHead:
        """Write a pack with one request."""
        parts, head = encode_pack(identity, self.collection, content, signing_key=self.signing_key)
        self.files.write(self.name(identity), parts)
        return head

    def remove(self, identities: Iterable[str]) -> None:
        """Remove packs; absent ones are no error."""
        names = sorted(identities)
        for name in names:
            self.cache.drop(self.label(name))
        self.files.remove([self.name(name) for name in names])

    def read_heads(self, sizes: Mapping[str, int]) -> tuple[list[PackHead], bool]:
        """The heads of packs, with one range read for most of them.

        Args:
            sizes: id → size in bytes, as listed.

        Returns:
            The heads of those that can be used, and whether all the others are still there.

        Raises:
            StoreError: the store does not answer.
        """
        starts = self._read_starts(sizes)
        heads = [head for identity, start in starts.items() if (head := self._head(identity, start, sizes[identity]))]
        return heads, len(starts) == len(sizes)

    def still_there(self, identities: Iterable[str]) -> set[str]:
        """Those packs of some that can still be read."""
        return set(self._read(dict.fromkeys(identities, (0, 1))))

    def _read_starts(self, sizes: Mapping[str, int]) -> dict[str, bytes]:
        """The beginning of each pack that is still there, as long as its head."""
        starts = self._read(dict.fromkeys(sizes, (0, FIRST_READ_BYTES)))
        rest: dict[str, tuple[int, int]] = {}
        for identity, start in starts.items():
            try:
                end = min(head_length(start, where=self.label(identity)), sizes[identity])
            except ReadingError:
                continue  # said when the head is parsed
            if end > len(start):
                rest[identity] = (len(start), end)
        if rest:
            more = self._read(rest)
            starts = {
                identity: start + more.get(identity, b"")
                for identity, start in starts.items()
                if identity not in rest or identity in more
            }
        return starts

    def _read(self, ranges: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
        """Ranges of packs; those that are gone are left out."""
        if not ranges:
            return {}
        read = self.files.read_many([(self.name(identity), *place) for identity, place in ranges.items()])
        found = {}
        for identity, part in zip(ranges, read, strict=True):
            if isinstance(part, bytes):
                found[identity] = part
            elif not isinstance(part, ResultMissing):
                raise part
        return found

    def _head(self, identity: str, start: bytes, size_bytes: int) -> PackHead | None:
        """The head, or None after the pack was reported."""
        label = self.label(identity)
        try:
            head = parse_head(start, where=label, size_bytes=size_bytes, signing_key=self.signing_key)
        except CorruptResult as error:
            return self.doubt(identity, error)
        except ReadingError as error:
            self.refuse(identity, error)
            return None
        if len(start) >= size_bytes:
            self.cache.put(label, start)
        return head

    def refuse(self, identity: str, error: ResultsError, *, set_aside: bool = False) -> None:
        """Report a pack that cannot be used."""
        self.refused.add(identity)
        self.problems.report(Problem(where=self.label(identity), error=error, set_aside=set_aside), stacklevel=3)

    def doubt(self, identity: str, error: CorruptResult) -> PackHead | None:
        """Read a pack that looked damaged again, whole: its head if it is in order, else None and it is set aside."""
        self.cache.drop(self.label(identity))
        try:
            data = self.files.read(self.name(identity))
        except ResultMissing:
            return None
        try:
            return check_pack(data, where=self.label(identity), signing_key=self.signing_key)
        except CorruptResult as again:
            self.refuse(identity, again, set_aside=self._move_aside(identity, data))
        except ReadingError:
            self.refuse(identity, error)
        return None

    def _move_aside(self, identity: str, data: bytes) -> bool:
        try:
            self.files.write(f"set-aside/{self.label(identity)}{SUFFIX}", [data])
            self.files.remove([self.name(identity)])
        except StoreError:  # read-only: it stays, and is refused in this process
            return False
        return True

    def read_blocks(self, head: PackHead, stretches: Sequence[range]) -> list[bytes | ResultsError]:
        """The bytes of stretches of adjacent blocks, verified; one request each, none if the pack is in memory.

        An error stands in the place of a stretch that is damaged or gone.
        """
        places = [(_start(head, blocks.start), _start(head, blocks.stop)) for blocks in stretches]
        whole = self.cache.get(head.label)
        read: list[bytes | ResultsError]
        if whole is not None:
            read = [whole[start:stop] for start, stop in places]
        else:
            read = self.files.read_many([(self.name(head.id), start, stop) for start, stop in places])
        return [self._checked(head, blocks, data) for blocks, data in zip(stretches, read, strict=True)]

    def _checked(self, head: PackHead, blocks: range, data: bytes | ResultsError) -> bytes | ResultsError:
        if not isinstance(data, bytes):
            return data
        try:
            check_blocks(head, blocks, data)
        except CorruptResult as error:
            return error
        return data

    def read_preimage(self, head: PackHead, span: Span) -> bytes:
        """The pre-image of a batch, verified; empty if it is damaged."""
        start = head.data_start + span.start
        whole = self.cache.get(head.label)
        end = start + span.size_bytes
        data = self.files.read(self.name(head.id), start, end) if whole is None else whole[start:end]
        return data if digest(b"preimage", data) == span.checksum else b""

    def read_whole(self, identities: Sequence[str]) -> dict[str, tuple[PackHead, bytes]]:
        """Whole packs, all of them verified; damaged ones are set aside and left out.

        Raises:
            ResultMissing: one of them is gone.
        """
        found = {}
        for identity, data in zip(
            identities, self.files.read_many([(self.name(name), 0, None) for name in identities]), strict=True
        ):
            if not isinstance(data, bytes):
                raise data
            try:
                found[identity] = (self._whole(identity, data), data)
            except CorruptResult as error:
                self.doubt(identity, error)
            except ReadingError as error:
                self.refuse(identity, error)
        return found

    def _whole(self, identity: str, data: bytes) -> PackHead:
        return check_pack(data, where=self.label(identity), signing_key=self.signing_key)


def check_pack(data: Buffer, *, where: str, signing_key: bytes | None = None) -> PackHead:
    """Verify a whole pack: head, seal, every block, every pre-image.

    Args:
        data: the whole file.
        where: collection and id it was found under, as ``collection/id``.
        signing_key: refuse what is not signed with this key.

    Raises:
        ReadingError: what is wrong with it.
    """
    whole = memoryview(data)
    head = parse_head(whole, where=where, size_bytes=len(whole), signing_key=signing_key)
    check_blocks(head, range(len(head.block_rows) - 1), whole[head.data_start : _start(head, len(head.block_rows) - 1)])
    for section in head.sections:
        if (span := section.preimage) is not None:
            start = head.data_start + span.start
            if digest(b"preimage", whole[start : start + span.size_bytes]) != span.checksum:
                raise CorruptResult(
                    "a pre-image does not fit its checksum", where=where, fix="compute the results again"
                )
    return head


def _start(head: PackHead, block: int) -> int:
    """Where a block begins in the file."""
    return head.data_start + int(head.block_starts[block])
