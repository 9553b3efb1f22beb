"""Databases of older forms are brought up to date in place; those of newer forms are left alone."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from dataflow.database.any_database import FORMS_LOCK
from dataflow.database.opening import database_at
from dataflow.database.reader import Reader
from dataflow.database.rows import NodeRow, RunRow
from dataflow.database.schema import FORMS, HEAD, VERSION_TABLE, make_ready
from dataflow.database.sqlite_file import SCHEMA
from dataflow.database.tables import METADATA, sqlite_schema
from dataflow.database.upgrading import MIGRATIONS, upgrade
from dataflow.errors import HistoryError
from tests.database import postgresql
from tests.database.examples import node_row, request_row, run_row

FIRST_FORM = Path(__file__).with_name("form_0001.sql")
"""A SQLite file of the first form with the rows of two runs, as its own program dumps it; never changed any more."""


def old_sqlite(path: Path) -> str:
    """A file of the first form."""
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST_FORM.read_text(encoding="utf-8"))
    connection.close()
    return f"sqlite:///{path}"


def old_server(url: str) -> str:
    """The same rows in a server's tables of the first form."""
    statements = [line for line in FIRST_FORM.read_text(encoding="utf-8").split(";\n") if "INSERT INTO" in line]
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        for statement in statements:
            if VERSION_TABLE not in statement:
                connection.execute(text(as_postgresql(statement)))
    engine.dispose()
    return url


def as_postgresql(statement: str) -> str:
    """A blob of SQLite's spelling in PostgreSQL's; the flag is the fifth value of a node."""
    statement = statement.replace("X'", r"'\x")
    return statement.replace("'load',1,", "'load',true,").replace("'total',0,", "'total',false,")


def differences(connection: Connection) -> list[Any]:
    """What Alembic would still change."""
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    return found


