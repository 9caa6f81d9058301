"""The tables that the joiner takes and gives: columns, types, and what is checked before anything is joined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.parsing import as_times
from rec_platform.data.schema import DECISIONS, TIMESTAMP, conform
from rec_platform.errors import InputError, did_you_mean

EVENT_TYPES = ("impression", "interaction", "reward", "episode_end")
IMPRESSION_EVENT, INTERACTION_EVENT, REWARD_EVENT, END_EVENT = range(len(EVENT_TYPES))

EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("occurred_at", TIMESTAMP, nullable=False),
        pa.field("recommendation_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("action", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("name", pa.string()),
        pa.field("items", pa.list_(pa.string())),
        pa.field("viewed", pa.list_(pa.bool_())),
        pa.field("user_id", pa.string()),
        pa.field("session_id", pa.string()),
    ]
)
"""Events in the order they arrived: of two with one ``event_id`` the first counts. ``action`` is an interaction's,
``name`` a reward's, ``items`` and ``viewed`` an impression's (null items: the slate as served; null viewed: all)."""

EVENT_ALIASES = {"recommendation_id": "decision_id", "occurred_at": "timestamp"}
"""Columns that an events file may have under the name that datasets use."""

OUTCOME = pa.schema(
    [
        pa.field("closed_at", TIMESTAMP, nullable=False),
        pa.field("closed_by", pa.string(), nullable=False),
        pa.field("active", pa.bool_(), nullable=False),
        pa.field("slot_rewards", pa.list_(pa.float64())),
        pa.field("reward_spec", pa.string(), nullable=False),
        pa.field("joined_events", pa.int32(), nullable=False),
        pa.field("joined_impressions", pa.int32(), nullable=False),
        pa.field("joined_interactions", pa.int32(), nullable=False),
        pa.field("joined_rewards", pa.int32(), nullable=False),
    ]
)
"""What the join adds to a decision. ``closed_by``: ``deadline``, ``episode_end`` or ``import``."""

JOINED = pa.schema([*DECISIONS, pa.field("placement", pa.string()), *OUTCOME])
"""The columns every joined row has; further columns of the decision log follow as they were.

