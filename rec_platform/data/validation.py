"""Typed checks of raw tables: what passes becomes a table of the schema, what does not is kept with its reason."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.data.feedback import RANDOM_RATING
from rec_platform.data.formats.raw import RawTable
from rec_platform.data.parsing import as_numbers, as_text, as_times
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, MAX_ID_LENGTH, TIMESTAMP, USERS
from rec_platform.data.writer import REJECTED
from rec_platform.types import Bool

FUTURE_SLACK = 86_400_000_000
"""Microseconds that a timestamp may lie ahead of now (clocks and time zones)."""
OLDEST_AGE = 130.0


@dataclass(frozen=True, slots=True)
class Validated:
    """Rows that passed, of the schema, in source order; and `REJECTED` rows by number."""

    table: pa.Table
    rejected: pa.Table


class _Reasons:
    """Why each row fails: the first reason that is marked stands."""

    def __init__(self, rows: int) -> None:
        self.code = np.zeros(rows, dtype=np.int64)
        self.names = [""]

    def mark(self, failing: Bool, reason: str) -> None:
        self.code[failing & self.passing] = len(self.names)
        self.names.append(reason)

    @property
    def passing(self) -> Bool:
        passing: Bool = self.code == 0
        return passing


def validate_interactions(
    raw: RawTable,
    *,
    default_event: str | None,
    item_ids: pa.Array | None = None,
    now: int | None = None,
    rows_may_repeat: bool = False,
) -> Validated:
    """Check a log.

    Reasons: ``malformed_row``, those of `RawTable.refused`, ``missing_user_id``, ``missing_item_id``, ``id_too_long``,
    ``missing_timestamp``, ``bad_timestamp``, ``negative_timestamp``, ``future_timestamp``, ``missing_event``,
    ``bad_value`` (no number), ``non_finite_value``, ``missing_value`` (a rating without one), ``bad_propensity`` (no
    number, or not in (0, 1]; a blank one is unknown, and fine), ``unknown_item``, ``duplicate`` (same user, item,
    timestamp and event as an earlier row).

    Args:
        default_event: the event of rows where there is no event column.
        item_ids: the known items; None where any item is.
        now: microseconds; the clock's where None.
        rows_may_repeat: nothing is a ``duplicate``.
    """
    table, reasons = raw.table, _Reasons(len(raw.table))
    for reason, failing in raw.refused.items():
        reasons.mark(failing, reason)
    users, items = as_text(table["user_id"]), as_text(table["item_id"])
    _check_ids(reasons, users, "user_id")
    _check_ids(reasons, items, "item_id")
    times, bad_time = as_times(table["timestamp"])
    reasons.mark(_null(as_text(table["timestamp"])), "missing_timestamp")
    reasons.mark(bad_time, "bad_timestamp")
    reasons.mark(times < 0, "negative_timestamp")
    reasons.mark(times > (time.time_ns() // 1000 if now is None else now) + FUTURE_SLACK, "future_timestamp")
    if "event" in table.column_names:
        events = as_text(table["event"])
        reasons.mark(_null(events), "missing_event")
    else:
        events = pa.repeat(default_event, len(table))
    values = np.full(len(table), np.nan)
    if "value" in table.column_names:
        values, no_number, infinite = as_numbers(table["value"])
        reasons.mark(no_number, "bad_value")
        reasons.mark(infinite, "non_finite_value")
    rating = pc.is_in(events, value_set=pa.array(["rating", RANDOM_RATING])).to_numpy(zero_copy_only=False)
    reasons.mark(rating & np.isnan(values), "missing_value")
    propensities, bad_propensity = _numbers(table, "propensity")
    reasons.mark(bad_propensity | (propensities <= 0) | (propensities > 1), "bad_propensity")
    if item_ids is not None:
        reasons.mark(~pc.is_in(items, value_set=item_ids).to_numpy(zero_copy_only=False), "unknown_item")
    if not rows_may_repeat:
        passing = np.flatnonzero(reasons.passing)
        key = pd.DataFrame({"time": times[passing]})
        for name, column in (("user", users), ("item", items), ("event", events)):
            key[name] = column.take(pa.array(passing)).dictionary_encode().indices.to_numpy(zero_copy_only=False)
        repeated = np.zeros(len(table), dtype=bool)
        repeated[passing] = key.duplicated(keep="first").to_numpy()
        reasons.mark(repeated, "duplicate")
    columns = {
        "user_id": users,
        "item_id": items,
        "timestamp": pa.array(times).cast(TIMESTAMP),
        "event": events,
        "value": pa.array(values, from_pandas=True),
        "session_id": _texts(table, "session_id"),
        "propensity": pa.array(propensities, from_pandas=True),
    }
    return _split(raw, reasons, columns, INTERACTIONS)


def validate_items(raw: RawTable) -> Validated:
    """Check an items table. Reasons: ``malformed_row``, ``missing_item_id``, ``id_too_long``, ``bad_price`` (no number,
    not finite, below 0), ``bad_rating`` (no number, not finite), ``duplicate`` (an id again: the first stands)."""
    table, reasons = raw.table, _Reasons(len(raw.table))
    ids = as_text(table["item_id"])
    _check_ids(reasons, ids, "item_id")
    price, rating = _numbers(table, "price"), _numbers(table, "rating")
    reasons.mark(price[1] | (price[0] < 0), "bad_price")
    reasons.mark(rating[1], "bad_rating")
    _check_distinct(reasons, ids)
    columns = {
        "item_id": ids,
        "title": _texts(table, "title"),
        "category": _categories(table),
        "price": pa.array(price[0], from_pandas=True),
        "rating": pa.array(rating[0], from_pandas=True),
    }
    return _split(raw, reasons, columns, ITEMS)


def validate_users(raw: RawTable) -> Validated:
    """Check a users table. Reasons: ``malformed_row``, ``missing_user_id``, ``id_too_long``, ``bad_age`` (no number, or
    not 0 to 130), ``bad_signup_date``, ``duplicate``. A user whose row is rejected stays, with nothing known of it."""
    table, reasons = raw.table, _Reasons(len(raw.table))
    ids = as_text(table["user_id"])
    _check_ids(reasons, ids, "user_id")
    age, bad_age = _numbers(table, "age")
    reasons.mark(bad_age | (age < 0) | (age > OLDEST_AGE), "bad_age")
    signup = pa.nulls(len(table), TIMESTAMP)
    if "signup_date" in table.column_names:
        times, unknown = as_times(table["signup_date"])
        reasons.mark(unknown & ~_null(as_text(table["signup_date"])), "bad_signup_date")
        signup = pa.array(times, mask=unknown).cast(TIMESTAMP)
    _check_distinct(reasons, ids)
    columns = {
        "user_id": ids,
        "age": pa.array(age, from_pandas=True),
        "gender": _texts(table, "gender"),
        "location": _texts(table, "location"),
        "signup_date": signup,
        "segment": _texts(table, "segment"),
    }
    return _split(raw, reasons, columns, USERS)


def validate_decisions(raw: RawTable) -> Validated:
    """Check decisions of `schema.DECISIONS`. Reasons: ``missing_field`` (one that may not be null), ``empty_slate``,
    ``bad_slate`` (an item twice), ``bad_propensities`` (not one a slot, or not in (0, 1]), ``bad_chosen`` (no slot),
    ``duplicate``."""
    table, reasons = raw.table, _Reasons(len(raw.table))
    required = [field.name for field in DECISIONS if not field.nullable]
    reasons.mark(np.any([_null(table[name]) for name in required], axis=0), "missing_field")
    slates, propensities = table["slate"].to_pylist(), table["propensities"].to_pylist()
    sizes = np.array([len(slate or ()) for slate in slates], dtype=np.int64)
    reasons.mark(sizes == 0, "empty_slate")
    reasons.mark(np.array([len(set(slate or ())) != len(slate or ()) for slate in slates], dtype=bool), "bad_slate")
    sound = [
        len(p or ()) == size and all(x is not None and 0 < x <= 1 + 1e-9 for x in p or ())
        for p, size in zip(propensities, sizes, strict=True)
    ]
    reasons.mark(~np.array(sound, dtype=bool), "bad_propensities")
    chosen = pc.fill_null(table["chosen"], -1).to_numpy()
    reasons.mark((chosen < -1) | (chosen >= sizes), "bad_chosen")
    _check_distinct(reasons, table["decision_id"].combine_chunks())
    return _split(raw, reasons, {name: table[name] for name in DECISIONS.names}, DECISIONS)


def _check_ids(reasons: _Reasons, ids: pa.Array, name: str) -> None:
    reasons.mark(_null(ids), f"missing_{name}")
    reasons.mark(pc.fill_null(pc.utf8_length(ids), 0).to_numpy(zero_copy_only=False) > MAX_ID_LENGTH, "id_too_long")


def _check_distinct(reasons: _Reasons, ids: pa.Array) -> None:
    passing = np.flatnonzero(reasons.passing)
    repeated = np.zeros(len(ids), dtype=bool)
    codes = ids.take(pa.array(passing)).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    repeated[passing] = pd.Series(codes).duplicated(keep="first").to_numpy()
    reasons.mark(repeated, "duplicate")


def _null(column: pa.Array | pa.ChunkedArray) -> Bool:
    return np.asarray(pc.is_null(column), dtype=bool)


def _numbers(table: pa.Table, name: str) -> tuple[np.ndarray, Bool]:
    if name not in table.column_names:
        return np.full(len(table), np.nan), np.zeros(len(table), dtype=bool)
    values, no_number, infinite = as_numbers(table[name])
    return values, no_number | infinite


def _texts(table: pa.Table, name: str) -> pa.Array:
    return as_text(table[name]) if name in table.column_names else pa.nulls(len(table), pa.string())


def _categories(table: pa.Table) -> pa.Array:
    """List of names: a list column as it is, a text cut at ``|``; null where there is none."""
    if "category" not in table.column_names:
        return pa.nulls(len(table), ITEMS.field("category").type)
    column = table["category"].combine_chunks()
    nested = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    lists = column.to_pylist() if nested else [t and t.split("|") for t in as_text(table["category"]).to_pylist()]
    cleaned = [None if names is None else [str(n).strip() for n in names if n is not None] for names in lists]
    distinct = [names and [name for name in dict.fromkeys(names) if name] for names in cleaned]
    return pa.array(distinct, ITEMS.field("category").type)


def _split(raw: RawTable, reasons: _Reasons, columns: dict[str, Any], schema: pa.Schema) -> Validated:
    passing = pa.array(reasons.passing)
    failing = np.flatnonzero(~reasons.passing)
    failing = failing[np.unique(raw.row_numbers[failing], return_index=True)[1]]  # a row of the source stands once
    numbers = [*(number for number, _ in raw.malformed), *raw.row_numbers[failing].tolist()]
    names = ["malformed_row"] * len(raw.malformed) + [reasons.names[code] for code in reasons.code[failing]]
    rows = (raw.table if raw.original is None else raw.original).take(pa.array(failing)).to_pylist()
    texts = [*(text for _, text in raw.malformed), *rows]
    rejected = pa.table({"row_number": numbers, "reason": names, "row": [_json(row) for row in texts]}, schema=REJECTED)
    kept = {name: column.filter(passing).cast(schema.field(name).type) for name, column in columns.items()}
    return Validated(table=pa.table(kept, schema=schema), rejected=rejected.sort_by("row_number"))


def _json(row: Any) -> str:
    if isinstance(row, dict):
        row = {key: str(v) if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
    return json.dumps(row, ensure_ascii=False, default=str)
