"""The first schema: events, decisions, users, learners, and events that were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Key = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("seq", _Key, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.String(256), nullable=False, unique=True),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("session_id", sa.String(256)),
        sa.Column("recommendation_id", sa.String(256)),
        sa.Column("item_id", sa.String(256)),
        sa.Column("action", sa.String(64)),
        sa.Column("value", sa.Float(53)),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("events_of_user", "events", ["user_id", "type", "occurred_at"])
    op.create_index("events_of_session", "events", ["session_id", "type"])
    op.create_index("events_of_recommendation", "events", ["recommendation_id"])
    op.create_table(
        "decisions",
        sa.Column("seq", _Key, primary_key=True, autoincrement=True),
        sa.Column("decision_id", sa.String(256), nullable=False, unique=True),
        sa.Column("user_id", sa.String(256), nullable=False),
        sa.Column("session_id", sa.String(256)),
        sa.Column("placement", sa.String(256)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("previous_decision_id", sa.String(256)),
        sa.Column("model_name", sa.String(64), nullable=False),
        sa.Column("model_version", sa.String(32), nullable=False),
        sa.Column("model_alias", sa.String(64)),
        sa.Column("policy", sa.String(256), nullable=False),
        sa.Column("sampler", sa.Text, nullable=False),
        sa.Column("catalog_hash", sa.String(64), nullable=False),
        sa.Column("candidates", sa.Text),
        sa.Column("excluded", sa.Text, nullable=False),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("propensities", sa.Text, nullable=False),
        sa.Column("propensity_kind", sa.String(32), nullable=False),
        sa.Column("history", sa.Text, nullable=False),
        sa.Column("history_feedback", sa.Text, nullable=False),
        sa.Column("user_features", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("response", sa.Text, nullable=False),
    )
    op.create_index("decisions_of_session", "decisions", ["user_id", "session_id", "created_at"])
    op.create_index("decisions_after", "decisions", ["previous_decision_id"])
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(256), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "learners",
        sa.Column("model_name", sa.String(64), primary_key=True),
        sa.Column("model_version", sa.String(32), nullable=False),
        sa.Column("learned_to", sa.BigInteger, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rejected_events",
        sa.Column("seq", _Key, primary_key=True, autoincrement=True),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
