"""Independent importance weighting: each slot by its own marginals (Li et al. 2018, the item-position click model)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback


@dataclass(frozen=True, slots=True)
class IndependentIPS:
    """(1/n) Σ_i Σ_j α_j r_ij π_e(s_ij in slot j | x_i) / π_b(s_ij in slot j | x_i).

    Unbiased where a slot's reward depends on its own item alone. Needs marginals of both policies; for policies that
    are known only by steps they must be computed or enumerated first, steps in their place are wrong.

    Attributes:
        self_normalised: divide each slot's sum by its weights' instead of n.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "independent_snips" if self.self_normalised else "independent_ips"

    def estimate(self, feedback: SlateFeedback) -> Estimate:
        weights = feedback.marginal_weights
        parts = weights * feedback.weighted_rewards
        groups = feedback.groups
        slots = [warning for column in weights.T for warning in mean_weight_warnings(column)]
        warnings = (*slots[:1], *weight_warnings(weights, groups))
        if not self.self_normalised:
            return mean_estimate(self.name, parts.sum(axis=1), weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(self.name, parts, weights, weights=weights, groups=groups, warnings=warnings)
