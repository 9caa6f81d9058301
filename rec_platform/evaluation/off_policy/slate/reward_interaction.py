"""Reward-interaction importance weighting: each slot by the slots up to it (McInerney et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback


@dataclass(frozen=True, slots=True)
class RewardInteractionIPS:
    """(1/n) Σ_i Σ_j α_j r_ij w_{1:j}, with w_{1:j} the product of the step ratios of slots 1..j.

    Unbiased where a slot's reward does not depend on later slots (a user reads from the top). The paper's estimator is
    the self-normalised one; its further truncation of long prefixes by effective sample size is left out.

    Attributes:
        self_normalised: divide each slot's sum by its weights' instead of n.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "reward_interaction_snips" if self.self_normalised else "reward_interaction_ips"

    def estimate(self, feedback: SlateFeedback) -> Estimate:
        weights = feedback.prefix_weights
        parts = weights * feedback.weighted_rewards
        groups = feedback.groups
        warnings = (*mean_weight_warnings(weights[:, -1]), *weight_warnings(weights, groups))
        if not self.self_normalised:
            return mean_estimate(self.name, parts.sum(axis=1), weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(self.name, parts, weights, weights=weights, groups=groups, warnings=warnings)
