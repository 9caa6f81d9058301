"""What is done to the event store, several submissions in one transaction. See `group_commit.Write`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, insert, select, text, update

from rec_platform.serving.database import insert_new, insert_or_replace
from rec_platform.serving.schema import decisions, events, experiment_ends, items, learners, rejected_events, users
from rec_platform.serving.store_reads import LEARNER, now_us
from rec_platform.serving.user_changes import note_changes

ORDER_LOCK = 7_239_412
"""PostgreSQL's advisory lock for what must come one after the other, as everything does in SQLite. It gives out ``seq``
before the commit: under the lock rows are committed in the order of their ``seq``, so that who has read up to one has
missed none: a learner, and every replica that keeps users in memory."""

_ADDED = {"deferred": False, "mode": "online"} | dict.fromkeys(
    ("activated_at", "experiment_id", "experiment_arm", "pass_probability", "degraded", "sources")
)

SIZES = (256, 64, 16, 4, 1)
"""Rows of a statement."""


def write_events(connection: Connection, batches: Sequence[Any]) -> list[int]:
    rows = [row for accepted, _ in batches for row in accepted]
    refused = [row for _, rejected in batches for row in rejected]
    if refused:
        connection.execute(insert(rejected_events), refused)
    take_turns(connection)
    new = set(_insert_rows(connection, events, rows, returning="event_id"))
    counts = []
    for accepted, _ in batches:
        ids = {row["event_id"] for row in accepted}
        counts.append(len(ids & new))
        new -= ids  # the same event in two submissions is new in the first only
    return counts


def write_import(connection: Connection, batches: Sequence[Any]) -> list[None]:
    for rows in batches:
        connection.execute(insert_new(connection.dialect, events), rows)
    return [None] * len(batches)


def write_decisions(connection: Connection, logged: Sequence[Any]) -> list[bool]:
    rows = [decision.row for decision in logged]
    take_turns(connection)
    statement = insert_new(connection.dialect, decisions).returning(decisions.c.decision_id)
    new = set(connection.execute(statement, [_ADDED | row for row in rows]).scalars())
    fresh = []
    for row in rows:
        fresh.append(row["decision_id"] in new)
        new.discard(row["decision_id"])
    return fresh


def write_answered(connection: Connection, logged: Sequence[Any]) -> list[None]:
    """Decisions with new ids, of which nobody asks whether they were there."""
    take_turns(connection)
    _insert_rows(connection, decisions, [_ADDED | decision.row for decision in logged])
    return [None] * len(logged)


def _insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, returning: str = ""
) -> list[Any]:
    """Insert rows whose key is new; of these, the column ``returning``.

    Plain SQL with many rows a statement: past the cost of SQL expressions, and between two statements the thread would
    have to wait for its turn at Python's lock. Of few sizes, so that the database finds them prepared.
    """
    names = tuple(column.name for column in table.c if column.name != "seq")
    mark, found, start = "?" if connection.dialect.name == "sqlite" else "%s", [], 0
    for size in SIZES:
        while len(rows) - start >= size:
            values = tuple(row.get(name) for row in rows[start : start + size] for name in names)
            result = connection.exec_driver_sql(_insert(table.name, names, size, mark, returning), values)
            found += [row[0] for row in result] if returning else []
            start += size
    return found


@lru_cache
def _insert(table: str, names: tuple[str, ...], rows: int, mark: str, returning: str) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    marks = ", ".join([f"({', '.join([mark] * len(names))})"] * rows)
    told = f" RETURNING {returning}" if returning else ""
    return f"INSERT INTO {table} ({columns}) VALUES {marks} ON CONFLICT DO NOTHING{told}"


def write_activations(connection: Connection, wanted: Sequence[Any]) -> list[bool | None]:
    results: list[bool | None] = []
    for decision_id, moment in wanted:
        changed = connection.execute(_ACTIVATE, {"id": decision_id, "moment": moment}).first()
        known = changed or connection.execute(_IS_DECISION, {"id": decision_id}).first()
        results.append(changed is not None if known else None)
    return results


def write_learners(connection: Connection, changes: Sequence[Any]) -> list[bool]:
    columns = dict.fromkeys(learners.c.keys()[1:])
    replace = insert_or_replace(connection.dialect, learners, "model_name", columns)
    take_turns(connection)
    written = []
    for new, after in changes:
        known = connection.execute(LEARNER, {"name": new.model_name}).first()
        was = None if known is None else (known.model_version, known.learned_to)
        fresh = was == (None if after is None else (after.model_version, after.learned_to))
        if fresh:
            connection.execute(replace, asdict(new) | {"updated_at": now_us()})
        written.append(fresh)
    return written


def write_experiment_ends(connection: Connection, rows: Sequence[Any]) -> list[None]:
    for row in rows:
        connection.execute(insert_new(connection.dialect, experiment_ends), row)
    return [None] * len(rows)


def write_users(connection: Connection, batches: Sequence[Any]) -> list[int]:
    statement = insert_or_replace(connection.dialect, users, "user_id", {"body": None})
    take_turns(connection)
    for rows in batches:
        if rows:
            connection.execute(statement, rows)
            note_changes(connection, [row["user_id"] for row in rows])
    return [len(rows) for rows in batches]


def write_user_patches(connection: Connection, batches: Sequence[Any]) -> list[int]:
    statement = insert_or_replace(connection.dialect, users, "user_id", {"body": None})
    take_turns(connection)
    for wanted in batches:
        merged = _patched(connection, users.c.user_id, wanted, {"body": "{}"})
        if merged:
            rows = [{"user_id": user_id, "body": json.dumps(body)} for user_id, body in merged.items()]
            connection.execute(statement, rows)
            note_changes(connection, merged)
    return [len(wanted) for wanted in batches]


def write_items(connection: Connection, batches: Sequence[Any]) -> list[int]:
    replace = insert_or_replace(connection.dialect, items, "item_id", dict.fromkeys(items.c.keys()[1:]))
    blank = {"body": "{}", "updated_at": 0, "deleted": False}
    for wanted, patch in batches:
        bodies: Mapping[str, Any] = _patched(connection, items.c.item_id, wanted, blank) if patch else wanted
        now = now_us()
        rows = [
            {"item_id": item_id, "body": json.dumps(body), "updated_at": now, "deleted": False}
            for item_id, body in sorted(bodies.items())  # always in this order: two replicas never wait for each other
        ]
        if rows:
            connection.execute(replace, rows)
    return [len(wanted) for wanted, _ in batches]


def delete_items(connection: Connection, batches: Sequence[Any]) -> list[int]:
    replace = insert_or_replace(connection.dialect, items, "item_id", dict.fromkeys(items.c.keys()[1:]))
    for item_ids in batches:
        now = now_us()
        rows = [
            {"item_id": item_id, "body": "{}", "updated_at": now, "deleted": True} for item_id in sorted(set(item_ids))
        ]
        if rows:
            connection.execute(replace, rows)
    return [len(set(item_ids)) for item_ids in batches]


def delete_users(connection: Connection, batches: Sequence[Any]) -> list[int]:
    counts = []
    take_turns(connection)
    for user_ids in batches:
        gone = delete(users).where(users.c.user_id.in_(list(user_ids))).returning(users.c.user_id)
        known = list(connection.execute(gone).scalars())
        note_changes(connection, known)
        counts.append(len(known))
    return counts


def take_turns(connection: Connection) -> None:
    """To be called before the first row with a ``seq`` is written."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ORDER_LOCK})


def _patched(
    connection: Connection, key: Column[str], wanted: Mapping[str, Mapping[str, Any]], blank: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Bodies, by ``key``, after a JSON Merge Patch (RFC 7396) of the first level: null takes an attribute away."""
    ids = sorted(wanted)
    if not ids:
        return {}
    connection.execute(insert_new(connection.dialect, key.table), [{key.name: one} | blank for one in ids])
    body = key.table.c.body
    rows = connection.execute(select(key, body).where(key.in_(ids)).order_by(key).with_for_update()).all()
    merged = {one: json.loads(known) | wanted[one] for one, known in rows}
    return {one: {k: v for k, v in known.items() if v is not None} for one, known in merged.items()}


_ACTIVATE = (
    update(decisions)
    .where(decisions.c.decision_id == bindparam("id"), decisions.c.deferred, decisions.c.activated_at.is_(None))
    .values(activated_at=bindparam("moment"))
    .returning(decisions.c.decision_id)
)
_IS_DECISION = select(decisions.c.decision_id).where(decisions.c.decision_id == bindparam("id"))
