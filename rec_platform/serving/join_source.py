"""The service's decisions and events as the joiner takes them, read page by page.

Pages are found by ``seq``, so that no transaction stays open and SQLite's log can be cut meanwhile. Read the events
first and the decisions after them (`read_log` does): then no event that was read names a decision that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from rec_platform.data.join import EVENTS
from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving.decision_log import TABLE
from rec_platform.serving.schema import WATCHED, decisions, events
from rec_platform.serving.store import EventStore

PAGE = 20_000
"""Rows read at once."""

OPTIONAL = {
    "deferred": pa.bool_(),
    "mode": pa.string(),
    "experiment_id": pa.string(),
    "experiment_arm": pa.string(),
    "pass_probability": pa.float64(),
}
"""Columns of the decision log that not every log has; the joiner uses them where they are."""

DECISION_LOG = pa.schema(
    [
        *TABLE,
        pa.field("num_candidates", pa.int64()),
        *(pa.field(name, kind) for name, kind in OPTIONAL.items()),
    ]
)
"""`decision_log.TABLE`, with ``candidates`` less what was excluded, and how many items could be shown (null: unknown,
for it is the whole catalogue and its size is not given). ``deferred``: and not activated until now."""


def open_store(url: str) -> EventStore:
    """A store that is there already.

    Raises:
        InputError: it is not there, or cannot be opened.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InputError(
            "store", f"'{url}' is no database URL", "write sqlite:///FILE or postgresql+psycopg://…"
        ) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).is_file():
        raise InputError("store", f"there is no {parsed.database}", "give the store of a service: sqlite:///FILE")
    return EventStore(url)


def read_log(store: EventStore, *, catalog_sizes: Mapping[str, int] | None = None) -> tuple[pa.Table, pa.Table]:
    """The whole log: decisions as `DECISION_LOG` and events as `EVENTS`, in the order they were written."""
    happened = pa.Table.from_batches(list(event_batches(store)), schema=EVENTS)
    made = pa.Table.from_batches(list(decision_batches(store, catalog_sizes=catalog_sizes)), schema=DECISION_LOG)
    return made, happened


def decision_batches(
    store: EventStore, *, catalog_sizes: Mapping[str, int] | None = None, page: int = PAGE
) -> Iterator[pa.RecordBatch]:
    """The decision log in batches of `DECISION_LOG`, without what models would have done while others answered.

    Args:
        catalog_sizes: how many items a catalogue has, by its hash.
    """
    for rows in _pages(store, _DECISIONS, page):
        found = [_decision(row, catalog_sizes or {}) for row in rows]
        yield pa.RecordBatch.from_pylist(found, schema=DECISION_LOG)


def event_batches(store: EventStore, *, page: int = PAGE) -> Iterator[pa.RecordBatch]:
    """The events in batches of `EVENTS`.

    Imported ones that name no decision are left out: they are the history of the time before the service.
    """
    for rows in _pages(store, _EVENTS, page):
        yield pa.RecordBatch.from_pylist([_event(row) for row in rows], schema=EVENTS)


def catalog_sizes(home: Path | None = None) -> dict[str, int]:
    """How many items the catalogues of all registered models have, by hash."""
    registry = ModelRegistry(home)
    versions = [version for name in registry.models() for version in registry.versions(name)]
    return {
        version.manifest.catalog_hash: int(pq.read_metadata(version.folder / "catalog.parquet").num_rows)
        for version in versions
    }


def _pages(store: EventStore, statement: Select[Any], page: int) -> Iterator[list[dict[str, Any]]]:
    after = 0
    while True:
        with store.connect() as connection:
            rows = [dict(row) for row in connection.execute(statement, {"after": after, "page": page}).mappings()]
        if not rows:
            return
        after = rows[-1]["seq"]
        yield rows


def _decision(row: dict[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    excluded = json.loads(row["excluded"])
    listed = None if row["candidates"] is None else json.loads(row["candidates"])
    if listed is not None:
        barred = set(excluded)
        listed = [item for item in listed if item not in barred]
    size = sizes.get(row["catalog_hash"]) if listed is None else len(listed) + len(excluded)
    values = {name: row[name] for name in DECISION_LOG.names if name in row}
    values |= {name: json.loads(row[name]) for name in _LISTS}
    return values | {
        "deferred": row["deferred"] and row["activated_at"] is None,
        "timestamp": row["created_at"],
        "candidates": listed,
        "num_candidates": None if size is None else size - len(excluded),
        "excluded": excluded,
        "slate": json.loads(row["items"]),
        "context": list(json.loads(row["context"])["served"].items()),
        "labels": list(json.loads(row["labels"]).items()),
    }


def _event(row: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {name: row[name] for name in EVENTS.names if name in row}
    if row["type"] in ("impression", "reward"):
        body = json.loads(row["body"])
        values["name"] = body.get("name")
        if body.get("items") is not None:
            values["items"] = [item["item_id"] for item in body["items"]]
            values["viewed"] = [item.get("viewed", True) for item in body["items"]]
    return values


_LISTS = ("scores", "propensities", "history", "history_feedback", "user_features")
_UNUSED = ("request_hash", "response")
_DECISIONS = (
    select(*(column for column in decisions.c if column.name not in _UNUSED))
    .where(decisions.c.seq > bindparam("after"), decisions.c.mode.not_in(WATCHED))
    .order_by(decisions.c.seq)
    .limit(bindparam("page"))
)
_EVENTS = (
    select(
        *(events.c[name] for name in EVENTS.names if name in events.c),
        events.c.seq,
        events.c.body,
    )
    .where(
        events.c.seq > bindparam("after"),
        or_(events.c.source != "import", events.c.recommendation_id.is_not(None)),
    )
    .order_by(events.c.seq)
    .limit(bindparam("page"))
)
