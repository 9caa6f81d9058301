"""The tables of the event store, in SQL that SQLite and PostgreSQL both speak.

Times are microseconds since 1970 in UTC. A ``seq`` is given once, also where its row was removed since. JSON is kept as
text so that numbers come back digit for digit. What is said here is what the newest of
`rec_platform.serving.migrations` makes; a test holds the two equal.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

SCHEMA_VERSION = 4
"""Of the last migration."""

SHOWN = "online"
"""``mode`` of decisions that users saw. Those of other modes say what a model would have done: they are no part of
sessions, and nothing is learned from them."""

WATCHED = ("shadow", "apprentice")
"""``mode`` of what models would have done while others answered: no joined rows are made of it."""

_Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite gives row numbers to INTEGER keys only

metadata = MetaData()

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

events = Table(
    "events",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("event_id", String(256), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("user_id", String(256), nullable=False),
    Column("session_id", String(256)),
    Column("recommendation_id", String(256)),
    Column("item_id", String(256)),
    Column("action", String(64)),
    Column("value", Float(53)),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("source", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Index("events_of_user", "user_id", "type", "occurred_at"),
    Index("events_of_session", "session_id", "type"),
    Index("events_of_recommendation", "recommendation_id"),
    sqlite_autoincrement=True,
)
"""What users did. ``body`` is the whole event as it was accepted; the other columns are what is searched."""

decisions = Table(
    "decisions",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("decision_id", String(256), nullable=False, unique=True),
    Column("user_id", String(256), nullable=False),
    Column("session_id", String(256)),
    Column("placement", String(256)),
    Column("created_at", BigInteger, nullable=False),
    Column("previous_decision_id", String(256)),
    Column("model_name", String(64), nullable=False),
    Column("model_version", String(32), nullable=False),
    Column("model_alias", String(64)),
    Column("policy", String(256), nullable=False),
    Column("sampler", Text, nullable=False),
    Column("catalog_hash", String(64), nullable=False),
    Column("candidates", Text),
    Column("excluded", Text, nullable=False),
    Column("items", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("propensities", Text, nullable=False),
    Column("propensity_kind", String(32), nullable=False),
    Column("history", Text, nullable=False),
    Column("history_feedback", Text, nullable=False),
    Column("user_features", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("response", Text, nullable=False),
    Column("deferred", Boolean, nullable=False, server_default=false()),
    Column("activated_at", BigInteger),
    Column("mode", String(16), nullable=False, server_default="online"),
    Column("experiment_id", String(64)),
    Column("experiment_arm", String(64)),
    Column("pass_probability", Float(53)),
    Column("degraded", Text),
    Column("sources", Text),
    Index("decisions_of_session", "user_id", "session_id", "created_at"),
    Index("decisions_after", "previous_decision_id"),
    sqlite_autoincrement=True,
)
"""What was shown, to whom, out of what, how likely, and what the policy saw.

``candidates`` is the caller's list of item ids, null for the whole catalogue named by ``catalog_hash``; ``excluded``
are the item ids of it that could not be shown. ``propensities`` and ``scores`` are exact: every digit is kept.
``deferred``: it counts only once it is activated (``activated_at``) or seen. ``sources`` says of each item policy,
explore, promotion or fallback; null in rows of schema version 1.
"""

items = Table(
    "items",
    metadata,
    Column("item_id", String(256), primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False, server_default=false()),
)
"""What is known of items beyond the model's catalogue: ``body`` is a JSON object (in_stock, category, price …). The row
of a deleted item stays, for the catalogue of a model may still have it."""

users = Table("users", metadata, Column("user_id", String(256), primary_key=True), Column("body", Text, nullable=False))
"""What is known of users: ``body`` is a JSON object of the columns of `rec_platform.data.schema.USERS`."""

learners = Table(
    "learners",
    metadata,
    Column("model_name", String(64), primary_key=True),
    Column("model_version", String(32), nullable=False),
    Column("learned_to", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""What models that learn from what they show know by now: ``state`` (safetensors) is what came of all decisions of the
version whose ``seq`` is at most ``learned_to``. Both change in one transaction, so that nothing is learned twice."""

rejected_events = Table(
    "rejected_events",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("received_at", BigInteger, nullable=False),
    Column("event_id", Text),
    Column("problem", Text, nullable=False),
    Column("body", Text, nullable=False),
)
"""Events that were refused, with the reason: nothing is dropped in silence."""

erasures = Table(
    "erasures",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("user_key", String(64), nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("counts", Text, nullable=False),
    Index("erasures_of_user", "user_key"),
)
"""Users who were forgotten: ``user_key`` is the SHA-256 of the id, in hex; ``counts`` (JSON) says how many rows of each
table went, and of which models the decisions were, so that whoever evaluates a log knows how much of it is missing."""

user_changes = Table(
    "user_changes",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("user_key", String(64), nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""Whose attributes changed or who was erased (`rec_platform.serving.user_changes`), for replicas that keep users in
memory; ``user_key`` as in ``erasures``."""

experiment_ends = Table(
    "experiment_ends",
    metadata,
    Column("experiment_id", String(64), primary_key=True),
    Column("ended_at", BigInteger, nullable=False),
    Column("arm", String(64)),
    Column("reason", Text, nullable=False),
)
"""Experiments that a guardrail ended, with the arm that broke it and how (JSON): no replica begins them again."""
