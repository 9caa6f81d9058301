"""Experiments that a guardrail ended stay ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "experiment_ends",
        sa.Column("experiment_id", sa.String(64), primary_key=True),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("arm", sa.String(64)),
        sa.Column("reason", sa.Text, nullable=False),
    )
