"""Standard importance weighting of whole slates: unbiased, of enormous variance (see Swaminathan et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.evaluation.off_policy.diagnostics import mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback


@dataclass(frozen=True, slots=True)
class SlateIPS:
    """(1/n) Σ_i [π_e(s_i|x_i) / π_b(s_i|x_i)] Σ_j α_j r_ij.

    Assumes nothing of how slots act on one another. Needs steps or joint probabilities of both policies.

    Attributes:
        self_normalised: divide by the sum of the weights instead of n.
    """

    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "slate_snips" if self.self_normalised else "slate_ips"

    def estimate(self, feedback: SlateFeedback) -> Estimate:
        weights = feedback.joint_weights
        terms = weights * feedback.weighted_rewards.sum(axis=1)
        warnings = (*mean_weight_warnings(weights), *weight_warnings(weights, feedback.groups))
        groups = feedback.groups
        if not self.self_normalised:
            return mean_estimate(self.name, terms, weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(
            self.name, terms[:, None], weights[:, None], weights=weights, groups=groups, warnings=warnings
        )
