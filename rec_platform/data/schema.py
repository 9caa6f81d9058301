"""The one Arrow schema that every log is read into (tables of a dataset folder).

Times are UTC. Ids are opaque strings of 1 to 256 characters. Null means unknown.
"""

from __future__ import annotations

import pyarrow as pa

MAX_ID_LENGTH = 256

TIMESTAMP = pa.timestamp("us", tz="UTC")

INTERACTIONS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("session_id", pa.string()),
        pa.field("propensity", pa.float64()),
    ]
)
"""One row an event. ``propensity``: the probability that this row came to be in the log (a cell was observed, an item
was shown), where the source states or estimates it; in (0, 1]."""

ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("category", pa.list_(pa.string())),
        pa.field("price", pa.float64()),
        pa.field("rating", pa.float64()),
    ]
)

USERS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("age", pa.float64()),
        pa.field("gender", pa.string()),
        pa.field("location", pa.string()),
        pa.field("signup_date", TIMESTAMP),
        pa.field("segment", pa.string()),
    ]
)
"""``segment``: what `rec-platform segment` or the source puts the user in."""

DECISIONS = pa.schema(
    [
        pa.field("decision_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("session_id", pa.string()),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("candidates", pa.list_(pa.string())),
        pa.field("slate", pa.list_(pa.string()), nullable=False),
        pa.field("propensities", pa.list_(pa.float64()), nullable=False),
        pa.field("propensity_kind", pa.string(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("policy_version", pa.string()),
        pa.field("history", pa.list_(pa.string())),
        pa.field("history_feedback", pa.list_(pa.float32())),
        pa.field("context", pa.map_(pa.string(), pa.float64())),
        pa.field("chosen", pa.int32()),
        pa.field("rewards", pa.map_(pa.string(), pa.list_(pa.float64()))),
        pa.field("reward", pa.float64()),
        pa.field("previous_decision_id", pa.string()),
    ]
)
"""One row a decision: the observation as served, the slate, its propensities, the reward channels (each one value a
slot), and the decision before it in the episode. ``chosen`` is the slot consumed, -1 = none, null = not joined yet."""


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns, order and types of ``schema``; a nullable column that it lacks is null.

    So a table written before a column was added still reads. Columns that the schema does not have are dropped.

    Raises:
        KeyError: a column that may not be null is missing.
        ValueError: such a column has a null.
        pa.ArrowException: a column cannot be cast.
    """
    for field in schema:
        if field.nullable and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(schema.names).cast(schema)
