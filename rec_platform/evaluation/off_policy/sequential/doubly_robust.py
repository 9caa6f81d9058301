"""Doubly robust evaluation of episodes (Jiang and Li 2016; weighted: Thomas and Brunskill 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.sequential.fitted_q import with_values
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class SequentialDR:
    """(1/E) Σ_e Σ_t γ^t [ w_t (r_t - q̂(s_t, a_t)) + w_{t-1} v̂(s_t) ], Jiang and Li's recursion written out.

    Unbiased with exact propensities and full support, whatever q̂, where v̂ is q̂'s mean under the target and neither was
    fitted on the episode. Needs both, or states (or features), actions and ``target_all`` to cross-fit them.

    Attributes:
        self_normalised: divide each step's sums by Σ_e w_t and Σ_e w_{t-1} instead of E.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "sequential_sndr" if self.self_normalised else "sequential_dr"

    def estimate(self, feedback: EpisodeFeedback) -> Estimate:
        feedback = with_values(feedback)
        corrections, values = step_parts(feedback)
        weights, groups, warnings = feedback.prefix_weights, feedback.groups, feedback.warnings
        if not self.self_normalised:
            terms = (corrections + values).sum(axis=1)
            return mean_estimate(self.name, terms, weights=weights, groups=groups, warnings=warnings)
        numerators = np.concatenate([corrections, values], axis=1)
        denominators = np.concatenate([weights, feedback.earlier_weights], axis=1)
        return ratio_estimate(self.name, numerators, denominators, weights=weights, groups=groups, warnings=warnings)


def step_parts(feedback: EpisodeFeedback) -> tuple[Float64, Float64]:
    """γ^t w_t (r_t - q̂_t) and γ^t w_{t-1} v̂_t, float64 [E, T] each, 0 after the end."""
    assert feedback.q_hat is not None
    assert feedback.v_hat is not None
    residuals = feedback.padded(feedback.rewards - feedback.q_hat)
    corrections = feedback.discounts * feedback.prefix_weights * residuals
    return corrections, feedback.discounts * feedback.earlier_weights * feedback.padded(feedback.v_hat)
