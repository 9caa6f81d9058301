"""Pseudo-inverse estimator: a slate's reward as an unknown sum of its slots' (Swaminathan et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.diagnostics import GAP, mean_weight_warnings, weight_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, EstimateWarning, mean_estimate, ratio_estimate
from rec_platform.evaluation.off_policy.slate.pairs import indicators
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.types import Float64

RELATIVE_CUT = 1e-9
"""Eigenvalues below this share of the largest count as 0: Γ is singular by construction (each slot's rows sum to 1)."""


@dataclass(frozen=True, slots=True)
class PseudoInverse:
    """(1/n) Σ_i R_i · q(x_i)ᵀ Γ(x_i)† 1_{s_i}: R the slate's reward, q the target's marginals, Γ = E_b[1_s 1_sᵀ].

    Unbiased where E[R | x, s] is a sum over slots of an unknown function of slot, item and context (linearity), and
    the target's slates lie in the span of the behaviour policy's. Weights may be negative.

    With ``behaviour_pairs`` the weights are computed from the exact Γ; this needs ``target_slots``. Without, slots must
    be chosen independently of one another, and then the weight is Σ_j π_j(s_j) / b_j(s_j) - k + 1 from the marginals.

    Attributes:
        independent_slots: the behaviour policy draws slots independently; use marginals.
        self_normalised: divide by the sum of the weights (the paper's wPI).
    """

    independent_slots: bool = False
    self_normalised: bool = False

    @property
    def name(self) -> str:
        return "pseudo_inverse_sn" if self.self_normalised else "pseudo_inverse"

    def estimate(self, feedback: SlateFeedback) -> Estimate:
        if self.independent_slots:
            weights = feedback.marginal_weights.sum(axis=1) - feedback.slots + 1.0
            outside = 0.0
        else:
            weights, outside = _weights_from_pairs(feedback)
        gaps: tuple[EstimateWarning, ...] = ()
        if outside > GAP:
            sentence = f"{outside:.1%} of the target's marginals lie outside what the log's slates span"
            gaps = (EstimateWarning("support_gap", sentence),)
        groups = feedback.groups
        warnings = (*gaps, *mean_weight_warnings(weights), *weight_warnings(weights, groups))
        terms = weights * feedback.weighted_rewards.sum(axis=1)
        if not self.self_normalised:
            return mean_estimate(self.name, terms, weights=weights, groups=groups, warnings=warnings)
        return ratio_estimate(
            self.name, terms[:, None], weights[:, None], weights=weights, groups=groups, warnings=warnings
        )


def _weights_from_pairs(feedback: SlateFeedback) -> tuple[Float64, float]:
    """qᵀ Γ† 1_s, float64 [n], and the mean share of |q| outside Γ's range."""
    pairs = checks.required(feedback.behaviour_pairs, "behaviour_pairs", "the pseudo-inverse")
    slots = checks.required(feedback.target_slots, "target_slots", "the pseudo-inverse")
    candidates = slots.shape[-1]
    size = feedback.slots * candidates
    if pairs.shape[-1] != size:
        raise InputError("behaviour_pairs", f"is {pairs.shape[-1]} wide", f"must be k times M = {size}")
    checks.integers("items", feedback.items, feedback.items.shape, upper=candidates)
    rows = feedback.pair_rows
    assert rows is not None
    target = np.broadcast_to(slots.reshape(-1, size), (len(feedback), size))
    shown = indicators(feedback.items, candidates)
    diagonals = np.einsum("pdd->pd", pairs)
    feedback.require_chance((shown * diagonals[rows]).sum(axis=1), (shown * target).sum(axis=1))
    inverses = np.linalg.pinv(pairs, rcond=RELATIVE_CUT, hermitian=True)
    weights, outside = np.empty(len(feedback)), 0.0
    for number, (table, inverse) in enumerate(zip(pairs, inverses, strict=True)):
        mine = rows == number if len(pairs) > 1 else slice(None)
        solved = target[mine] @ inverse
        weights[mine] = (solved * shown[mine]).sum(axis=1)
        outside += float(np.abs(target[mine] - solved @ table).sum())
    return weights, outside / (len(feedback) * feedback.slots)
