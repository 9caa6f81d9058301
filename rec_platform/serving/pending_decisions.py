"""Decisions that were answered and are not on disk yet: how many, for how long, and how many never got there.

With ``decision_log: async`` an answer does not wait for the disk. What a replica loses when it is killed is what waits
here; what its database refuses is counted as lost. Until a decision can be read from the database it is read from here,
so that the next request of a session knows the one before it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from rec_platform.serving.user_changes import user_key

KEPT_S = 1.0
"""How long a decision can be read from here after it was written: a reader's transaction may have begun before."""


@dataclass(slots=True)
class LoggedDecision:
    """A decision on its way into the log.

    Attributes:
        decision_id, user_id, session_id, created_at: as in its row.
        shown: to the user; false for what a model would have done.
        make: makes the row; called once, by whoever reads it first: the thread that writes, as a rule.
    """

    decision_id: str
    user_id: str
    session_id: str | None
    created_at: int
    make: Callable[[], Mapping[str, Any]]
    made: Mapping[str, Any] | None = None
    answered: bool = False
    shown: bool = True

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
        self._counting = threading.Lock()  # held for one addition: who answers never waits for who writes

    @property
    def pending(self) -> int:
        """How many are under way: the most that is lost if the process is killed now."""
        return self.submitted - self.written - self.lost - self.refused

    def begin(self, decision: LoggedDecision, *, answered: bool) -> None:
        """A decision is about to be submitted; ``answered`` without waiting for it."""
        with self._counting:
            self.submitted += 1
        if answered:
            decision.answered = True
            self._decisions.setdefault(decision.decision_id, _Decision(decision, time.monotonic()))

    def refuse(self, decision: LoggedDecision) -> None:
        """It could not even be submitted, and the caller is told so."""
        with self._lock:
            self.refused += 1
            self._of(decision, forget=True)

    def end(self, decisions: Sequence[LoggedDecision], error: BaseException | None) -> None:
        """They are on disk, or never will be."""
        now = time.monotonic()
        with self._lock:
            for decision in decisions:
                kept = self._of(decision, forget=error is not None)
                if error is None:
                    self.written += 1
                    if kept is not None:
                        kept.written = now
                        self.lag_seconds = now - kept.submitted
                elif decision.answered:
                    self.lost += 1
                else:
                    self.refused += 1
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Forget what was written long enough ago; the oldest are first."""
        old = []
        for key, kept in list(self._decisions.items()):
            if kept.written is None or kept.written + KEPT_S >= now:
                break
            old.append(key)
        for key in old:
            self._decisions.pop(key, None)

    def _of(self, decision: LoggedDecision, *, forget: bool) -> _Decision | None:
        """What is kept of this very decision: another one may have been given its id."""
        kept = self._decisions.get(decision.decision_id)
        if kept is None or kept.logged is not decision:
            return None
        if forget:
            del self._decisions[decision.decision_id]
        return kept

    def forget(self, user_id: str) -> None:
        """A user was erased: nothing written of them is read from here any more."""
        self.forget_keys({user_key(user_id)})

    def forget_keys(self, keys: Set[str]) -> None:
        """The same of users told by `user_key`: what was written of them can be read in the database, or is gone."""
        with self._lock:
            gone = [
                decision_id
                for decision_id, decision in self._decisions.items()
                if decision.written is not None and user_key(decision.logged.user_id) in keys
            ]
            for decision_id in gone:
                del self._decisions[decision_id]

    def find(self, decision_id: str) -> Mapping[str, Any] | None:
        """The row of a decision, if it was answered lately."""
        with self._lock:
            decision = self._decisions.get(decision_id)
        return None if decision is None else decision.logged.row

    def of_session(self, user_id: str, session_id: str) -> list[LoggedDecision]:
        """Those that were shown in a session, oldest first."""
        with self._lock:
            found = [decision.logged for decision in self._decisions.values()]
        return [
            logged for logged in found if logged.session_id == session_id and logged.user_id == user_id and logged.shown
        ]
