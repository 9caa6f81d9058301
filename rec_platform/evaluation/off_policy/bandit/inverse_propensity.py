"""Inverse propensity scoring (Horvitz and Thompson 1952; Precup et al. 2000; Bottou et al. 2013, sec. 4)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class IPS:
    """(1/n) Σ w_i r_i with w = π_e(a|x) / π_b(a|x).

    Unbiased where the behaviour policy can show all that the target does and propensities are exact. Its variance grows
    with the largest weights, and it changes when a constant is added to all rewards.
    """

    name: str = "ips"
    uses_model: bool = False

    def shrink(self, weights: Float64) -> Float64:
        return weights

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
