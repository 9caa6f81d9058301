"""Doubly robust: a model, corrected by importance-weighted residuals (Dudík, Langford and Li 2011, sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class DoublyRobust:
    """(1/n) Σ_i [ Σ_a π_e(a|x_i) q̂(x_i, a) + w_i (r_i - q̂(x_i, a_i)) ].

    Unbiased where propensities are exact and the support is full, whatever q̂, so long as q̂ was not fitted on the
    row's own reward. Needs ``target_all``, and ``q_hat`` or cross-fits one.
    """

    name: str = "dr"
    uses_model: bool = True

    def shrink(self, weights: Float64) -> Float64:
        return weights

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
