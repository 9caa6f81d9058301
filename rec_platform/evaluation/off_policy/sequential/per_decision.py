"""Per-decision importance sampling (Precup, Sutton and Singh 2000, sec. 4)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate


@dataclass(frozen=True, slots=True)
class PerDecisionIS:
    """(1/E) Σ_e Σ_t γ^t w_t r_t: a reward is weighted by the steps up to its own.

    Unbiased with exact propensities and full support. Episodes that ended keep their last weight, so that a
    self-normalised step divides by the weights of all episodes (Thomas and Brunskill 2016).

    Attributes:
        self_normalised: divide each step's sum by Σ_e w_t instead of E.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "per_decision_snis" if self.self_normalised else "per_decision_is"

    def estimate(self, feedback: EpisodeFeedback) -> Estimate:
        weights = feedback.prefix_weights
        parts = weights * feedback.discounted_rewards
        groups, warnings = feedback.groups, feedback.warnings
        if not self.self_normalised:
            return mean_estimate(self.name, parts.sum(axis=1), weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(self.name, parts, weights, weights=weights, groups=groups, warnings=warnings)
