"""The pack format, as pure functions between bytes and values: many small results in one file that is never changed.

::

    fixed part    40 bytes   magic, format version, flags, length of the meta, of the head, of the data
    seal          40 bytes   signature (or zeros) and checksum of the fixed part and the head
    head                     meta (msgpack), columns, table of blocks, keys
    data                     the rows' bytes in order, then the pre-images of the batches

The head comes first, so that one range read gives the look-up table of a usual pack. Rows are grouped into blocks of
about 64 KiB, each with its checksum in the head: one row is read, and verified, with one range request. A merged pack
keeps the rows' order, times and batches as columns, so that it says all that the packs it replaces said.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import msgpack
import numpy as np

from dataflow_results.digests import DIGEST_BYTES, Buffer, digest
from dataflow_results.errors import CorruptResult, ReadingError, UnknownFormat
from dataflow_results.packs.columns import COLUMNS, Array, pack_column, unpack_column
from dataflow_results.packs.parts import External, PackContent, PackHead, Section, Span
from dataflow_results.packs.signing import SEAL_BYTES, check_seal, is_signed, seal
from dataflow_results.records import Provenance

__all__ = [
    "BLOCK_BYTES",
    "DATA_START_BYTES",
    "FIRST_READ_BYTES",
    "FORMAT",
    "blocks_of",
    "check_blocks",
    "encode_pack",
    "head_length",
    "parse_head",
]

FORMAT = 1
MAGIC = b"\x89dfpack\n"
FIXED = struct.Struct("<8sHHIQQ8x")
DATA_START_BYTES = FIXED.size + SEAL_BYTES
"""Where the head begins."""
BLOCK_BYTES = 64 * 1024
FIRST_READ_BYTES = 256 * 1024
"""What the first read of a pack asks for: the whole of a usual pack, at least the head of most."""


def blocks_of(lengths: Array) -> Array:
    """First row of each block, then the number of rows (int64): a block ends with the row that fills it.

    Example:
        >>> blocks_of(np.array([40_000, 40_000, 10])).tolist()
        [0, 2, 3]
    """
    if not len(lengths):
        return np.zeros(1, np.int64)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    filled = starts // BLOCK_BYTES
    firsts = np.flatnonzero(filled[1:] != filled[:-1]) + 1
    return np.concatenate([[0], firsts, [len(lengths)]]).astype(np.int64)


def encode_pack(
    identity: str, collection: str, content: PackContent, *, signing_key: bytes | None = None
) -> tuple[list[Buffer], PackHead]:
    """The bytes of a pack in pieces, and its head as a reader will see it."""
    data = memoryview(content.data).cast("B")
    rows = len(content.keys) // DIGEST_BYTES
    block_rows = blocks_of(content.columns["length"])
    checksums = b"".join(_block_checksums(data, content.columns["length"], block_rows))
    sections, spans_bytes = _place_preimages(content, len(data))
    body, forms = _encode_columns(content.columns)
    body += [block_rows.astype("<i8").tobytes(), checksums, content.keys]
    meta = msgpack.packb(
        {
            "id": identity,
            "collection": collection,
            "rows": rows,
            "columns": forms,
            "blocks": len(block_rows) - 1,
            "sections": [_pack_section(section) for section in sections],
            "serializers": list(content.serializers),
            "externals": [[row, *_fields(external)] for row, external in content.externals.items()],
            "names": None if content.names is None else list(content.names),
            "replaces": list(content.replaces),
        }
    )
    head = b"".join([meta, *body])
    fixed = FIXED.pack(MAGIC, FORMAT, 0, len(meta), len(head), len(data) + spans_bytes)
    start = b"".join([fixed, seal([fixed, head], signing_key), head])
    parts: list[Buffer] = [start, data, *filter(len, content.preimages)]
    return parts, _parse_body(memoryview(start), where=collection)


def head_length(start: Buffer, *, where: str) -> int:
    """Bytes from the beginning of the file to the data, told by the first bytes of the file.

    Raises:
        CorruptResult: this is no pack.
        UnknownFormat: a newer version wrote it.
    """
    if len(start) < DATA_START_BYTES:
        raise CorruptResult(f"only {len(start)} bytes: this is no whole pack", where=where, fix=_AGAIN)
    magic, version, _, meta_bytes, head_bytes, _ = FIXED.unpack_from(start)
    if magic != MAGIC:
        raise CorruptResult("this is no pack", where=where, fix=_AGAIN)
    if version > FORMAT:
        raise UnknownFormat(
            f"the pack has format {version}; this version reads up to {FORMAT}",
            where=where,
            fix="upgrade dask-dataflow",
        )
    if meta_bytes > head_bytes:
        raise CorruptResult("the lengths in the pack do not fit each other", where=where, fix=_AGAIN)
    return DATA_START_BYTES + int(head_bytes)


def parse_head(
    start: Buffer, *, where: str, size_bytes: int | None = None, signing_key: bytes | None = None
) -> PackHead:
    """The head of a pack, verified.

    Args:
        start: the file from its beginning, at least up to `head_length`.
        where: the collection and id the pack was found under, as ``collection/id``; another one is refused.
        size_bytes: length of the file, if known.
        signing_key: refuse what is not signed with this key.

    Raises:
        CorruptResult: damaged, cut short, or found in a place it was not written to.
        UntrustedResult: not signed with the key.
        UnknownFormat: a newer version wrote it.
    """
    whole = memoryview(start).cast("B")
    end = head_length(whole, where=where)
    if len(whole) < end:
        raise CorruptResult("the head of the pack is cut short", where=where, fix=_AGAIN)
    fixed, sealed, head = whole[: FIXED.size], bytes(whole[FIXED.size : DATA_START_BYTES]), whole[DATA_START_BYTES:end]
    check_seal(sealed, [fixed, head], signing_key, where=where)
    found = _parse_body(whole[:end], where=where)
    if found.label != where:
        raise CorruptResult(f"the pack was written as {found.label}", where=where, fix=_AGAIN)
    if size_bytes is not None and size_bytes != found.size_bytes:
        raise CorruptResult(f"the file has {size_bytes} bytes of {found.size_bytes}", where=where, fix=_AGAIN)
    return found


def check_blocks(head: PackHead, blocks: range, data: Buffer) -> None:
    """Verify adjacent blocks against their checksums.

    Args:
        head: of the pack they belong to.
        blocks: their numbers.
        data: their bytes.

    Raises:
        CorruptResult: one of them differs.
    """
    rows = head.block_rows[blocks.start : blocks.stop + 1]
    lengths = head.column("length")[rows[0] : rows[-1]]
    wanted = head.block_checksums[blocks.start * DIGEST_BYTES : blocks.stop * DIGEST_BYTES]
    if len(data) != int(lengths.sum(dtype=np.int64)):
        raise CorruptResult("the data of the pack is cut short", where=head.label, fix=_AGAIN)
    if b"".join(_block_checksums(memoryview(data), lengths, rows - rows[0])) != wanted:
        raise CorruptResult("the data of the pack does not fit its checksum", where=head.label, fix=_AGAIN)


_AGAIN = "compute the results again; `dataflow results verify` looks through the store"


def _block_checksums(data: memoryview, lengths: Array, block_rows: Array) -> Iterable[bytes]:
    ends = _starts(lengths)[block_rows].tolist()
    return (digest(b"block", data[start:end]) for start, end in itertools.pairwise(ends))


def _starts(lengths: Array) -> Array:
    """Where each row begins, then where the last one ends (int64)."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _encode_columns(columns: Mapping[str, Array]) -> tuple[list[Buffer], dict[str, list[Any]]]:
    body: list[Buffer] = []
    forms: dict[str, list[Any]] = {}
    for name, dtype in COLUMNS.items():
        form, parts = pack_column(np.asarray(columns[name], dtype))
        body += parts
        forms[name] = [form, sum(map(len, parts))]
    return body, forms


