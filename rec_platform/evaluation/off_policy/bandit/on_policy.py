"""The logged policy's own mean reward: the baseline that a candidate must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate


@dataclass(frozen=True, slots=True)
class OnPolicy:
    """(1/n) Σ r_i, of the behaviour policy, whatever the target. Needs no propensities; unbiased."""

    name: str = "on_policy"

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        ones = np.ones(len(feedback))
        warnings = weight_warnings(ones, feedback.groups)
        return mean_estimate(self.name, feedback.rewards, weights=ones, groups=feedback.groups, warnings=warnings)
