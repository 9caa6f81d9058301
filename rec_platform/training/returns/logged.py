"""The decisions of a log as rows that learners draw from.

Memory is that of one observation a decision, built once: a history window of L items and responses (8 L bytes), one
bit a catalogue item for what was available, and a few numbers. The observation after a decision is that of another
row, so it is an index here and gathered for the rows that are drawn.

    return       R_t = Σ_{i<m} γ^i r_{t+i},  bootstrapped by γ^m V(s_{t+m}),  m = min(n, steps to the session's end)
    to go        G_t = Σ_i γ^i r_{t+i} to the last decision that is known

Of a truncated decision it is not known what came next: an n-step return ends *before* it, with the value of the
observation at which it was made, and a return to go that would have to pass it is marked as not complete.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns as RLlibColumns

from rec_platform.data.logged_decisions import LoggedDecisions
from rec_platform.errors import InputError
from rec_platform.training.engine.columns import AVAILABLE, FIELDS, NEXT, Columns, to_columns
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN
from rec_platform.training.settings.offline import LearnsFrom
from rec_platform.types import Bool, Float32

ACTIONS = RLlibColumns.ACTIONS
TO_GO = "return_to_go"
LOG_PROPENSITY = "log_propensity"

CELLS = 5_000_000
"""Items times decisions that are looked at at once while observations are packed: bounds the memory of building."""


@dataclass(frozen=True, eq=False)
class LoggedRows:
    """D decisions as columns; read-only, so that copies of a configuration share it.

    Attributes:
        columns: observation (candidates as packed bits), ``actions`` int64 [D, k], `CHOSEN` int64 [D], `RETURN`,
            `DISCOUNT` (0 where nothing came after) and `TO_GO` float32 [D], and `LOG_PROPENSITY` float32 [D, k], NaN
            where unknown.
        following: int64 [D] the row whose observation the return is bootstrapped by; any row where `DISCOUNT` is 0.
        drawn: int64 [n] the rows that may be drawn.
        with_next: rows carry the observation and the slate of ``following`` in columns ``next_…``.
    """

    columns: Columns
    following: NDArray[np.int64]
    drawn: NDArray[np.int64]
    with_next: bool

    @staticmethod
    def build(log: LoggedDecisions, *, learns_from: LearnsFrom, n: int = 1, gamma: float = 1.0) -> LoggedRows:
        """The rows of ``log`` for one kind of learner.

        Args:
            learns_from: ``decisions``: all; ``whole_sessions``: those whose return to go is complete;
                ``transitions``: those of which it is known what came next, be it the session's end.
            n, gamma: steps and discount of the returns.

        Raises:
            InputError: there is no such decision.
        """
        returns, discount, following = n_step_returns(log, n, gamma)
        to_go, complete = returns_to_go(log, gamma)
        kept = {"decisions": np.ones(len(log), dtype=bool), "whole_sessions": complete, "transitions": ~log.truncated}
        drawn = np.flatnonzero(kept[learns_from])
        if not len(drawn):
            problem = f"of none of the {len(log)} decisions is it known how the session went on"
            raise InputError("data.dataset", problem, "ingest a longer log, or use the algorithm bc")
        columns = _observations(log) | {
            ACTIONS: log.positions.astype(np.int64),
            CHOSEN: log.chosen.astype(np.int64),
            RETURN: returns,
            DISCOUNT: discount,
            TO_GO: to_go,
            LOG_PROPENSITY: np.log(log.propensities).astype(np.float32),
        }
        return LoggedRows(columns, following, drawn, learns_from == "transitions")

    def draw(self, count: int, rng: np.random.Generator) -> Columns:
        """``count`` rows, uniformly and with replacement."""
        rows = self.drawn[rng.integers(0, len(self.drawn), count)]
        batch = {name: column[rows] for name, column in self.columns.items()}
        if self.with_next:
            after = self.following[rows]
            batch |= {NEXT + name: self.columns[name][after] for name in (*FIELDS, AVAILABLE, ACTIONS)}
        return batch

    def __deepcopy__(self, memo: dict[int, object]) -> LoggedRows:
        return self


def n_step_returns(log: LoggedDecisions, n: int, gamma: float) -> tuple[Float32, Float32, NDArray[np.int64]]:
    """Returns float32 [D], bootstrap discounts float32 [D] (0 after a termination) and bootstrap rows int64 [D].

    A decision that is truncated itself has the return 0 and bootstraps by itself: nothing to learn from.
    """
    returns, discount = np.zeros(len(log)), np.ones(len(log))
    row = np.arange(len(log))
    for _ in range(n):
        ends, known = log.terminated[row] & (discount > 0), ~log.truncated[row]
        returns += known * discount * log.reward[row]
        discount = np.where(ends, 0.0, np.where(known, discount * gamma, discount))
        row = np.where(known & ~ends & (log.following[row] >= 0), log.following[row], row)
    return returns.astype(np.float32), discount.astype(np.float32), row


def returns_to_go(log: LoggedDecisions, gamma: float) -> tuple[Float32, Bool]:
    """Returns to go float32 [D], and bool [D] whether the session is known to its end."""
    goes_on, after = log.following >= 0, np.maximum(log.following, 0)
    to_go, complete = log.reward.astype(np.float64), log.terminated.copy()
    while True:  # as many rounds as the longest session has decisions
        further = log.reward + gamma * np.where(goes_on, to_go[after], 0.0)
        whole = log.terminated | (goes_on & complete[after])
        if (further == to_go).all() and (whole == complete).all():
            return to_go.astype(np.float32), complete
        to_go, complete = further, whole


def _observations(log: LoggedDecisions) -> Columns:
    """The observation columns of all decisions, packed a part at a time."""
    size = max(CELLS // log.num_items, 1)
    parts = [
        to_columns(log.observation(np.arange(start, min(start + size, len(log)))), full_catalogue=True)
        for start in range(0, len(log), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
