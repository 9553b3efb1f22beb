"""pyarrow: arrays and tables by content; how they are chunked, sliced, offset or padded does not matter.

A column is a tree of streams: the positions of its nulls, the lengths of its lists or strings, its values. Each stream
is hashed on its own while the chunks go by, so chunks need no joining and nothing is held in memory. pyarrow is not
imported here: its values are only ever met when it is loaded already.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dataflow_results.canonical.encoder import Handler, Walk
from dataflow_results.canonical.forms import Parts, finished, node, running_hash, text
from dataflow_results.canonical.refusals import Refusal
from dataflow_results.digests import Hasher

__all__ = ["encode_column", "find_arrow_handler"]


class Streams:
    """The running hashes of one column, by the path of the stream in it."""

    def __init__(self) -> None:
        self.hashes: dict[str, Hasher] = defaultdict(lambda: running_hash(b"W"))
        self.rows: dict[str, int] = defaultdict(int)

    def feed(self, path: str, content: Any) -> None:
        """More bytes of one stream."""
        view = memoryview(content)
        if view.nbytes:
            self.hashes[path].update(view.cast("B"))

    def take(self, array: Any, path: str) -> None:
        """All streams of one chunk."""
        array = _without_views(array)
        start = self.rows[path]
        self.rows[path] += len(array)
        if array.null_count:
            missing = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
            self.feed(f"{path}/nulls", (missing + start).astype("<i8"))
            array = array.drop_null()  # what memory holds under a null is garbage
        _content(self, array, path)


def encode_column(chunks: Iterable[Any], kind: Any) -> bytes:
    """The content of a column that comes in chunks of one type."""
    streams = Streams()
    try:
        for chunk in chunks:
            streams.take(chunk, "")
    except NotImplementedError as error:
        problem = f"pyarrow cannot take arrays of type {kind} apart"
        raise Refusal(problem, instead="cast it to a simpler type") from error
    counts = (
        text(path) + node(b"s", str(rows).encode()) for path, rows in sorted(streams.rows.items()) if rows or not path
    )
    hashes = (text(path) + finished(running) for path, running in sorted(streams.hashes.items()))
    return node(b"W", text(_type_name(kind)) + b"".join(counts) + b"".join(hashes))


def _without_views(array: Any) -> Any:
    pa = sys.modules["pyarrow"]
    plain = {"string_view": pa.large_string, "binary_view": pa.large_binary}.get(str(array.type))
    return array if plain is None else array.cast(plain())


def _type_name(kind: Any) -> str:
    types = sys.modules["pyarrow"].types
    if types.is_dictionary(kind):
        return f"dictionary<{kind.value_type}, ordered={kind.ordered}>"
    return str(kind)


def _fixed_width(streams: Streams, array: Any, path: str) -> None:
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    if buffer is not None and len(array):
        streams.feed(f"{path}/values", memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width])


def _booleans(streams: Streams, array: Any, path: str) -> None:
    streams.feed(f"{path}/values", array.to_numpy(zero_copy_only=False).view(np.uint8))


def _bytes(streams: Streams, array: Any, path: str) -> None:
    buffers = array.buffers()
    wide = str(array.type).startswith("large_")
    if not len(array):
        return
    offsets = np.frombuffer(buffers[1], "<i8" if wide else "<i4")[array.offset : array.offset + len(array) + 1]
    streams.feed(f"{path}/lengths", np.diff(offsets).astype("<i8"))
    if buffers[2] is not None:
        streams.feed(f"{path}/values", memoryview(buffers[2])[int(offsets[0]) : int(offsets[-1])])


def _lists(streams: Streams, array: Any, path: str) -> None:
    streams.feed(f"{path}/lengths", array.value_lengths().to_numpy(zero_copy_only=False).astype("<i8"))
    streams.take(array.flatten(), f"{path}/items")


def _maps(streams: Streams, array: Any, path: str) -> None:
    pa = sys.modules["pyarrow"]
    kind = array.type
    pairs = pa.struct([pa.field("key", kind.key_type, nullable=False), pa.field("value", kind.item_type)])
    _lists(streams, array.cast(pa.list_(pa.field("entries", pairs, nullable=False))), path)


def _structs(streams: Streams, array: Any, path: str) -> None:
    for position, field in enumerate(array.flatten()):
        streams.take(field, f"{path}/{position}")


def _decoded(streams: Streams, array: Any, path: str) -> None:
    streams.take(array.dictionary_decode(), f"{path}/decoded")


def _run_ends(streams: Streams, array: Any, path: str) -> None:
    streams.take(sys.modules["pyarrow.compute"].run_end_decode(array), f"{path}/decoded")


def _nothing(_streams: Streams, _array: Any, _path: str) -> None:
    return


CONTENT: tuple[tuple[str, Callable[[Streams, Any, str], None]], ...] = (
    ("is_null", _nothing),
    ("is_boolean", _booleans),
    ("is_dictionary", _decoded),
    ("is_run_end_encoded", _run_ends),
    ("is_string", _bytes),
    ("is_large_string", _bytes),
    ("is_binary", _bytes),
    ("is_large_binary", _bytes),
    ("is_map", _maps),
    ("is_list", _lists),
    ("is_large_list", _lists),
    ("is_fixed_size_list", _lists),
    ("is_struct", _structs),
    ("is_primitive", _fixed_width),
    ("is_decimal", _fixed_width),
    ("is_fixed_size_binary", _fixed_width),
)
"""How the content of a chunk is read, by the name of the test in pyarrow.types; the first that fits is taken."""


def _content(streams: Streams, array: Any, path: str) -> None:
    types = sys.modules["pyarrow"].types
    if hasattr(array, "storage"):
        array = array.storage
    for test, read in CONTENT:
        if getattr(types, test, _never)(array.type):
            read(streams, array, path)
            return
    raise Refusal(f"pyarrow arrays of type {array.type} have no canonical form", instead="cast it to a simpler type")


def _never(_kind: Any) -> bool:
    return False


def _table(table: Any, _walk: Walk) -> Parts:
    columns = {f".column({position})": table.column(position) for position in range(table.num_columns)}
    return Parts(f"pyarrow.{type(table).__name__}", {".schema": table.schema, ".num_rows": table.num_rows, **columns})


def _schema(schema: Any, _walk: Walk) -> Parts:
    fields = [(field.name, _type_name(field.type), field.nullable, field.metadata) for field in schema]
    return Parts("pyarrow.Schema", {".fields": fields, ".metadata": _metadata(schema.metadata)})


def _metadata(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, Any]:
    """Metadata of a schema; what pandas wrote there counts without the versions that wrote it."""
    kept: dict[bytes, Any] = dict(metadata or {})
    if b"pandas" in kept:
        described = json.loads(kept[b"pandas"])
        kept[b"pandas"] = {name: held for name, held in described.items() if name not in ("creator", "pandas_version")}
    return kept


def _array(array: Any, _walk: Walk) -> bytes:
    return encode_column([array], array.type)


def _chunked(array: Any, _walk: Walk) -> bytes:
    return encode_column(array.chunks, array.type)


def _scalar(value: Any, _walk: Walk) -> Parts:
    return Parts("pyarrow.Scalar", {".array": sys.modules["pyarrow"].array([value.as_py()], value.type)})


ARROW: Mapping[str, Handler] = {
    "Table": _table,
    "RecordBatch": _table,
    "ChunkedArray": _chunked,
    "Array": _array,
    "Scalar": _scalar,
    "Schema": _schema,
    "DataType": lambda value, _: Parts("pyarrow.DataType", {".text": str(value)}),
    "Field": lambda value, _: Parts("pyarrow.Field", {".text": str(value), ".nullable": value.nullable}),
}
"""Handlers by the name of a class of pyarrow."""


def find_arrow_handler(cls: type) -> Handler | None:
    """The handler of a type of pyarrow."""
    names = (base.__name__ for base in cls.__mro__ if base.__module__.startswith("pyarrow"))
    return next((ARROW[name] for name in names if name in ARROW), None)