def _place_preimages(content: PackContent, start: int) -> tuple[list[Section], int]:
    """The sections with the places of their pre-images behind the rows, and the bytes these take."""
    sections = []
    position = start
    for section, preimage in zip(content.sections, content.preimages, strict=True):
        size = len(preimage)
        span = Span(start=position, size_bytes=size, checksum=digest(b"preimage", preimage)) if size else None
        sections.append(replace(section, preimage=span))
        position += size
    return sections, position - start


def _parse_body(whole: memoryview, *, where: str) -> PackHead:
    """The head of a pack whose seal was checked (or that was just made)."""
    _, _, _, meta_bytes, head_bytes, data_bytes = FIXED.unpack_from(whole)
    data_start = DATA_START_BYTES + head_bytes
    try:
        meta = msgpack.unpackb(whole[DATA_START_BYTES : DATA_START_BYTES + meta_bytes], strict_map_key=False)
        body = whole[DATA_START_BYTES + meta_bytes : data_start]
        signed = is_signed(whole[FIXED.size : DATA_START_BYTES])
        return _assemble(meta, body, data_start=data_start, data_bytes=data_bytes, signed=signed)
    except ReadingError:
        raise
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        raise CorruptResult(f"the head of the pack is not as it should be: {error}", where=where, fix=_AGAIN) from error


