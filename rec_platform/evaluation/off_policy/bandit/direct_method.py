"""Direct method: believe a reward model (Beygelzimer and Langford 2009; Dudík et al. 2011, sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.bandit.cross_fit import with_q_hat
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import support_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, EstimateWarning, mean_estimate


@dataclass(frozen=True, slots=True)
class DirectMethod:
    """(1/n) Σ_i Σ_a π_e(a|x_i) q̂(x_i, a).

    Needs ``target_all``, and ``q_hat`` or cross-fits one. Uses no propensities, so deterministic logs are welcome.
    Biased by the model's error, which the terms do not show: its intervals hold only the chance of the contexts, and
    are flagged.
    """

    name: str = "dm"

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        feedback = with_q_hat(feedback)
        ones = np.ones(len(feedback))
        warnings = (
            *support_warnings(feedback.actions, feedback.target_all, feedback.behaviour_all, feedback.action_count),
            *weight_warnings(ones, feedback.groups),
            EstimateWarning("model_error_ignored", "the value is a model's; its error is not in the interval"),
        )
        return mean_estimate(self.name, feedback.expected_q, weights=ones, groups=feedback.groups, warnings=warnings)
