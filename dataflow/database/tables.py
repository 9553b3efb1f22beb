"""SQLAlchemy's tables for the rows, for servers and migrations; printed as SQL for new SQLite files: ``schema.sql``."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    insert,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement
from sqlalchemy.types import TypeEngine

from dataflow.database.schema import HEAD, VERSION_TABLE
from dataflow.database.shapes import NUMBER, SHAPES, Shape

__all__ = ["METADATA", "VERSION", "sqlite_schema"]

TYPES: Final[dict[str, type[TypeEngine[Any]]]] = {
    "str": Text,
    "int": BigInteger,
    "float": Double,
    "bool": Boolean,
    "bytes": LargeBinary,
}
HEADER: Final = (
    "-- What a new SQLite file begins with. Made by `python -m dataflow.database.tables`; a test says if it is old.\n"
)


def _column(described: Field[Any]) -> Column[Any]:
    """A column; one that a row need not be given has the same default in the table, so that old rows can get it."""
    name, _, optional = str(described.type).partition(" | ")
    default = described.default
    said = text(f"'{default}'") if isinstance(default, str) else text("0") if default == 0 else None
    return Column(described.name, TYPES[name], nullable=optional == "None", server_default=said)


def _table(shape: Shape) -> Table:
    numbers = [Column(NUMBER, BigInteger, nullable=False)] if shape.is_numbered else []
    return Table(
        shape.table,
        METADATA,
        *map(_column, fields(shape.row)),
        *numbers,
        PrimaryKeyConstraint(*shape.key, name=f"{shape.table}_key"),
        *(Index(f"{shape.table}_by_{'_'.join(columns)}", *columns) for columns in shape.indexes),
    )


METADATA: Final = MetaData()
"""The tables of runs."""
for _shape in SHAPES.values():
    _table(_shape)

VERSION: Final = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""Alembic's one row that says which form the tables have; not its usual table, which others in the database use."""


def sqlite_schema() -> str:
    """All statements that make a new SQLite file.

    Example:
        >>> print(sqlite_schema().splitlines()[-1])
        INSERT INTO dataflow_version (version_num) VALUES ('0003');
    """
    dialect = sqlite.dialect()
    tables = [*METADATA.sorted_tables, VERSION]
    made: list[DDLElement] = [CreateTable(table) for table in tables]
    indexed = [
        CreateIndex(index) for table in tables for index in sorted(table.indexes, key=lambda index: str(index.name))
    ]
    statements = [str(statement.compile(dialect=dialect)).strip() for statement in [*made, *indexed]]
    stamped = insert(VERSION).values(version_num=HEAD).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return HEADER + "".join(f"{statement};\n" for statement in [*statements, str(stamped)])


if __name__ == "__main__":
    Path(__file__).with_name("schema.sql").write_text(sqlite_schema(), encoding="utf-8")
