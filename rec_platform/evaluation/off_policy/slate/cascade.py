"""Cascade doubly robust: prefix weights that correct a model slot by slot (Kiyohara et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.slate.cascade_model import cross_fit_cascade
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback


@dataclass(frozen=True, slots=True)
class CascadeDR:
    """(1/n) Σ_i Σ_j [ w_{1:j} (α_j r_ij - q̂_ij) + w_{1:j-1} v̂_ij ].

    q̂_ij estimates the reward of slot j and later given slots 1..j, v̂_ij its mean under the target given 1..j-1.
    Unbiased where a slot's reward does not depend on later slots, whatever q̂, if v̂ is q̂'s mean and neither saw the
    slate's own reward. Needs steps of both policies, and q̂ with v̂, or ``target_step_tables`` to fit them.

    Attributes:
        self_normalised: divide each slot's sums by its weights' instead of n.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "cascade_sndr" if self.self_normalised else "cascade_dr"

    def estimate(self, feedback: SlateFeedback) -> Estimate:
        if feedback.q_hat is None and feedback.v_hat is None:
            feedback = cross_fit_cascade(feedback)
        q_hat = checks.required(feedback.q_hat, "q_hat", "cascade-DR")
        v_hat = checks.required(feedback.v_hat, "v_hat", "cascade-DR")
        weights = feedback.prefix_weights
        before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
        corrections, values = weights * (feedback.weighted_rewards - q_hat), before * v_hat
        groups = feedback.groups
        warnings = (*mean_weight_warnings(weights[:, -1]), *weight_warnings(weights, groups))
        if not self.self_normalised:
            terms = (corrections + values).sum(axis=1)
            return mean_estimate(self.name, terms, weights=weights, groups=groups, warnings=warnings)
        numerators = np.concatenate([corrections, values], axis=1)
        denominators = np.concatenate([weights, before], axis=1)
        return ratio_estimate(self.name, numerators, denominators, weights=weights, groups=groups, warnings=warnings)
