"""Doubly robust with a self-normalised correction (weighted DR of Thomas and Brunskill 2016 for one step)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.bandit.cross_fit import with_q_hat
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, ratio_estimate


@dataclass(frozen=True, slots=True)
class SelfNormalisedDR:
    """(1/n) Σ_i Σ_a π_e(a|x_i) q̂(x_i, a) + Σ_i w_i (r_i - q̂(x_i, a_i)) / Σ_i w_i.

    Consistent, with a bias of order 1/n, and undefined where all weights are 0.
    """

    name: str = "sndr"

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        feedback = with_q_hat(feedback)
        weights = feedback.weights
        corrections = weights * (feedback.rewards - feedback.shown_q)
        return ratio_estimate(
            self.name,
            np.stack([feedback.expected_q, corrections], axis=1),
            np.stack([np.ones(len(weights)), weights], axis=1),
            weights=weights,
            groups=feedback.groups,
            warnings=(*feedback.warnings, *weight_warnings(weights, feedback.groups)),
        )
