"""Why elements of a node failed, with the node; what is asked of runs from other processes, and the answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a column and a table."""
    op.add_column("nodes", sa.Column("causes", sa.Text, nullable=False, server_default=sa.text("'[]'")))
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("body", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("asked", sa.Double, nullable=False),
        sa.Column("answered", sa.Double, nullable=True),
        sa.Column("answer", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("id", name="requests_key"),
    )
    op.create_index("requests_by_run_id_answered", "requests", ["run_id", "answered"])
