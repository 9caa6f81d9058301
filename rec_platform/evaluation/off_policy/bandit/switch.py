"""SWITCH: importance weighting where weights are small, the model elsewhere (Wang, Agarwal and Dudík 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class SwitchDR:
    """Doubly robust with ŵ = w · 1[w ≤ τ]: the doubly robust form of SWITCH.

    Attributes:
        threshold: τ ≥ 0; 0 is the direct method, infinite is doubly robust.
    """

    threshold: float = 10.0
    name: str = "switch_dr"
    uses_model: bool = True

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise InputError("threshold", f"{self.threshold} is below 0", "10 is a fair start")

    def shrink(self, weights: Float64) -> Float64:
        return np.where(weights <= self.threshold, weights, 0.0)

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
