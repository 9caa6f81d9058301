"""Doubly robust with optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy and Dudík 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class OptimisticShrinkageDR:
    """Doubly robust with ŵ = λ w / (w² + λ), which minimises a bound of the mean squared error weight by weight.

    ŵ is at most √λ / 2, and falls again for the very largest w.

    Attributes:
        strength: λ ≥ 0; 0 is the direct method, infinite is doubly robust.
    """

    strength: float = 100.0
    name: str = "dr_os"
    uses_model: bool = True

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise InputError("strength", f"{self.strength} is below 0", "100 is a fair start")

    def shrink(self, weights: Float64) -> Float64:
        if np.isinf(self.strength):
            return weights
        bottom = weights**2 + self.strength
        return np.divide(self.strength * weights, bottom, out=np.zeros_like(weights), where=bottom > 0)

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
