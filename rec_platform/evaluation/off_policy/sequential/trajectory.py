"""Trajectory-wise importance sampling (Precup, Sutton and Singh 2000, sec. 3)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate


@dataclass(frozen=True, slots=True)
class TrajectoryIS:
    """(1/E) Σ_e w_T Σ_t γ^t r_t, with w_T the product of the ratios of all steps.

    Unbiased with exact propensities and full support; its variance grows exponentially with the length.

    Attributes:
        self_normalised: divide by Σ w_T instead of E (weighted importance sampling).
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "trajectory_snis" if self.self_normalised else "trajectory_is"

    def estimate(self, feedback: EpisodeFeedback) -> Estimate:
        weights = feedback.prefix_weights[:, -1]
        terms = weights * feedback.discounted_rewards.sum(axis=1)
        groups, warnings = feedback.groups, feedback.warnings
        if not self.self_normalised:
            return mean_estimate(self.name, terms, weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(
            self.name, terms[:, None], weights[:, None], weights=weights, groups=groups, warnings=warnings
        )
