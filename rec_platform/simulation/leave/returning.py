"""Coming back: how many days a user stays away after a session.

    p(back after d days) ∝ P (1 - P)^(d - 1),  d = 1 … longest      (KuaiSim's cross-session task, Zhao et al. 2023)
    P = sigmoid(w0 + w1 share of slates answered + w2 log slates of the session)

Fitted by maximum likelihood where the log has sessions, longer absences counted as not back within ``longest`` days;
otherwise P = 0.4 + 0.1 share, KuaiSim's constants.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from rec_platform.simulation.leave.logistic import fit_logistic
from rec_platform.simulation.leave.session_steps import SessionSteps
from rec_platform.types import Float32, Int32

FEWEST_ABSENCES = 50


class SessionsConfig(BaseModel):
    """How many sessions a simulated user has, and what staying away costs."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    per_user: int = Field(default=1, ge=1)
    """An episode is so many sessions; 1 = users do not come back."""
    longest: int = Field(default=10, ge=1)
    """Days of the longest absence."""
    absence_penalty: float = Field(default=0.0, ge=0)
    """Taken from the reward of a session's last slate: this times days away / ``longest``."""


class ReturnModel(BaseModel):
    """Daily probability of coming back."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    constant: float | None = None
    """w0; None = KuaiSim's constants on the probability itself."""
    answered_share: float = 0.1
    log_slates: float = 0.0

    def daily(self, share: Float32, slates: Int32) -> Float32:
        """P, float32 [B], after sessions with this share of answered slates and this length."""
        if self.constant is None:
            daily = np.float32(0.4) + np.float32(self.answered_share) * share
        else:
            logits = self.constant + self.answered_share * share + self.log_slates * np.log(np.maximum(slates, 1))
            daily = expit(logits).astype(np.float32)
        return np.clip(daily, np.float32(0.001), np.float32(0.999))

    def days(self, share: Float32, slates: Int32, uniforms: Float32, longest: int) -> Int32:
        """Days away, int32 [B] from 1 to ``longest``, by inverting the truncated geometric distribution."""
        stay = 1.0 - self.daily(share, slates).astype(np.float64)
        mass = uniforms * (1.0 - stay**longest)
        days = np.ceil(np.log1p(-mass) / np.log(stay))
        return np.clip(days, 1, longest).astype(np.int32)


def fit_return(steps: SessionSteps | None, *, longest: int) -> ReturnModel:
    """Fit to the absences of a log; KuaiSim's constants where it has too few."""
    if steps is None:
        return ReturnModel()
    days, share, slates = steps.absences()
    if len(days) < FEWEST_ABSENCES:
        return ReturnModel()
    waited = np.clip(np.ceil(days), 1, longest).astype(np.float64)
    back = (days <= longest).astype(np.float64)
    columns = np.stack([np.ones(len(days)), share, np.log(slates)], axis=1).astype(np.float64)
    weights = fit_logistic(columns, back, waited)
    return ReturnModel(constant=float(weights[0]), answered_share=float(weights[1]), log_slates=float(weights[2]))
