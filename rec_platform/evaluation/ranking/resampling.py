"""How sure a mean over users is, and a difference between two policies on the same users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.types import Float64

RESAMPLES = 1_000
CHUNK = 100


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % percentile bootstrap interval over users (Efron 1979)."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two policies on the same users.

    Attributes:
        difference: mean of the first less mean of the second.
        lower, upper: 95 % bootstrap interval of it, users resampled in pairs.
        p_value: two-sided, of a sign-flip permutation test: how often chance alone gives a mean as far from 0.
    """

    difference: float
    lower: float
    upper: float
    p_value: float


def intervals(columns: Float64, seed: int = 0) -> list[Interval]:
    """Intervals of the means of ``columns`` [n, metrics], all from the same resamples of the n users."""
    lower, upper = np.quantile(_resampled_means(columns, seed), [0.025, 0.975], axis=0)
    means = columns.mean(axis=0)
    return [Interval(*map(float, triple)) for triple in zip(means, lower, upper, strict=True)]


def paired(first: Float64, second: Float64, seed: int = 0) -> Difference:
    """How far the mean of ``first`` [n] is from that of ``second`` [n], user by user."""
    gap = (first - second)[:, None]
    interval = intervals(gap, seed)[0]
    rng = np.random.default_rng(seed + 1)
    beyond = 0
    for _ in range(0, RESAMPLES * 10, CHUNK * 10):
        signs = rng.integers(0, 2, size=(CHUNK * 10, len(gap)), dtype=np.int8) * 2 - 1
        beyond += int((np.abs(signs @ gap[:, 0]) >= abs(gap.sum()) - 1e-12).sum())
    return Difference(interval.mean, interval.lower, interval.upper, (beyond + 1) / (RESAMPLES * 10 + 1))


def _resampled_means(columns: Float64, seed: int) -> Float64:
    """[RESAMPLES, metrics]: means over n users drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(columns)
    parts = []
    for _ in range(0, RESAMPLES, CHUNK):
        times = rng.multinomial(n, np.full(n, 1.0 / n), size=CHUNK)
        parts.append(times @ columns / n)
    return np.concatenate(parts)
