"""Tables as Arrow IPC files (fast: the memory of the columns as it lies) or Parquet (small, read by everybody).

pandas and polars DataFrames and pyarrow Tables come back as the type they were, with index, dtypes and metadata. What
a format would change is found out on the first row of the table, before anything is written, and refused.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar

from dataflow_results.errors import ResultsError
from dataflow_results.serializers.frames import Kind, difference, kind_of, kind_of_table, marked, unmarked
from dataflow_results.serializers.protocol import corrupt, optional, own, refuse

if TYPE_CHECKING:
    from dataflow_results.digests import Buffer

__all__ = ["ArrowSerializer", "ParquetSerializer"]

FIX = "convert the column or index it is about, or use serializer 'pickle'"
MOST_VERDICTS = 1024


class _Collector:
    """A file for Arrow to write to which keeps the buffers that it is given, without a copy."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[Buffer] = []

    def write(self, part: Any) -> int:
        view = memoryview(part).cast("B") if len(part) else memoryview(b"")
        self.parts.append(view)
        return len(view)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


class _TableSerializer:
    """What the two formats share."""

    __slots__ = ()
    name: ClassVar[str]
    safe: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _write(self, table: Any, sink: Any) -> None:
        raise NotImplementedError

    def _read(self, source: Any) -> Any:
        raise NotImplementedError

    def accepts(self, value: Any) -> bool:
        """Whether it is a table that this format gives back exactly."""
        kind = kind_of(value)
        if kind is None or not _has_arrow():
            return False
        return not self._objection(value, kind)

    def dump(self, value: Any) -> list[Buffer]:
        """The table as one file."""
        kind = kind_of(value)
        if kind is None:
            fix = "a DataFrame of pandas or polars, a pyarrow Table, or serializer 'pickle'"
            raise refuse(self.name, value, "it is no table", fix)
        objection = self._objection(value, kind)
        if objection:
            raise refuse(self.name, value, objection, FIX)
        try:
            return self._written(value, kind)
        except Exception as error:  # boundary: packages of tables, which raise what they like
            raise refuse(self.name, value, f"{type(error).__name__}: {error}", FIX) from error

    def load(self, data: memoryview) -> Any:
        """The table, of the type that it was."""
        arrow = optional("pyarrow", serializer=self.name)
        try:
            table = self._read(arrow.BufferReader(arrow.py_buffer(own(data))))
            table.validate()
            kind = kind_of_table(table)
            if kind is not None:
                return kind.from_arrow(unmarked(table))
        except ResultsError:
            raise
        except Exception as error:  # boundary: packages of tables, which raise what they like
            raise corrupt(self.name, f"{type(error).__name__}: {error}") from error
        raise corrupt(self.name, "it does not say what kind of table it was")

    def _written(self, value: Any, kind: Kind) -> list[Buffer]:
        arrow = optional("pyarrow", serializer=self.name)
        collector = _Collector()
        with arrow.PythonFile(collector, mode="w") as sink:
            self._write(marked(kind.to_arrow(value), kind), sink)
        return collector.parts

    def _objection(self, value: Any, kind: Kind) -> str:
        """Why the table would not come back as it is; empty if it would. Remembered for tables of equal structure."""
        try:
            if kind.has_objects(value):
                return "it holds Python objects"
            key = (self.name, kind.name, len(value) > 0, kind.structure(value))
            found = _verdicts.get(key)
            if found is None:
                found = _remember(key, self._tried(value, kind))
        except Exception as error:  # noqa: BLE001 - boundary: packages of tables, which raise what they like
            return f"{type(error).__name__}: {error}"
        return found

    def _tried(self, value: Any, kind: Kind) -> str:
        sample = kind.sample(value)
        again = self.load(memoryview(b"".join(self._written(sample, kind))))
        lost = difference(kind.structure(sample), kind.structure(again))
        return lost and f"its {lost} would be lost"


class ArrowSerializer(_TableSerializer):
    """Tables as Arrow IPC files, uncompressed: `pyarrow.ipc.open_file` and `pandas.read_feather` read them.

    Raises:
        Unserializable: no table, or one that would not come back exactly (Python objects, frequencies of an index, …).
        StoringError: pyarrow is not installed.
        CorruptResult: the bytes are no such file.

    Example:
        >>> import pandas
        >>> serializer = ArrowSerializer()
        >>> frame = pandas.DataFrame({"a": [1, 2]}, index=pandas.Index([5, 7], name="k"))
        >>> serializer.load(memoryview(b"".join(serializer.dump(frame)))).loc[7, "a"].item()
        2
    """

    __slots__ = ()
    name = "arrow"

    def _write(self, table: Any, sink: Any) -> None:
        with optional("pyarrow.ipc", serializer=self.name).new_file(sink, table.schema) as writer:
            writer.write_table(table)

    def _read(self, source: Any) -> Any:
        return optional("pyarrow.ipc", serializer=self.name).open_file(source).read_all()


class ParquetSerializer(_TableSerializer):
    """Tables as Parquet files: smaller, slower, and read by nearly everything.

    Raises:
        Unserializable: no table, or one that would not come back exactly; categories are such.
        StoringError: pyarrow is not installed.
        CorruptResult: the bytes are no such file.

    Example:
        >>> import pyarrow
        >>> serializer = ParquetSerializer()
        >>> serializer.load(memoryview(b"".join(serializer.dump(pyarrow.table({"a": [1, 2]}))))).to_pydict()
        {'a': [1, 2]}
    """

    __slots__ = ()
    name = "parquet"

    def _write(self, table: Any, sink: Any) -> None:
        optional("pyarrow.parquet", serializer=self.name).write_table(table, sink, compression="zstd")

    def _read(self, source: Any) -> Any:
        return optional("pyarrow.parquet", serializer=self.name).read_table(source)


_verdicts: dict[Hashable, str] = {}


def _remember(key: Hashable, verdict: str) -> str:
    if len(_verdicts) >= MOST_VERDICTS:
        _verdicts.clear()
    _verdicts[key] = verdict
    return verdict


@functools.cache
def _has_arrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None
