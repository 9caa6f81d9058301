"""Clipped (truncated) importance weighting (Ionides 2008; Bottou et al. 2013, sec. 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.importance import shrunk_estimate
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class ClippedIPS:
    """(1/n) Σ min(w_i, M) r_i.

    Biased towards 0 by E[(w - M)+ r]; Ionides shows M = √n to be asymptotically sound.

    Attributes:
        clip: M > 0; infinite is IPS; None takes √n of the log at hand.
    """

    clip: float | None = None
    name: str = "clipped_ips"
    uses_model: bool = False

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise InputError("clip", f"{self.clip} is not above 0", "10 is a fair start, or leave it for √n")

    def shrink(self, weights: Float64) -> Float64:
        return np.minimum(weights, np.sqrt(len(weights)) if self.clip is None else self.clip)

    def estimate(self, feedback: BanditFeedback) -> Estimate:
        return shrunk_estimate(self, feedback)
