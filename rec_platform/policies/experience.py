"""What learners learn from: requests, what was shown, what came of it and how it went on.

From a log there are two ways. Its decisions say what was shown and passed over. Without them there are only responses:
what users took, of which everything else that was shown is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.logged_decisions import CUT
from rec_platform.data.request_context import request_context
from rec_platform.errors import InputError
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.rewards import RewardRule
from rec_platform.types import Bool, Float64, Int32, Observation

LogPart = Literal["auto", "decisions", "responses", "nothing"]

CHUNK = 4_096
"""Rows that are learned from at once."""


@dataclass(frozen=True)
class Experience:
    """B requests, oldest first.

    Attributes:
        observation: B rows.
        items: int32 [B] or [B, k] catalogue indices shown; -1 = nothing.
        rewards: float64, of the same shape; NaN where it is not known what came of the item.
        slots: int64, of the same shape; None: column j is slot j.
        next_observation: the user's next request; None where only this one counts.
        next_items: int32 [B, k] shown there, -1 = not known; None: of nobody.
        next_available: bool [B, N] what could be shown there; None: everything.
        follows: bool [B] whether there is a next request; None: all have one.
        terminated: bool [B] the session ended: there is no future to value. What neither follows nor ended was cut.
    """

    observation: Observation
    items: Int32
    rewards: Float64
    slots: NDArray[np.int64] | None = None
    next_observation: Observation | None = None
    next_items: Int32 | None = None
    next_available: Bool | None = None
    follows: Bool | None = None
    terminated: Bool | None = None


def of_log(
    log: FitLog, rewards: RewardRule, context_names: Sequence[str], part: LogPart = "auto"
) -> Iterator[Experience]:
    """A log in order of time, `CHUNK` rows at once. Observations show user features and the request's context.

    Args:
        part: ``decisions`` or ``responses``; ``auto`` takes decisions where the log has some, else responses where some
            are negative, else nothing: from positive responses alone all items that anyone took are equally good.

    Raises:
        InputError: decisions are asked for and the log has none.
    """
    if part == "auto":
        part = "responses" if (log.histories.feedback < 0).any() else "nothing"
        part = "decisions" if log.exposures is not None else part
    if part == "nothing":
        return
    if part == "decisions":
        rows = _decisions(log, rewards)
    else:
        rows = _responses(log, rewards)
    order = np.argsort(rows.timestamps, kind="stable")
    for start in range(0, len(order), CHUNK):
        yield rows.experience(log, context_names, order[start : start + CHUNK])


@dataclass(frozen=True)
class _Rows:
    """n rows sorted by user and time; ``following`` is the row of the next request, -1 = none."""

    users: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    items: Int32
    rewards: Float64
    following: NDArray[np.int64]
    terminated: Bool

    def experience(self, log: FitLog, context_names: Sequence[str], rows: NDArray[np.int64]) -> Experience:
        following = self.following[rows]
        return Experience(
            observation=self._observation(log, context_names, rows),
            items=self.items[rows],
            rewards=self.rewards[rows],
            next_observation=self._observation(log, context_names, np.maximum(following, 0)),
            next_items=self.items[np.maximum(following, 0)],
            follows=following >= 0,
            terminated=self.terminated[rows],
        )

    def _observation(self, log: FitLog, context_names: Sequence[str], rows: NDArray[np.int64]) -> Observation:
        users = self.users[rows]
        ids = [log.histories.user_ids[user] for user in users]
        return Observation(
            user_features=log.user_features[users],
            history=np.full((len(rows), 0), -1, np.int32),
            history_feedback=np.zeros((len(rows), 0), np.float32),
            context=request_context(context_names, self.timestamps[rows], ids),
            candidates=self.items[rows],
        )


def _decisions(log: FitLog, rewards: RewardRule) -> _Rows:
    shown = log.exposures
    if shown is None:
        raise InputError("algorithm.log", "the log has no decisions", "use responses, or nothing")
    if shown.channels:
        reward = rewards.of_responses(shown.rewards, shown.channels)
    else:
        reward = np.where(np.arange(shown.items.shape[1]) == shown.chosen[:, None], rewards.positive, rewards.ignored)
    reward = np.where(shown.items >= 0, reward, np.nan)
    return _linked(shown.users, shown.timestamps, shown.items, reward, shown.sessions)


def _responses(log: FitLog, rewards: RewardRule) -> _Rows:
    events = log.histories
    owner = events.user_of_event
    sessions = events.sessions
    if sessions is None:  # a user who is silent for longer than `CUT` begins anew
        begins = np.ones(len(owner), dtype=np.int64)
        begins[1:] = (np.diff(owner) != 0) | (np.diff(events.timestamps) > CUT)
        sessions = np.cumsum(begins)
    reward = rewards.of_histories(events)[:, None]
    return _linked(owner, events.timestamps, events.items[:, None].astype(np.int32), reward, sessions)


def _linked(
    users: NDArray[np.int64], timestamps: NDArray[np.int64], items: Int32, rewards: Float64, sessions: NDArray[np.int64]
) -> _Rows:
    """Each row with the next one of its session; the last ended it, unless the log may have ended before it did."""
    following = np.full(len(users), -1, dtype=np.int64)
    same = (np.diff(users) == 0) & (np.diff(sessions) == 0)
    following[:-1][same] = np.flatnonzero(same) + 1
    cut = timestamps > timestamps.max(initial=0) - CUT
    return _Rows(users, timestamps, items, rewards, following, (following < 0) & ~cut)
