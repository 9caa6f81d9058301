"""What Alembic runs: the steps, on the connection and in the transaction that `bring_up_to_date` holds."""

from __future__ import annotations

from alembic import context

from rec_platform.serving.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
