"""What a model has to know of a user, kept in memory between requests, and how a replica learns that it has changed.

A user's history, features and sessions are the same from request to request unless something is written about him, by
this replica or another. So they are read from the store once; before each batch of requests one look at the newest
rows of the store (`ChangeFeed`) says whose are to be read again. An event that was acknowledged, by any replica, is
therefore in the next decision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)

from rec_platform.serving.schema import SHOWN, decisions, events, user_changes
from rec_platform.serving.store import EventStore, SessionSoFar
from rec_platform.serving.user_changes import user_key
from rec_platform.types import Float32, Int32

MOST_USERS = 50_000
"""Of one model; who was not seen for the longest is forgotten first."""

MOST_OWN = 100_000


@dataclass(slots=True)
class KnownUser:
    """Attributes:
    user_features: float32 [F].
    history: int32 [L], -1 = padding at the left.
    history_feedback: float32 [L].
    met: catalogue indices in the history, distinct and sorted.
    sessions: by id, those that were asked for.
    """

    user_features: Float32
    history: Int32
    history_feedback: Float32
    met: Int32
    sessions: dict[str, SessionSoFar] = field(default_factory=dict)


class UserCache:
    """The users that one model saw last."""

    def __init__(self, most: int = MOST_USERS) -> None:
        self._users: OrderedDict[str, KnownUser] = OrderedDict()
        self._by_key: dict[str, str] = {}
        self._most = most
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user_id: str) -> KnownUser | None:
        """The user, if he is known."""
        user = self._users.get(user_id)
        if user is None:
            self.misses += 1
            return None
        self.hits += 1
        self._users.move_to_end(user_id)
        return user

    def peek(self, user_id: str) -> KnownUser | None:
        """The same for who was just got: it is no other look-up."""
        return self._users.get(user_id)

    def put(self, user_id: str, user: KnownUser) -> None:
        """Know a user from now on."""
        self._users[user_id] = user
        self._by_key[user_key(user_id)] = user_id
        if len(self._users) > self._most:
            self._drop(next(iter(self._users)))

    def forget(self, names: Iterable[str]) -> None:
        """Read these users again when they are asked for; a name is an id or a `user_key`."""
        for name in names:
            if name in self._users:
                self._drop(name)
            if (user_id := self._by_key.get(name)) is not None:
                self._drop(user_id)

    def _drop(self, user_id: str) -> None:
        del self._users[user_id], self._by_key[user_key(user_id)]


class ChangeFeed:
    """Whose rows were written since the last look, by whichever replica. For one thread.

    Rows become visible in the order of their ``seq`` (`store.EventStore`), so that none is passed over.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._connection: Any = None
        self._own: OrderedDict[str, None] = OrderedDict()
        dialect = store.reader.dialect
        self._sqlite = dialect.name == "sqlite"
        self._query = _compiled(_NEWER, dialect)
        with store.connect() as connection:
            self._seen = {name: connection.execute(statement).scalar() or 0 for name, statement in _NEWEST.items()}

    def own(self, decision_id: str) -> None:
        """A decision of this replica, which knows of it already."""
        self._own[decision_id] = None
        if len(self._own) > MOST_OWN:
            self._own.popitem(last=False)

    def changed(self) -> set[str]:
        """Ids of users, and `user_key` of those whose attributes changed or who were erased; empty most of the time.

        What this process keeps of erased users' decisions is let go of as well.
        """
        names: set[str] = set()
        keys: set[str] = set()
        for table, seq, name, decision_id in self._rows():
            self._seen[table] = max(seq, self._seen[table])
            if table == "user_changes":
                keys.add(name)
            elif table == "events" or self._own.pop(decision_id, False) is False:
                names.add(name)
        if keys:
            self._store.decisions_under_way.forget_keys(keys)
        return names | keys

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self) -> list[Any]:
        """New rows; a plain cursor, since this runs before every batch."""
        try:
            if self._connection is None:
                self._connection = self._store.reader.raw_connection()
                if not self._sqlite:
                    self._connection.driver_connection.autocommit = True
            cursor = self._connection.cursor()
            try:
                cursor.execute(self._query, self._seen)
                return list(cursor.fetchall())
            finally:
                cursor.close()
        except Exception:
            self.close()  # the next look takes another one
            raise


def _compiled(statement: CompoundSelect[Any], dialect: Any) -> str:
    kind = type(dialect)
    named = kind(paramstyle="named") if dialect.name == "sqlite" else kind(paramstyle="pyformat")
    return str(statement.compile(dialect=named))


def _newer(table: Table, name: ColumnElement[str], decision_id: ColumnElement[str]) -> Select[Any]:
    said: ColumnElement[str] = literal_column(f"'{table.name}'")
    return select(said, table.c.seq, name, decision_id).where(table.c.seq > bindparam(table.name))


_NO_DECISION: ColumnElement[str] = literal_column("''")
_NEWER = union_all(
    _newer(events, events.c.user_id, _NO_DECISION),
    _newer(decisions, decisions.c.user_id, decisions.c.decision_id).where(
        decisions.c.mode == literal_column(f"'{SHOWN}'")
    ),
    _newer(user_changes, user_changes.c.user_key, _NO_DECISION),
)
_NEWEST = {table.name: select(func.max(table.c.seq)) for table in (events, decisions, user_changes)}
