"""MAGIC: a blend of model and importance weighting, step by step (Thomas and Brunskill 2016, sec. 6).

The j-step return weights importantly up to step j and believes the model afterwards:

    g_j = Σ_{t ≤ j} C_t + Σ_{t ≤ j + 1} V_t,     C_t, V_t: the self-normalised step parts of sequential DR,

so g_{-1} is fitted Q and the last one is weighted DR. The blend x ≥ 0, Σ x = 1 minimises xᵀ (Ω + b bᵀ) x, with Ω the
sampling covariance of the returns and b_j the distance of g_j to a 50 % interval of weighted DR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bootstrap import percentile_bounds
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.estimate import (
    Estimate,
    EstimateWarning,
    Int64,
    ratio_estimate,
    sum_by_group,
)
from rec_platform.evaluation.off_policy.sequential.doubly_robust import step_parts
from rec_platform.evaluation.off_policy.sequential.fitted_q import with_values
from rec_platform.types import Float64

DEGENERATE = 1e-12


@dataclass(frozen=True, slots=True)
class Magic:
    """Σ_j x_j g_j over at most ``returns`` lengths j, spread evenly from -1 to the longest.

    Consistent where weighted DR or the model is. Intervals take the blend as given and hold none of the model's error:
    they are flagged where less than nine tenths of the blend is weighted DR.

    Attributes:
        returns: how many j-step returns to blend, 2 or more.
        replications: bootstrap replications behind b.
        seed: of these.
    """

    returns: int = 10
    replications: int = 500
    seed: int = 0
    name: str = "magic"

    def __post_init__(self) -> None:
        if self.returns < 2:
            raise InputError("returns", f"{self.returns} is below 2", "blend the model and weighted DR at least")

    def estimate(self, feedback: EpisodeFeedback) -> Estimate:
        feedback = with_values(feedback)
        corrections, values = step_parts(feedback)
        parts = np.concatenate([corrections, values], axis=1)
        weights, groups = feedback.prefix_weights, feedback.groups
        sums = np.concatenate([weights, feedback.earlier_weights], axis=1)
        full = ratio_estimate(self.name, parts, sums, weights=weights, groups=groups, warnings=feedback.warnings)
        if not np.isfinite(full.value):
            return full
        longest = corrections.shape[1] - 1
        lengths = np.unique(np.linspace(-1, longest, self.returns).round().astype(np.int64))
        blend, members = self._blend(full, lengths)
        estimate = ratio_estimate(
            self.name, parts * (blend @ members), sums, weights=weights, groups=groups, warnings=feedback.warnings
        )
        if blend[-1] >= 0.9:
            return estimate
        sentence = f"{1 - blend[-1]:.0%} of the blend believes the model at some step; its error is not in the interval"
        return estimate.with_warnings(EstimateWarning("model_error_ignored", sentence))

    def _blend(self, full: Estimate, lengths: Int64) -> tuple[Float64, Float64]:
        """x [J], and which columns [J, 2T] of the full estimate each return sums."""
        assert full.denominators is not None
        steps = np.arange(full.numerators.shape[1] // 2)
        members = np.concatenate(
            [steps <= lengths[:, None], steps <= lengths[:, None] + 1], axis=1, dtype=np.float64, casting="unsafe"
        )
        totals = full.denominators.sum(axis=0)
        ratios = full.numerators.sum(axis=0) / totals
        influence = sum_by_group((full.numerators - ratios * full.denominators) / totals, full.groups) @ members.T
        # the model's value has a column without weights; its spread is that of the first states
        covariance = influence.T @ influence
        lower, upper = percentile_bounds(full, confidence=0.5, replications=self.replications, seed=self.seed)
        returns = members @ ratios
        bias = np.maximum(lower - returns, 0.0) - np.maximum(returns - upper, 0.0)
        return _simplex_minimum(covariance + np.outer(bias, bias)), members


def _simplex_minimum(matrix: Float64) -> Float64:
    """argmin xᵀ A x over x ≥ 0, Σ x = 1, for A positive semidefinite.

    The minimum of xᵀ A x + (Σ x - 1)² over x ≥ 0 lies in the same direction: along a ray the best scale gives
    a / (1 + a), which rises with the ray's a = xᵀ A x at Σ x = 1. That is a non-negative least squares problem.
    """
    scale = np.trace(matrix)
    if scale <= DEGENERATE:
        weights = np.zeros(len(matrix))
        weights[-1] = 1.0
        return weights
    values, vectors = np.linalg.eigh(matrix / scale)
    root = np.sqrt(np.maximum(values, 0.0) + DEGENERATE)[:, None] * vectors.T
    system = np.concatenate([root, np.ones((1, len(matrix)))])
    solution = nnls(system, np.append(np.zeros(len(matrix)), 1.0))[0]
    return solution / solution.sum()
