"""Whose attributes changed or who was erased, for the replicas that keep users in memory.

And in SQLite no ``seq`` of an event or a decision is given twice any more: whoever had read up to the number of an
erased row did not see the row that got it next. The two tables are written anew for that.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("events", "decisions"):
            with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
                pass
    op.create_table(
        "user_changes",
        sa.Column("seq", _Key, primary_key=True, autoincrement=True),
        sa.Column("user_key", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