def _assemble(meta: Mapping[str, Any], body: memoryview, *, data_start: int, data_bytes: int, signed: bool) -> PackHead:
    rows = meta["rows"]
    columns, position = {}, 0
    for name in COLUMNS:
        form, size = meta["columns"][name]
        columns[name] = (form, body[position : position + size])
        position += size
    blocks_end = position + 8 * (meta["blocks"] + 1)
    keys_start = blocks_end + DIGEST_BYTES * meta["blocks"]
    if len(body) - keys_start != rows * DIGEST_BYTES:
        raise ValueError("keys")
    block_rows = np.frombuffer(bytes(body[position:blocks_end]), "<i8")
    lengths = unpack_column(columns["length"][0], COLUMNS["length"], rows, columns["length"][1])
    return PackHead(
        id=meta["id"],
        signed=signed,
        collection=meta["collection"],
        rows=rows,
        columns=columns,
        keys=body[keys_start:],
        block_rows=block_rows,
        block_starts=_starts(lengths)[block_rows],
        block_checksums=bytes(body[blocks_end:keys_start]),
        sections=tuple(_unpack_section(packed) for packed in meta["sections"]),
        serializers=tuple(meta["serializers"]),
        externals={
            row: External(name=name, size_bytes=size, memory=memory) for row, name, size, memory in meta["externals"]
        },
        names=None if meta["names"] is None else tuple(meta["names"]),
        replaces=tuple(meta["replaces"]),
        data_start=data_start,
        data_bytes=data_bytes,
    )


PROVENANCE_FIELDS = {item.name for item in fields(Provenance)}
NOT_IN_SECTION = {"created_at", "expires_at", "preimage"}


def _pack_section(section: Section) -> list[Any]:
    said = {
        name: value
        for name, value in asdict(section.provenance).items()
        if name not in NOT_IN_SECTION and (value or name == "task")
    }
    return [said, None if section.preimage is None else _fields(section.preimage)]


def _unpack_section(packed: Sequence[Any]) -> Section:
    said, span = packed
    known = {name: value for name, value in said.items() if name in PROVENANCE_FIELDS}
    preimage = None if span is None else Span(start=span[0], size_bytes=span[1], checksum=span[2])
    return Section(provenance=Provenance(created_at=0.0, **known), preimage=preimage)


def _fields(value: External | Span) -> list[Any]:
    return [getattr(value, item.name) for item in fields(value)]
