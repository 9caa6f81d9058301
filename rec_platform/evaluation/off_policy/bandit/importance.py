"""What the estimators with an importance weight a decision share: weight, shrink, correct a model or do without."""

from __future__ import annotations

from typing import Protocol

from rec_platform.evaluation.off_policy.bandit.cross_fit import with_q_hat
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import (
    model_share_warnings,
    shrinkage_warnings,
    weight_warnings,
)
from rec_platform.evaluation.off_policy.estimate import Estimate, Estimator, mean_estimate
from rec_platform.types import Float64


class ShrinkingEstimator(Estimator, Protocol):
    """An estimator mean[m + ŵ (r - m_shown)] whose ŵ is a function of w; m is 0, or a model's expectation."""

    @property
    def uses_model(self) -> bool: ...

    def shrink(self, weights: Float64) -> Float64:
        """ŵ [n] of w [n]."""
        ...


def shrunk_estimate(estimator: ShrinkingEstimator, feedback: BanditFeedback) -> Estimate:
    """(1/n) Σ_i [ Σ_a π_e(a|x_i) q̂(x_i, a) + ŵ_i (r_i - q̂(x_i, a_i)) ], without q̂ where the estimator uses none."""
    if estimator.uses_model:
        feedback = with_q_hat(feedback)
    weights = estimator.shrink(feedback.weights)
    residuals = residuals_of(estimator, feedback)
    terms = weights * residuals
    if estimator.uses_model:
        terms = terms + feedback.expected_q
    warnings = (
        *feedback.warnings,
        *weight_warnings(weights, feedback.groups),
        *shrinkage_warnings((feedback.weights - weights) * residuals, terms),
        *(model_share_warnings(feedback.weights, weights) if estimator.uses_model else ()),
    )
    return mean_estimate(estimator.name, terms, weights=weights, groups=feedback.groups, warnings=warnings)


def residuals_of(estimator: ShrinkingEstimator, feedback: BanditFeedback) -> Float64:
    """Float64 [n]: what ŵ multiplies, r - q̂(x, a), or r where the estimator uses no model."""
    return feedback.rewards - feedback.shown_q if estimator.uses_model else feedback.rewards
