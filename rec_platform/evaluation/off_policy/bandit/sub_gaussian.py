"""Sub-Gaussian importance weighting: the power mean with exponent -1 (Metelli, Russo and Restelli 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class SubGaussianIPS:
    """(1/n) Σ ŵ_i r_i with ŵ = w / (1 - λ + λ w), the power mean of exponent -1 of w and 1.

    Weights are bounded by 1/λ and, unlike clipped ones, smooth. Errors have sub-Gaussian tails where λ falls as 1/√n.
    With ``uses_model`` the same weights correct a reward model.

    Attributes:
        strength: λ in [0, 1]; 0 is IPS, 1 ignores the weights; None takes √(1 / (n · mean w²)), capped at 1.
    """

    strength: float | None = None
    name: str = "sub_gaussian_ips"
    uses_model: bool = False

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise InputError("strength", f"{self.strength} is not in 0 to 1", "0.01 is a fair start")

    def shrink(self, weights: Float64) -> Float64:
        strength = self.strength
        if strength is None:
            strength = min(1.0, 1.0 / np.sqrt(max(float((weights**2).sum()), 1e-300)))
        bottom = 1.0 - strength + strength * weights
        return np.divide(weights, bottom, out=np.zeros_like(weights), where=bottom > 0)

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
