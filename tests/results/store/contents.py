"""Packs made by hand, for tests of the format, the index and merging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dataflow_results.digests import digest
from dataflow_results.packs.encoding import encode_pack
from dataflow_results.packs.parts import Kind, PackContent, PackHead, Section, pack_id
from dataflow_results.records import Provenance

COLLECTION = "t"


def key(name: Any) -> bytes:
    """A key by a readable name."""
    return digest(b"test", repr(name).encode())


def content(rows: Mapping[Any, bytes | None], order: int, **changes: Any) -> PackContent:
    """A pack of one batch: name of the key → bytes of the row, None for a tombstone."""
    datas = [data or b"" for data in rows.values()]
    count = len(datas)
    fields: dict[str, Any] = {
        "keys": b"".join(map(key, rows)),
        "columns": {
            "length": np.array(list(map(len, datas))),
            "kind": np.array([Kind.TOMBSTONE if data is None else Kind.INLINE for data in rows.values()]),
            "serializer": np.zeros(count),
            "section": np.zeros(count),
            "order": np.full(count, order, np.uint64),
            "created_at": np.full(count, 1.5),
            "expires_at": np.full(count, np.inf),
            "index": np.arange(count),
            "origin": np.arange(count),
        },
        "data": b"".join(datas),
        "sections": [Section(provenance=Provenance(task="load", created_at=0.0, node="load-2", run_id="r"))],
        "preimages": [b"made of"],
        "serializers": ["pickle"],
    }
    return PackContent(**{**fields, **changes})


def pack(rows: Mapping[Any, bytes | None], order: int, **changes: Any) -> tuple[bytes, PackHead]:
    """The bytes of a pack, and its head."""
    parts, head = encode_pack(pack_id(order, b"unique"), COLLECTION, content(rows, order, **changes))
    return b"".join(parts), head


def label(order: int) -> str:
    """Where a pack of this order lies."""
    return f"{COLLECTION}/{pack_id(order, b'unique')}"
