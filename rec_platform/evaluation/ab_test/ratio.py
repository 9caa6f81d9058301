"""Metrics per decision where users were randomised: a ratio of sums over users, by the delta method.

A user's decisions hang together, so their number is not the number of independent things. With N_i and D_i of user i
the metric of an arm is R = Σ N_i / Σ D_i, and

    L_i = R + (N_i - R D_i) / mean(D)

has mean R and, to first order, the variance of R over users (Deng, Knoblich and Lu 2018, section 3; Budylin et al.
2018): what holds for the mean of independent users is then applied to L.
"""

from __future__ import annotations

import numpy as np

from rec_platform.types import Float64


def linearised(numerators: Float64, denominators: Float64) -> Float64:
    """L float64 [n] of one arm's N and D float64 [n]; NaN where Σ D is 0: the ratio is undefined."""
    total = denominators.sum()
    if not total > 0:
        return np.full(len(numerators), np.nan)
    ratio = numerators.sum() / total
    return np.asarray(ratio + (numerators - ratio * denominators) * (len(denominators) / total))
