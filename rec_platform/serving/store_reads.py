"""What is asked of the event store. Each call sees what was committed before it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, func, select

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.serving.pending_decisions import PendingDecisions
from rec_platform.serving.schema import (
    SHOWN,
    decisions,
    erasures,
    events,
    experiment_ends,
    items,
    learners,
    rejected_events,
    users,
)


@dataclass(frozen=True, slots=True)
class SessionSoFar:
    """What a session has seen.

    Attributes:
        slates: recommendations served in it.
        positives: positive events in it.
        last_decision_id: of the latest recommendation; None before the first.
    """

    slates: int = 0
    positives: int = 0
    last_decision_id: str | None = None


@dataclass(frozen=True, slots=True)
class LearnerState:
    """A row of `schema.learners`: see there."""

    model_name: str
    model_version: str
    learned_to: int
    state: bytes


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A row of `schema.items`.

    Attributes:
        body: what is known of it beyond the model's catalogue.
        updated_at: microseconds since 1970.
        deleted: it is to be shown no more.
    """

    item_id: str
    body: dict[str, Any]
    updated_at: int
    deleted: bool


class StoreReads:
    """The reading half of `rec_platform.serving.store.EventStore`."""

    reader: Engine
    decisions_under_way: PendingDecisions

    def connect(self) -> Connection:
        """A connection for the reads below; close it soon, SQLite keeps its old pages while one is open."""
        return self.reader.connect()

    def history(
        self, connection: Connection, user_id: str, catalog: Catalog, rule: FeedbackRule, limit: int
    ) -> list[tuple[int, float]]:
        """The user's latest interactions as (catalogue index, +1 or -1), newest last.

        Out of the last ``limit`` that may count; items that are not in the catalogue are left out. The tie rule of
        `rec_platform.data.histories`: sorted by (time, catalogue index); events of one item at one moment are one
        entry, negative where any of them is.
        """
        rows = connection.execute(_HISTORY, {"user": user_id, "actions": _actions(rule), "limit": limit}).all()
        entries: dict[tuple[int, int], float] = {}
        for index, row in zip(catalog.index_of(row.item_id for row in rows).tolist(), rows, strict=True):
            feedback = rule.feedback(row.action, row.value)
            if feedback != 0 and index >= 0:
                entry = (row.occurred_at, index)
                entries[entry] = min(feedback, entries.get(entry, 1.0))
        return [(index, entries[moment, index]) for moment, index in sorted(entries)]

    def seen_items(self, connection: Connection, user_id: str) -> list[str]:
        """Every item the user ever interacted with."""
        return list(connection.execute(_SEEN, {"user": user_id}).scalars())

    def session(self, connection: Connection, user_id: str, session_id: str, rule: FeedbackRule) -> SessionSoFar:
        """What this user's session has seen so far; decisions of this process that are still being written count."""
        key = {"user": user_id, "session": session_id}
        under_way = {logged.decision_id: logged for logged in self.decisions_under_way.of_session(user_id, session_id)}
        if under_way:
            for decision_id in connection.execute(_WRITTEN, {"ids": list(under_way)}).scalars():
                del under_way[decision_id]
        slates = connection.execute(_SLATES, key).scalar_one() + len(under_way)
        if slates == 0:
            return SessionSoFar()
        latest = [(logged.created_at, logged.decision_id) for logged in under_way.values()]
        if (last := connection.execute(_LAST_DECISION, key).first()) is not None:
            latest.insert(0, (last.created_at, last.decision_id))
        rows = connection.execute(_SESSION_EVENTS, key | {"actions": _actions(rule)})
        positives = sum(rule.feedback(action, value) > 0 for action, value in rows)
        return SessionSoFar(slates, positives, max(reversed(latest), key=lambda decision: decision[0])[1])

    def user_bodies(self, connection: Connection, user_ids: Sequence[str]) -> dict[str, str]:
        """What is known of users, as JSON objects, by id; unknown users are left out."""
        rows = connection.execute(_USERS, {"ids": list(user_ids)})
        return {user_id: body for user_id, body in rows}

    def user(self, user_id: str) -> dict[str, Any] | None:
        """What is known of a user; None where nothing was put."""
        with self.reader.connect() as connection:
            body = self.user_bodies(connection, [user_id]).get(user_id)
        return None if body is None else json.loads(body)

    def items(self, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        """What was put of items, by id; items of which nothing was are left out, deleted ones are not."""
        with self.reader.connect() as connection:
            rows = connection.execute(_ITEMS, {"ids": list(item_ids)}).all()
        return {row.item_id: StoredItem(row.item_id, json.loads(row.body), row.updated_at, row.deleted) for row in rows}

    def item(self, item_id: str) -> StoredItem | None:
        """What was put of one item; None where nothing was."""
        return self.items([item_id]).get(item_id)

    def items_since(self, updated_at: int) -> list[StoredItem]:
        """The items changed at or after ``updated_at`` (microseconds), in the order of their change.

        For replicas that keep them in memory: ask again from some seconds before the last one, for another replica's
        change may have been under way.
        """
        statement = select(items).where(items.c.updated_at >= updated_at)
        with self.reader.connect() as connection:
            rows = connection.execute(statement.order_by(items.c.updated_at, items.c.item_id)).all()
        return [StoredItem(row.item_id, json.loads(row.body), row.updated_at, row.deleted) for row in rows]

    def decision(self, decision_id: str) -> dict[str, Any] | None:
        """One row of the decision log; ``seq`` is None while it is being written."""
        under_way = self.decisions_under_way.find(decision_id)
        with self.reader.connect() as connection:
            row = connection.execute(select(decisions).where(decisions.c.decision_id == decision_id)).mappings().first()
        if row is None and under_way is not None:
            return dict.fromkeys(decisions.c.keys()) | dict(under_way)
        return dict(row) if row else None

    def learner(self, model_name: str) -> LearnerState | None:
        """What the model's learner knew last; None where nothing was kept."""
        with self.reader.connect() as connection:
            row = connection.execute(LEARNER, {"name": model_name}).first()
        return None if row is None else LearnerState(*row)

    def experiment_end(self, experiment_id: str) -> dict[str, Any] | None:
        """A row of `schema.experiment_ends`, ``reason`` read; None while it goes on."""
        with self.reader.connect() as connection:
            row = connection.execute(_END, {"id": experiment_id}).mappings().first()
        return None if row is None else dict(row) | {"reason": json.loads(row["reason"])}

    def erasure(self, job_id: str) -> dict[str, Any] | None:
        """A row of `schema.erasures`, ``counts`` read; None for an unknown job."""
        with self.reader.connect() as connection:
            row = connection.execute(select(erasures).where(erasures.c.job_id == job_id)).mappings().first()
        return None if row is None else dict(row) | {"counts": json.loads(row["counts"])}

    def counts(self) -> dict[str, int]:
        """Rows of every table."""
        tables = (events, decisions, users, items, rejected_events, erasures)
        with self.reader.connect() as connection:
            return {
                table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in tables
            }


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def _actions(rule: FeedbackRule) -> list[str]:
    return [*rule.positive, *rule.negative, "rating"]


_INTERACTION = and_(events.c.type == "interaction", events.c.action.in_(bindparam("actions", expanding=True)))
_HISTORY = (
    select(events.c.occurred_at, events.c.item_id, events.c.action, events.c.value)
    .where(events.c.user_id == bindparam("user"), _INTERACTION)
    .order_by(events.c.occurred_at.desc())
    .limit(bindparam("limit"))
)
_SEEN = select(events.c.item_id).distinct().where(events.c.user_id == bindparam("user"), events.c.type == "interaction")
_THIS_SESSION = and_(
    decisions.c.user_id == bindparam("user"), decisions.c.session_id == bindparam("session"), decisions.c.mode == SHOWN
)
_SLATES = select(func.count()).select_from(decisions).where(_THIS_SESSION)
_LAST_DECISION = (
    select(decisions.c.created_at, decisions.c.decision_id)
    .where(_THIS_SESSION)
    .order_by(decisions.c.created_at.desc(), decisions.c.seq.desc())
    .limit(1)
)
_WRITTEN = select(decisions.c.decision_id).where(decisions.c.decision_id.in_(bindparam("ids", expanding=True)))
_SESSION_EVENTS = select(events.c.action, events.c.value).where(
    events.c.session_id == bindparam("session"), events.c.user_id == bindparam("user"), _INTERACTION
)
_USERS = select(users.c.user_id, users.c.body).where(users.c.user_id.in_(bindparam("ids", expanding=True)))
_ITEMS = select(items).where(items.c.item_id.in_(bindparam("ids", expanding=True)))
_END = select(experiment_ends).where(experiment_ends.c.experiment_id == bindparam("id"))
LEARNER = select(learners.c.model_name, learners.c.model_version, learners.c.learned_to, learners.c.state).where(
    learners.c.model_name == bindparam("name")
)
