"""Run by Alembic for each command: migrations run on the connection and in the transaction of who asks for them."""

from __future__ import annotations

from alembic import context

from dataflow.database.schema import VERSION_TABLE
from dataflow.database.tables import METADATA
from dataflow.database.upgrading import CONNECTION

__all__ = ["run"]


def run() -> None:
    """Run the migrations."""
    connection = context.config.attributes[CONNECTION]
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name that Alembic runs it under: importing it does nothing
    run()
