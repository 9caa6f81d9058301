"""Shrink by the smallest bound of the mean squared error (Su, Dimakopoulou, Krishnamurthy and Dudík 2020, sec. 5).

The squared error is variance + bias², and the bias of shrinking w to ŵ is E[(w - ŵ)(r - q̂)], which the log itself
estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit.cross_fit import with_q_hat
from rec_platform.evaluation.off_policy.bandit.importance import ShrinkingEstimator, residuals_of
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.tuning.choice import Choice, chosen
from rec_platform.types import Float64

BiasBound = Literal["direct", "high_probability"]


def mse_bound(
    candidates: Sequence[ShrinkingEstimator],
    feedback: BanditFeedback,
    *,
    bound: BiasBound = "direct",
    confidence: float = 0.95,
) -> Choice:
    """The candidate with the smallest score standard_error² + bias².

    Args:
        candidates: one estimator with several values of its parameter, or several of them.
        feedback: the log; a model is cross-fitted once where candidates need one and there is none.
        bound: "direct" takes |mean (w - ŵ)(r - q̂)|; "high_probability" adds Bernstein's deviation, with the sample's
            own variance and range, which shrinks less.
        confidence: of the latter.

    Raises:
        InputError: no candidates, or what the estimators raise.
    """
    if not candidates:
        raise InputError("candidates", "is empty", "give at least one estimator")
    if bound not in ("direct", "high_probability"):
        raise InputError("bound", f"'{bound}' is unknown", "use direct or high_probability")
    if any(candidate.uses_model for candidate in candidates):
        feedback = with_q_hat(feedback)
    estimates = [candidate.estimate(feedback) for candidate in candidates]
    scores = []
    for candidate, estimate in zip(candidates, estimates, strict=True):
        removed = (feedback.weights - candidate.shrink(feedback.weights)) * residuals_of(candidate, feedback)
        bias = abs(float(removed.mean()))
        if bound == "high_probability":
            bias += _deviation(removed, 1.0 - confidence)
        scores.append(estimate.standard_error**2 + bias**2)
    best = int(np.argmin(scores))
    return chosen(best, estimates, scores)


def _deviation(values: Float64, delta: float) -> float:
    """√(2 log(2/δ) Var / n) + 2 log(2/δ) max|v| / (3 n)."""
    log = np.log(2.0 / delta)
    return float(np.sqrt(2 * log * values.var() / len(values)) + 2 * log * np.abs(values).max() / (3 * len(values)))
