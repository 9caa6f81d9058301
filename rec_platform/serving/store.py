"""The event store: what users did and what they were shown, durable before it is acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.serving.database import insert_new, insert_or_replace, open_engines
from rec_platform.serving.group_commit import GroupCommit
from rec_platform.serving.schema import decisions, events, learners, rejected_events, users

Row = Mapping[str, Any]


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


class EventStore:
    """Events, decisions and users in one SQL database. Safe for several threads and processes.

    Args:
        url: of SQLAlchemy, ``sqlite:///FILE`` or ``postgresql+psycopg://…``.

    Raises:
        InputError: the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.reader, self.writer = open_engines(url)
        self._commits = GroupCommit(self.writer)
        self._new_events = insert_new(self.writer, events).returning(events.c.event_id)
        self._new_decisions = insert_new(self.writer, decisions).returning(decisions.c.decision_id)

    @property
    def alive(self) -> bool:
        """False once nothing can be written any more."""
        return self._commits.alive

    def close(self) -> None:
        """Write what waits, then let go of the database."""
        self._commits.close()
        self.reader.dispose()
        self.writer.dispose()

    # Writing. Every method returns at once; the future is done when the rows are on disk.

    def add_events(self, rows: Sequence[Row], rejected: Sequence[Row] = ()) -> Future:
        """Add events by ``event_id``, the first one wins; result: how many were new (int)."""
        return self._commits.submit(self._write_events, (list(rows), list(rejected)))

    def add_decision(self, row: Row | Callable[[], Row]) -> Future:
        """Log a decision, or what a function makes of it on the writing thread.

        Result: True, or False where its id was there already (nothing is changed then).
        """
        return self._commits.submit(self._write_decisions, row)

    def import_events(self, rows: Sequence[Row]) -> Future:
        """Add events by ``event_id`` without counting which are new, for bulk loads."""
        return self._commits.submit(self._write_import, list(rows))

    def put_users(self, rows: Sequence[Row]) -> Future:
        """Add or replace users (``user_id``, ``body``)."""
        return self._commits.submit(self._write_users, list(rows))

    def put_learner(self, new: LearnerState, after: LearnerState | None) -> Future:
        """Keep what a learner knows; result: False where another writer came first and nothing was changed.

        Args:
            after: the state that ``new`` was made from, as it was read; None where there was none.
        """
        return self._commits.submit(self._write_learners, (new, after))

    def _write_events(self, connection: Connection, batches: Sequence[Any]) -> list[int]:
        rows = [row for accepted, _ in batches for row in accepted]
        refused = [row for _, rejected in batches for row in rejected]
        if refused:
            connection.execute(insert(rejected_events), refused)
        new = set(connection.execute(self._new_events, rows).scalars()) if rows else set()
        counts = []
        for accepted, _ in batches:
            ids = {row["event_id"] for row in accepted}
            counts.append(len(ids & new))
            new -= ids  # the same event in two submissions is new in the first only
        return counts

    def _write_decisions(self, connection: Connection, rows: Sequence[Any]) -> list[bool]:
        rows = [row() if callable(row) else row for row in rows]
        new = set(connection.execute(self._new_decisions, list(rows)).scalars())
        fresh = []
        for row in rows:
            fresh.append(row["decision_id"] in new)
            new.discard(row["decision_id"])
        return fresh

    def _write_import(self, connection: Connection, batches: Sequence[Any]) -> list[None]:
        for rows in batches:
            connection.execute(insert_new(self.writer, events), rows)
        return [None] * len(batches)

    def _write_learners(self, connection: Connection, changes: Sequence[Any]) -> list[bool]:
        replace = insert_or_replace(self.writer, learners, "model_name", dict.fromkeys(learners.c.keys()[1:]))
        written = []
        for new, after in changes:
            known = connection.execute(_LEARNER, {"name": new.model_name}).first()
            was = None if known is None else (known.model_version, known.learned_to)
            fresh = was == (None if after is None else (after.model_version, after.learned_to))
            if fresh:
                connection.execute(replace, asdict(new) | {"updated_at": now_us()})
            written.append(fresh)
        return written

    def _write_users(self, connection: Connection, batches: Sequence[Any]) -> list[int]:
        statement = insert_or_replace(self.writer, users, "user_id", {"body": None})
        for rows in batches:
            if rows:
                connection.execute(statement, rows)
        return [len(rows) for rows in batches]

    # Reading. Each call sees what was committed before it.

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
        """What this user's session has seen so far."""
        key = {"user": user_id, "session": session_id}
        slates = connection.execute(_SLATES, key).scalar_one()
        if slates == 0:
            return SessionSoFar()
        last = connection.execute(_LAST_DECISION, key).scalar_one()
        rows = connection.execute(_SESSION_EVENTS, key | {"actions": _actions(rule)})
        positives = sum(rule.feedback(action, value) > 0 for action, value in rows)
        return SessionSoFar(slates, positives, last)

    def user_bodies(self, connection: Connection, user_ids: Sequence[str]) -> dict[str, str]:
        """What is known of users, as JSON objects, by id; unknown users are left out."""
        rows = connection.execute(_USERS, {"ids": list(user_ids)})
        return {user_id: body for user_id, body in rows}

    def decision(self, decision_id: str) -> dict[str, Any] | None:
        """One row of the decision log."""
        with self.reader.connect() as connection:
            row = connection.execute(select(decisions).where(decisions.c.decision_id == decision_id)).mappings().first()
        return dict(row) if row else None

    def learner(self, model_name: str) -> LearnerState | None:
        """What the model's learner knew last; None where nothing was kept."""
        with self.reader.connect() as connection:
            row = connection.execute(_LEARNER, {"name": model_name}).first()
        return None if row is None else LearnerState(*row)

    def counts(self) -> dict[str, int]:
        """Rows of every table."""
        tables = {"events": events, "decisions": decisions, "users": users, "rejected_events": rejected_events}
        with self.reader.connect() as connection:
            return {
                name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for name, table in tables.items()
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
_THIS_SESSION = and_(decisions.c.user_id == bindparam("user"), decisions.c.session_id == bindparam("session"))
_SLATES = select(func.count()).select_from(decisions).where(_THIS_SESSION)
_LAST_DECISION = (
    select(decisions.c.decision_id)
    .where(_THIS_SESSION)
    .order_by(decisions.c.created_at.desc(), decisions.c.seq.desc())
    .limit(1)
)
_SESSION_EVENTS = select(events.c.action, events.c.value).where(
    events.c.session_id == bindparam("session"), events.c.user_id == bindparam("user"), _INTERACTION
)
_LEARNER = select(learners.c.model_name, learners.c.model_version, learners.c.learned_to, learners.c.state).where(
    learners.c.model_name == bindparam("name")
)
_USERS = select(users.c.user_id, users.c.body).where(users.c.user_id.in_(bindparam("ids", expanding=True)))