@pytest.fixture
def old(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the first form."""
    if request.param == "sqlite":
        return old_sqlite(tmp_path / "old.db")
    return old_server(postgresql.fresh(request.getfixturevalue("server")))


both = pytest.mark.parametrize("old", ["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)], indirect=True)


@both
def test_the_first_form_is_upgraded_in_place(old: str) -> None:
    """Reading is enough: the tables get their newest form, the rows stay, and new columns have their defaults."""
    reader = Reader(old)
    assert [(run.id, run.flow, run.arguments) for run in reader.runs()] == [("r2", "etl", None), ("r1", "etl", None)]
    assert reader.run("r1") == run_row(
        "r1", started=100.0, parameters='{"x": "ü\'1"}', arguments=b"\x00\x01", ended=105.5
    )
    assert reader.nodes("e1", complete=True) == [
        node_row(0, length=3, done=3, counts='{"2": 3}', uses='["x"]'),
        NodeRow(execution_id="e1", number=1, slug="total", task="total", is_mapped=False, state=3, message="no"),
    ]
    assert [(number, row.lines) for number, row in reader.logs("e1")] == [(7, b"\x01")]
    assert [segment.states for segment in reader.segments("e1")] == [b"\x02\x02\x03"]
    assert database_at(old).version() == HEAD


@both
def test_what_is_new_can_be_used_afterwards(old: str) -> None:
    """The table and the column that the second form added take rows."""
    reader = Reader(old)
    reader.put([request_row("q"), node_row(0, causes="[1]")])
    assert [request.id for request in reader.requests("r1")] == ["q"]
    assert [node.causes for node in reader.nodes("e1")] == ["[1]", "[]"]


@both
def test_an_upgraded_database_is_as_a_new_one(old: str) -> None:
    """Alembic finds nothing to change after its migrations: columns, types, defaults and indexes are the same."""
    make_ready(database_at(old), "old")
    engine = create_engine(old)
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


def test_a_new_database_is_what_the_tables_say(url: str) -> None:
    """Nothing differs from the tables in a database that was created at once."""
    make_ready(database_at(url), "new")
    engine = create_engine(url)
    with engine.connect() as connection:
        assert differences(connection) == []
    engine.dispose()


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    """The check above is able to fail: it names what the first form lacks."""
    engine = create_engine(old_sqlite(tmp_path / "old.db"))
    with engine.connect() as connection:
        assert {change[0] for change in differences(connection)} >= {"add_table", "add_column"}
    engine.dispose()


def test_the_statements_for_new_files_are_those_of_the_tables() -> None:
    """The file is made from the tables: `python -m dataflow.database.tables` after a change of them."""
    assert SCHEMA.read_text(encoding="utf-8") == sqlite_schema()


def test_every_form_has_its_migration() -> None:
    """The forms that are known by number are Alembic's, in its order."""
    revisions = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    assert [revision.revision for revision in revisions] == list(reversed(FORMS))


def newer_sqlite(path: Path) -> str:
    """A file of a form that nobody knows yet."""
    url = f"sqlite:///{path}"
    make_ready(database_at(url), "new")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    return url


def test_a_newer_form_is_left_alone(tmp_path: Path) -> None:
    """The error says which form is known and what to do."""
    reader = Reader(newer_sqlite(tmp_path / "newer.db"))
    with pytest.raises(
        HistoryError, match=r"its form is 9999, known are those up to 0003\n  instead: upgrade dataflow"
    ):
        reader.runs()
    with pytest.raises(HistoryError, match="its form is 9999"):
        reader.put([run_row()])


def test_who_comes_second_finds_nothing_left_to_upgrade(tmp_path: Path) -> None:
    """While somebody else upgrades a file, others wait before they look at its form, and then take it as it is."""
    url = old_sqlite(tmp_path / "old.db")
    with ThreadPoolExecutor(1) as pool, closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        answer = pool.submit(Reader(url).runs)
        assert not wait([answer], timeout=0.5).done
        somebody.execute("ALTER TABLE nodes ADD COLUMN causes TEXT DEFAULT '[]' NOT NULL")
        somebody.execute(f"UPDATE {VERSION_TABLE} SET version_num = '{HEAD}'")
        somebody.execute("COMMIT")
        assert len(answer.result(timeout=20)) == 2


@pytest.mark.servers
def test_who_upgrades_a_server_waits_for_others_who_do(server: str) -> None:
    """While somebody else holds the right to change the form of the tables, nobody does."""
    url = old_server(postgresql.fresh(server))
    engine = create_engine(url)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as somebody:
            somebody.execute(text(f"SELECT pg_advisory_xact_lock({FORMS_LOCK})"))
            answer = pool.submit(Reader(url).runs)
            assert not wait([answer], timeout=0.3).done
            assert database_at(url).version() == "0001"
        assert len(answer.result(timeout=10)) == 2
    engine.dispose()


def test_writers_that_create_at_once_create_once(url: str) -> None:
    """Many that find nothing and make it at the same moment all can write, and nothing of anybody is missing."""

    def write(number: int) -> None:
        Reader(url).put([run_row(f"r{number}", started=float(number))])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(write, range(12)))
    assert [run.id for run in Reader(url).runs()] == [f"r{number}" for number in reversed(range(12))]


def test_rows_come_back_as_they_were_given(url: str) -> None:
    """Every field of every class of row survives, with the types it had."""
    rows = [run_row("r1", ended=None), run_row("r2", flow="f", arguments=b"\x00", started=1.5, message="ü\n'\"")]
    reader = Reader(url)
    reader.put(rows)
    assert [reader.run(row.id) for row in rows] == rows
    node = node_row(3, is_mapped=False, length=2**40, uses="[1]", rules="{}", causes="[2]")
    reader.put([node])
    assert reader.nodes("e1", complete=True) == [node]
    assert type(reader.nodes("e1")[0].is_mapped) is bool
    assert isinstance(reader.runs()[0], RunRow)
