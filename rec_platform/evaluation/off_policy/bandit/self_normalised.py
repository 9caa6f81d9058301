"""Self-normalised inverse propensity scoring (Swaminathan and Joachims 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, ratio_estimate


@dataclass(frozen=True, slots=True)
class SNIPS:
    """Σ w_i r_i / Σ w_i.

    Consistent, with a bias of order 1/n; stays within the range of rewards and moves with a constant added to them.
    Undefined (NaN, with a warning) where all weights are 0.
    """

    name: str = "snips"

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        weights = feedback.weights
        return ratio_estimate(
            self.name,
            (weights * feedback.rewards)[:, None],
            weights[:, None],
            weights=weights,
            groups=feedback.groups,
            warnings=(*feedback.warnings, *weight_warnings(weights, feedback.groups)),
        )
