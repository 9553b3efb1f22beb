"""The first form: runs, their executions and states; nodes, batches and elements in columns; logs and artifacts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _make_runs()
    _make_executions()
    _make_nodes()
    _make_segments()
    _make_logs()
    _make_artifacts()
    for table, *columns in (
        ("runs", "started"),
        ("runs", "flow", "started"),
        ("runs", "parent"),
        ("executions", "run_id"),
        ("artifacts", "run_id"),
        ("artifacts", "key", "updated"),
    ):
        op.create_index(f"{table}_by_{'_'.join(columns)}", table, columns)


def _make_runs() -> None:
    op.create_table(
        "runs",
        _must("id", sa.Text),
        _must("flow", sa.Text),
        _must("name", sa.Text),
        _must("state", sa.BigInteger),
        _may("message", ""),
        _must("started", sa.Double),
        _can("ended", sa.Double),
        _may("door", "function"),
        _may("parent", ""),
        _may("parent_place", ""),
        _may("parameters", "{}"),
        _may("tags", "[]"),
        _may("entrypoint", ""),
        _can("arguments", sa.LargeBinary),
        _may("store", ""),
        sa.PrimaryKeyConstraint("id", name="runs_key"),
    )


def _make_executions() -> None:
    op.create_table(
        "executions",
        _must("id", sa.Text),
        _must("run_id", sa.Text),
        _must("state", sa.BigInteger),
        _may("message", ""),
        _must("started", sa.Double),
        _can("ended", sa.Double),
        _must("heartbeat", sa.Double),
        _must("process", sa.Text),
        _may("host", ""),
        _may("user", ""),
        _may("cluster", ""),
        _may("facts", "{}"),
        _may("lost", 0),
        sa.PrimaryKeyConstraint("id", name="executions_key"),
    )
    op.create_table(
        "run_states",
        _must("run_id", sa.Text),
        _must("time", sa.Double),
        _must("state", sa.BigInteger),
        _may("name", ""),
        _may("message", ""),
        sa.PrimaryKeyConstraint("run_id", "time", "state", "name", name="run_states_key"),
    )


def _make_nodes() -> None:
    op.create_table(
        "nodes",
        _must("execution_id", sa.Text),
        _must("number", sa.BigInteger),
        _must("slug", sa.Text),
        _must("task", sa.Text),
        _must("is_mapped", sa.Boolean),
        _can("length", sa.BigInteger),
        _must("state", sa.BigInteger),
        _may("done", 0),
        _may("counts", "{}"),
        _may("seconds", 0.0),
        _can("started", sa.Double),
        _can("ended", sa.Double),
        _may("message", ""),
        _may("collection", ""),
        _may("store", ""),
        _may("uses", "[]"),
        _may("rules", "{}"),
        sa.PrimaryKeyConstraint("execution_id", "number", name="nodes_key"),
    )


def _make_segments() -> None:
    op.create_table(
        "batches",
        _must("execution_id", sa.Text),
        _must("number", sa.BigInteger),
        _must("worker", sa.Text),
        _must("started", sa.Double),
        _must("seconds", sa.Double),
        _must("count", sa.BigInteger),
        sa.PrimaryKeyConstraint("execution_id", "number", name="batches_key"),
    )
    op.create_table(
        "segments",
        _must("execution_id", sa.Text),
        _must("node", sa.BigInteger),
        _must("start", sa.BigInteger),
        _must("stop", sa.BigInteger),
        _can("batch", sa.BigInteger),
        _may("step", 0),
        _may("offset", 0),
        _can("state", sa.BigInteger),
        _can("states", sa.LargeBinary),
        _can("seconds", sa.LargeBinary),
        _can("keys", sa.LargeBinary),
        _can("rare", sa.LargeBinary),
        _may("before_seconds", 0.0),
        sa.PrimaryKeyConstraint("execution_id", "node", "start", name="segments_key"),
    )


def _make_logs() -> None:
    op.create_table(
        "logs",
        _must("execution_id", sa.Text),
        _can("node", sa.BigInteger),
        _must("first_time", sa.Double),
        _must("last_time", sa.Double),
        _must("highest_level", sa.BigInteger),
        _must("count", sa.BigInteger),
        _must("lines", sa.LargeBinary),
        _must("number", sa.BigInteger),
        sa.PrimaryKeyConstraint("execution_id", "number", name="logs_key"),
    )


def _make_artifacts() -> None:
    op.create_table(
        "artifacts",
        _must("id", sa.Text),
        _must("run_id", sa.Text),
        _may("execution_id", ""),
        _can("node", sa.BigInteger),
        _can("element", sa.BigInteger),
        _may("key", ""),
        _must("kind", sa.Text),
        _must("data", sa.LargeBinary),
        _may("description", ""),
        _must("created", sa.Double),
        _must("updated", sa.Double),
        sa.PrimaryKeyConstraint("id", name="artifacts_key"),
    )


def _must(name: str, kind: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    """A column that every row has."""
    return sa.Column(name, kind, nullable=False)


def _can(name: str, kind: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    """A column that a row can do without."""
    return sa.Column(name, kind, nullable=True)


def _may(name: str, default: str | float) -> sa.Column[Any]:
    """A column that has a default."""
    kinds: dict[type, type[sa.types.TypeEngine[Any]]] = {str: sa.Text, int: sa.BigInteger, float: sa.Double}
    said = sa.text(f"'{default}'" if isinstance(default, str) else "0")
    return sa.Column(name, kinds[type(default)], nullable=False, server_default=said)
