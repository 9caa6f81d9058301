"""Decisions that were answered and are not on disk yet: how many, for how long, and how many never got there.

With ``decision_log: async`` an answer does not wait for the disk. What a replica loses when it is killed is what waits
here; what its database refuses is counted as lost. Until a decision can be read from the database it is read from here,
so that the next request of a session knows the one before it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

KEPT_S = 1.0
"""How long a decision can be read from here after it was written: a reader's transaction may have begun before."""


@dataclass(slots=True)
class LoggedDecision:
    """A decision on its way into the log.

    Attributes:
        decision_id, user_id, session_id, created_at: as in its row.
        make: makes the row; called once, by whoever reads it first: the thread that writes, as a rule.
    """

    decision_id: str
    user_id: str
    session_id: str | None
    created_at: int
    make: Callable[[], Mapping[str, Any]]
    made: Mapping[str, Any] | None = None

    @staticmethod
    def of(row: Mapping[str, Any]) -> LoggedDecision:
        """Of a row that is there already."""
        keys = (row["decision_id"], row["user_id"], row["session_id"], row["created_at"])
        return LoggedDecision(*keys, make=lambda: row, made=row)

    @property
    def row(self) -> Mapping[str, Any]:
        """The row of `schema.decisions`."""
        if self.made is None:
            self.made = self.make()
        return self.made


@dataclass(slots=True)
class _Decision:
    logged: LoggedDecision
    submitted: float
    written: float | None = None


class PendingDecisions:
    """What of the decision log is under way in this process. Safe for several threads.

    Attributes:
        submitted: decisions that were to be written, since the process began.
        written: those that are on disk.
        lost: those that were answered and could not be written.
        refused: those that could not be written, which the caller was told instead of an answer.
        lag_seconds: how long the last one written was under way after its answer; NaN before the first.
    """

    def __init__(self) -> None:
        self.submitted = self.written = self.lost = self.refused = 0
        self.lag_seconds = float("nan")
        self._decisions: dict[str, _Decision] = {}
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        """How many are under way: the most that is lost if the process is killed now."""
        return self.submitted - self.written - self.lost - self.refused

    def begin(self, logged: LoggedDecision, *, answered: bool) -> None:
        """A decision is about to be submitted; ``answered`` without waiting for it."""
        now = time.monotonic()
        with self._lock:
            self.submitted += 1
            if not answered:
                return
            self._decisions.setdefault(logged.decision_id, _Decision(logged, now))
            while (first := next(iter(self._decisions.values()))).written is not None and first.written + KEPT_S < now:
                del self._decisions[first.logged.decision_id]

    def end(self, logged: LoggedDecision, future: Future | None, *, answered: bool) -> None:
        """It is on disk, or never will be; ``future`` is None where it could not even be submitted."""
        now = time.monotonic()
        with self._lock:
            decision = self._decisions.get(logged.decision_id)
            if decision is not None and decision.logged is not logged:
                decision = None  # the id was given twice
            if future is not None and future.exception() is None:
                self.written += 1
                if decision is not None:
                    decision.written = now
                    self.lag_seconds = now - decision.submitted
                return
            if answered and future is not None:
                self.lost += 1
            else:
                self.refused += 1
            if decision is not None:
                del self._decisions[logged.decision_id]

    def forget(self, user_id: str) -> None:
        """A user was erased: nothing written of them is read from here any more."""
        with self._lock:
            gone = [
                key
                for key, decision in self._decisions.items()
                if decision.logged.user_id == user_id and decision.written is not None
            ]
            for key in gone:
                del self._decisions[key]

    def find(self, decision_id: str) -> Mapping[str, Any] | None:
        """The row of a decision, if it was answered lately."""
        with self._lock:
            decision = self._decisions.get(decision_id)
        return None if decision is None else decision.logged.row

    def of_session(self, user_id: str, session_id: str) -> list[LoggedDecision]:
        """Those of a session, oldest first."""
        with self._lock:
            found = [decision.logged for decision in self._decisions.values()]
        return [logged for logged in found if logged.session_id == session_id and logged.user_id == user_id]
