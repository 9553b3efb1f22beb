"""Tables of pandas and polars as Arrow tables and back, and whether one comes back exactly as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from dataflow_results.serializers.protocol import optional

__all__ = ["KINDS", "Kind", "Structure", "difference", "kind_of", "kind_of_table", "marked", "unmarked"]

Structure: TypeAlias = tuple[tuple[str, Any], ...]
"""All of a table but its cells, as pairs of name and a value that can be hashed and compared: what must survive."""

MARK = b"dataflow_results"
"""Key in the metadata of an Arrow schema; its value says what the table was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How tables of one type become Arrow tables and back. Each function may raise what its package raises."""

    name: str
    """Top-level module and name of the type."""
    to_arrow: Callable[[Any], Any]
    from_arrow: Callable[[Any], Any]
    sample: Callable[[Any], Any]
    """The table with its first row only; Arrow writes no categories if there is no row."""
    structure: Callable[[Any], Structure]
    has_objects: Callable[[Any], bool]
    """Whether cells are Python objects."""


def difference(before: Structure, after: Structure) -> str:
    """Name of the first thing that differs; empty if nothing does.

    Example:
        >>> difference((("index", 1), ("attrs", 2)), (("index", 1), ("attrs", 3)))
        'attrs'
    """
    if len(before) != len(after):
        return "number of columns"
    return next((name for (name, was), (_, now) in zip(before, after, strict=True) if was != now), "")


def kind_of(value: Any) -> Kind | None:
    """The kind of a table; None for anything else, subclasses too, because they would come back as something else."""
    cls = type(value)
    return KINDS.get(f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}")


def kind_of_table(table: Any) -> Kind | None:
    """The kind that a stored table says it was."""
    mark = (table.schema.metadata or {}).get(MARK)
    return None if mark is None else KINDS.get(json.loads(mark)["type"])


def marked(table: Any, kind: Kind) -> Any:
    """The table with a mark in its schema's metadata."""
    mark = json.dumps({"type": kind.name}).encode()
    return table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: mark})


def unmarked(table: Any) -> Any:
    """The table without the mark."""
    metadata = {key: value for key, value in table.schema.metadata.items() if key != MARK}
    return table.replace_schema_metadata(metadata or None)


RANGE = b"dataflow_results.range"
"""Key in the metadata: columns that are a range would come back as a list of numbers."""


def _pandas_to_arrow(frame: Any) -> Any:
    arrow, pandas = optional("pyarrow", serializer="arrow"), optional("pandas", serializer="arrow")
    table = arrow.Table.from_pandas(frame)
    columns = frame.columns
    if type(columns) is not pandas.RangeIndex:
        return table
    bounds = json.dumps([columns.start, columns.stop, columns.step]).encode()
    return table.replace_schema_metadata({**table.schema.metadata, RANGE: bounds})


def _pandas_from_arrow(table: Any) -> Any:
    frame = table.to_pandas()
    bounds = table.schema.metadata.get(RANGE)
    if bounds is not None:
        names = frame.columns.names
        frame.columns = optional("pandas", serializer="arrow").RangeIndex(*json.loads(bounds))
        frame.columns.names = names
    return frame


def _pandas_structure(frame: Any) -> Structure:
    return (
        ("dtypes", tuple(frame.dtypes)),
        ("type of the column labels", _labels_structure(frame.columns)),
        ("column labels", tuple((type(label), label) for label in frame.columns)),
        ("index", _labels_structure(frame.index)),
        ("attrs", repr(frame.attrs)),
        ("flags", frame.flags.allows_duplicate_labels),
    )


def _labels_structure(labels: Any) -> tuple[Any, ...]:
    dtypes = tuple(labels.dtypes) if labels.nlevels > 1 else (labels.dtype,)
    return (type(labels), dtypes, tuple(labels.names), getattr(labels, "freqstr", None))


def _pandas_objects(frame: Any) -> bool:
    """Whether cells or index are Python objects; of an empty table, Arrow cannot tell that it would change them."""
    index = frame.index
    dtypes = [*frame.dtypes, *(index.dtypes if index.nlevels > 1 else [index.dtype])]
    return any(str(getattr(getattr(dtype, "categories", dtype), "dtype", dtype)) == "object" for dtype in dtypes)


def _pandas_sample(frame: Any) -> Any:
    return frame.iloc[:1]


def _polars_from_arrow(table: Any) -> Any:
    return optional("polars", serializer="arrow").from_arrow(table, rechunk=False)


def _polars_structure(frame: Any) -> Structure:
    return tuple((f"column {name!r}", (position, dtype)) for position, (name, dtype) in enumerate(frame.schema.items()))


def _arrow_structure(table: Any) -> Structure:
    metadata = tuple(sorted((table.schema.metadata or {}).items()))
    return (("schema", table.schema.to_string(show_field_metadata=True)), ("metadata", metadata))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                name="pandas.DataFrame",
                to_arrow=_pandas_to_arrow,
                from_arrow=_pandas_from_arrow,
                sample=_pandas_sample,
                structure=_pandas_structure,
                has_objects=_pandas_objects,
            ),
            Kind(
                name="polars.DataFrame",
                to_arrow=lambda frame: frame.to_arrow(),
                from_arrow=_polars_from_arrow,
                sample=lambda frame: frame.head(1),
                structure=_polars_structure,
                has_objects=lambda frame: "Object" in map(str, frame.dtypes),
            ),
            Kind(
                name="pyarrow.Table",
                to_arrow=lambda table: table,
                from_arrow=lambda table: table,
                sample=lambda table: table.slice(0, 1),
                structure=_arrow_structure,
                has_objects=lambda table: False,
            ),
        )
    }
)
"""By top-level module and name of the type."""