``chosen``, ``reward``, ``slot_rewards`` and ``rewards`` are null in a row that is not ``active`` (its activation was
deferred and nobody saw it), so that no reader trains on it. ``rewards`` holds a channel for each action that happened
(1 in its slots; ``impression`` where a slot was seen), ``reward:NAME`` for what callers told, and ``reward``: the
slots' rewards by the spec. Without a channel ``impression`` and with ``joined_impressions`` 0 nothing is known of what
was seen; the slate as served is then taken to have been.
"""

REQUIRED = ("decision_id", "user_id", "timestamp", "slate", "propensities", "propensity_kind", "policy")
RESULTS = ("chosen", "rewards", "reward", *OUTCOME.names)
"""Columns that the join makes; a decision log that has them already is joined anew."""


def conform_decisions(table: pa.Table) -> pa.Table:
    """The decisions as `DECISIONS`, ``placement`` and then all other columns they came with.

    Raises:
        InputError: a column is missing, has a null or another type; a slate and its propensities differ in length.
    """
    table = _checked(table, "decisions", REQUIRED, "timestamp")
    if "model_version" in table.column_names:
        version = table["model_version"].cast(pa.string())
        if "policy_version" in table.column_names:
            version = pc.coalesce(table["policy_version"].cast(pa.string()), version)
            table = table.drop_columns(["policy_version"])
        table = table.append_column("policy_version", version)
    schema = pa.schema([*DECISIONS, JOINED.field("placement")])
    others = [name for name in table.column_names if name not in schema.names and name not in OUTCOME.names]
    conformed = _conform(table, schema, "decisions")
    for name in others:
        conformed = conformed.append_column(table.schema.field(name), table[name])
    lengths = [pc.list_value_length(conformed[name]).to_numpy() for name in ("slate", "propensities")]
    wrong = np.flatnonzero(lengths[0] != lengths[1])
    if len(wrong):
        row = int(wrong[0])
        shown, known = (int(counts[row]) for counts in lengths)
        problem = f"decision '{conformed['decision_id'][row]}' shows {shown} items and has {known} propensities"
        raise InputError("decisions.propensities", problem, "log one propensity a slot, NaN where it is unknown")
    return conformed


def conform_events(table: pa.Table) -> pa.Table:
    """The events as `EVENTS`; other columns are dropped.

    Raises:
        InputError: a column is missing, has a null or another type; an unknown type of event; an interaction
            without action; a reward without value.
    """
    for ours, theirs in EVENT_ALIASES.items():
        if ours not in table.column_names and theirs in table.column_names:
            table = table.rename_columns([ours if name == theirs else name for name in table.column_names])
    table = _checked(table, "events", ("event_id", "type", "occurred_at", "recommendation_id"), "occurred_at")
    table = _conform(table, EVENTS, "events")
    kinds = event_types(table)
    nameless = (kinds == INTERACTION_EVENT) & table["action"].is_null().to_numpy()
    if nameless.any():
        name = table["event_id"][int(np.argmax(nameless))]
        raise InputError("events.action", f"interaction '{name}' has none", "say what was done: click, purchase …")
    values = table["value"].to_numpy()
    bad = (kinds == REWARD_EVENT) & ~np.isfinite(values)
    if bad.any():
        name = table["event_id"][int(np.argmax(bad))]
        raise InputError("events.value", f"reward '{name}' has no finite value", "give each reward its value")
    if np.isinf(values).any():
        name = table["event_id"][int(np.argmax(np.isinf(values)))]
        raise InputError("events.value", f"event '{name}' has an infinite value", "give a finite one, or null")
    return table


def event_types(events: pa.Table) -> NDArray[np.int8]:
    """Int8 [E]: indices into `EVENT_TYPES`.

    Raises:
        InputError: an unknown one.
    """
    codes = pc.index_in(events["type"], value_set=pa.array(EVENT_TYPES))
    if codes.null_count:
        unknown = pc.unique(events["type"].filter(pc.is_null(codes)))[0].as_py()
        raise InputError("events.type", f"'{unknown}' is unknown", did_you_mean(unknown, EVENT_TYPES))
    return codes.cast(pa.int8()).to_numpy()


def microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Int64 [rows] since 1970, UTC, of a column of `TIMESTAMP`."""
    return column.cast(pa.int64()).to_numpy()


def list_lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Int64 [rows]; a null is an empty list."""
    return pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)


def _checked(table: pa.Table, what: str, required: Sequence[str], moment: str) -> pa.Table:
    """With its times in microseconds UTC; every required column is there."""
    for name in required:
        if name not in table.column_names:
            columns = ", ".join(table.column_names[:30]) or "none"
            raise InputError(f"{what}.{name}", f"no such column; there are {columns}", f"name it {name}")
    times, missing = as_times(table[moment])
    if missing.any():
        row = int(np.argmax(missing))
        problem = f"row {row + 1} has no time, or one that is none: {table[moment][row].as_py()!r}"
        raise InputError(f"{what}.{moment}", problem, "give every row its time")
    at = table.column_names.index(moment)
    return table.set_column(at, pa.field(moment, TIMESTAMP, nullable=False), pa.array(times).cast(TIMESTAMP))


def _conform(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    for field in schema:
        if field.name not in table.column_names:
            continue
        column = table[field.name]
        if not field.nullable and column.null_count:
            problem = f"{column.null_count} rows have none"
            raise InputError(f"{what}.{field.name}", problem, "leave those rows out, or fill them")
        if column.type != field.type:
            try:
                column = column.cast(field.type)
            except pa.ArrowException as error:
                problem = f"is {column.type} and cannot become {field.type}: {error}"
                raise InputError(f"{what}.{field.name}", problem, f"write it as {field.type}") from None
            table = table.set_column(table.column_names.index(field.name), field, column)
    return conform(table, schema)
