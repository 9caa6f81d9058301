"""CUPED: what was known of a unit before the test is taken out of its metric (Deng, Xu, Kohavi and Walker 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.types import Float64


@dataclass(frozen=True)
class Adjusted:
    """Attributes:
    values: float64 [n] y - θ (x - mean x); units without a covariate keep y.
    theta: θ = cov(x, y) / var(x) over all arms together.
    variance_ratio: variance of ``values`` over that of y, 1 where the covariate says nothing.
    """

    values: Float64
    theta: float
    variance_ratio: float


def cuped(metric: Float64, covariate: Float64) -> Adjusted:
    """Adjust a metric float64 [n] by a covariate float64 [n] of before the test; NaN where there is none.

    The difference of arms stays unbiased, since the covariate cannot depend on the arm.
    """
    known = np.isfinite(covariate)
    x, y = covariate[known], metric[known]
    spread = x.var() if len(x) > 1 else 0.0
    if not spread > 0:
        return Adjusted(metric.copy(), 0.0, 1.0)
    theta = float(((x - x.mean()) * (y - y.mean())).mean() / spread)
    values = metric.astype(np.float64).copy()
    values[known] -= theta * (x - x.mean())
    before = metric.var()
    return Adjusted(values, theta, float(values.var() / before) if before > 0 else 1.0)
