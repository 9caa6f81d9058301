"""Items and erasures; decisions know their experiment, their mode, whether they were deferred, and items' sources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("deferred", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("activated_at", sa.BigInteger),
        sa.Column("mode", sa.String(16), nullable=False, server_default="online"),
        sa.Column("experiment_id", sa.String(64)),
        sa.Column("experiment_arm", sa.String(64)),
        sa.Column("pass_probability", sa.Float(53)),
        sa.Column("degraded", sa.Text),
        sa.Column("sources", sa.Text),
    ):
        op.add_column("decisions", column)
    op.create_table(
        "items",
        sa.Column("item_id", sa.String(256), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "erasures",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("user_key", sa.String(64), nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("counts", sa.Text, nullable=False),
    )
    op.create_index("erasures_of_user", "erasures", ["user_key"])
