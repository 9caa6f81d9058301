"""Forgetting a user, as the law asks: nothing that names them is left in the store.

- Rows of ``users``, ``events`` and ``decisions`` go; decisions too, for they hold the user's history and features.
- Refused events go where the id is the value of anything in them, or where they were cut and it is in what was kept.
- ``erasures`` keeps the SHA-256 of the id, when it was, and how many rows went, decisions by model and version: whoever
  evaluates a log can tell how much of it is missing. ``user_changes`` keeps the same hash, to tell other replicas. A
  hash of a guessable id can be guessed; give ids that are not.
- What a learner drew from the user's decisions stays: it is sums over many users, by item and context.
- An id that comes again afterwards begins as a new user.

SQLite overwrites what it deletes (``secure_delete``), and its log is written back and cut: then the bytes are gone from
the files, or ``scrubbed`` is False, where another process read for too long (the next erasure or the last `close` makes
up for it). PostgreSQL keeps dead rows until VACUUM has passed and its log until it is recycled: there it is False.
Backups, files of joined rows (`rec_platform.data.join.erasure`) and datasets made of them are for whoever made them.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, insert, select

from rec_platform.serving.schema import decisions, erasures, events, rejected_events, users
from rec_platform.serving.store_reads import now_us
from rec_platform.serving.store_writes import take_turns
from rec_platform.serving.user_changes import note_changes, user_key

if TYPE_CHECKING:
    from rec_platform.serving.store import EventStore

log = logging.getLogger(__name__)

SCRUB_S = 1.0
"""How long readers may keep SQLite's log from being cut; the writer waits meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """One user to forget.

    Attributes:
        requested_at: microseconds since 1970.
    """

    user_id: str
    job_id: str
    requested_at: int


def new_job() -> str:
    """A name for an erasure."""
    return f"erase_{uuid4().hex}"


def write_erasures(connection: Connection, requests: Sequence[Any]) -> list[dict[str, Any]]:
    """See `group_commit.Write`."""
    take_turns(connection)
    return [_erase(connection, request) for request in requests]


def finish(store: EventStore, request: Request, written: Future, erased: Future) -> None:
    """The rows are gone: now their bytes, and what is still in memory. Runs in the writer's thread."""
    error = written.exception()
    if error is not None:
        erased.set_exception(error)
        return
    store.decisions_under_way.forget(request.user_id)
    erased.set_result(written.result() | {"scrubbed": scrub(store.writer)})


def scrub(engine: Engine) -> bool:
    """Write SQLite's log back and cut it; whether the files hold nothing any more but what is in the tables."""
    if engine.dialect.name != "sqlite":
        return False
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        deadline = time.monotonic() + SCRUB_S
        cursor.execute("PRAGMA busy_timeout=100")
        while cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0:
            if time.monotonic() > deadline:
                log.warning("erased rows may still be in the database's log: it is being read")
                return False
        return True
    except sqlite3.Error as error:
        log.warning("erased rows may still be in the database's log: %s", error)
        return False
    finally:
        connection.invalidate()  # with its short timeout
        connection.close()


def _erase(connection: Connection, request: Request) -> dict[str, Any]:
    user_id = request.user_id
    gone = delete(decisions).where(decisions.c.user_id == user_id)
    models = connection.execute(gone.returning(decisions.c.model_name, decisions.c.model_version)).all()
    counts: dict[str, Any] = {"decisions": len(models)}
    for table in (events, users):
        removed = delete(table).where(table.c.user_id == user_id).returning(table.c.user_id)
        counts[table.name] = len(connection.execute(removed).all())
    refused = _refused(connection, user_id)
    if refused:
        connection.execute(delete(rejected_events).where(rejected_events.c.seq.in_(refused)))
    counts["rejected_events"] = len(refused)
    counts["models"] = dict(Counter(f"{name}@{version}" for name, version in models))
    row = {
        "job_id": request.job_id,
        "user_key": user_key(user_id),
        "requested_at": request.requested_at,
        "finished_at": now_us(),
        "counts": json.dumps(counts),
    }
    connection.execute(insert(erasures), row)
    note_changes(connection, [user_id])
    return {"job_id": request.job_id} | counts


def _refused(connection: Connection, user_id: str) -> list[int]:
    """``seq`` of the refused events that name the user."""
    written = json.dumps(user_id)[1:-1]
    found = select(rejected_events.c.seq, rejected_events.c.body).where(
        rejected_events.c.body.contains(written, autoescape=True)
    )
    return [seq for seq, body in connection.execute(found) if _names(body, user_id, written)]


def _names(body: str, user_id: str, written: str) -> bool:
    try:
        return _holds(json.loads(body), user_id)
    except ValueError:  # it was long and was cut
        return written in body


def _holds(node: Any, user_id: str) -> bool:
    if isinstance(node, dict):
        return any(_holds(value, user_id) for value in node.values())
    if isinstance(node, list):
        return any(_holds(value, user_id) for value in node)
    return str(node) == user_id
