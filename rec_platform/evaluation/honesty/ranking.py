"""Do two places agree which policy is better?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from rec_platform.evaluation.rollout import Estimate, Rollout

CERTAIN = 3.0
"""A difference of more standard errors than this is taken for real."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two rankings of the same policies compared.

    Attributes:
        kendall_tau: τ-b of the mean returns (Kendall 1938, 1945): 1 = the same order, -1 = the opposite one; NaN for
            fewer than two policies or where one place has them all equal.
        winner_before: best mean return in the first place.
        winner_after: best mean return in the second place.
        shortfall: how far the first place's winner stays below the second's winner there, paired by user.
    """

    kendall_tau: float
    winner_before: str
    winner_after: str
    shortfall: Estimate

    @property
    def winner_holds(self) -> bool:
        """The winner stays, or is not below the new one by more than `CERTAIN` standard errors."""
        return self.winner_before == self.winner_after or not self.shortfall.mean > CERTAIN * self.shortfall.stderr

    def to_dict(self) -> dict[str, Any]:
        return {
            "kendall_tau": self.kendall_tau,
            "winner_before": self.winner_before,
            "winner_after": self.winner_after,
            "winner_holds": self.winner_holds,
            "winner_shortfall": self.shortfall.to_dict(),
        }


def winner(rollouts: Mapping[str, Rollout]) -> str:
    """The policy of the highest mean return; of equal ones the first."""
    return max(rollouts, key=lambda name: float(rollouts[name].returns.mean()))


def agreement(before: Mapping[str, Rollout], after: Mapping[str, Rollout]) -> Agreement:
    """Compare rankings of the policies by mean return; both must hold the same policies."""
    names = list(before)
    tau = np.nan
    if len(names) > 1:
        means = [[float(place[name].returns.mean()) for name in names] for place in (before, after)]
        tau = float(stats.kendalltau(*means).statistic)
    first, second = winner(before), winner(after)
    return Agreement(tau, first, second, after[second].above(after[first]))
