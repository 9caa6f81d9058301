"""Known users into the event store, so that the service knows from its first request what the log knows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa

from rec_platform.data.dataset import Dataset
from rec_platform.serving.store import EventStore, now_us

CHUNK_ROWS = 5_000
"""Rows a transaction: long enough to be fast, short enough that live writes get their turn."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows of a dataset the store has now."""

    interactions: int
    users: int


def import_dataset(store: EventStore, dataset: Dataset) -> Imported:
    """Put a dataset's interactions and users into the store.

    An event's id is a hash of its content: doing it again, or with a dataset that overlaps, adds nothing twice. Users
    are replaced.
    """
    waiting: list[Future] = []
    events = _events(dataset.interactions)
    while chunk := list(islice(events, CHUNK_ROWS)):
        waiting.append(store.import_events(chunk))
    users = ({"user_id": row["user_id"], "body": _user(row)} for row in _rows(dataset.users))
    while chunk := list(islice(users, CHUNK_ROWS)):
        waiting.append(store.put_users(chunk))
    for future in waiting:
        future.result()
    return Imported(interactions=dataset.interactions.num_rows, users=dataset.users.num_rows)


def _events(table: pa.Table) -> Iterator[dict[str, Any]]:
    received = now_us()
    moments = table["timestamp"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    for row in _rows(table.set_column(table.schema.get_field_index("timestamp"), "timestamp", moments)):
        content = json.dumps([row["user_id"], row["item_id"], row["timestamp"], row["event"], row["value"]])
        yield {
            "event_id": "import_" + hashlib.blake2b(content.encode(), digest_size=16).hexdigest(),
            "type": "interaction",
            "user_id": row["user_id"],
            "session_id": row["session_id"],
            "recommendation_id": None,
            "item_id": row["item_id"],
            "action": row["event"],
            "value": row["value"],
            "occurred_at": row["timestamp"],
            "received_at": received,
            "source": "import",
            "body": content,
        }


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
        yield from batch.to_pylist()


def _user(row: dict[str, Any]) -> str:
    known = {key: value for key, value in row.items() if value is not None and key != "user_id"}
    return json.dumps(known, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value))
