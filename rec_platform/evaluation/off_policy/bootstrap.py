"""Bootstrap replications of estimates, cheap because an estimate is kept as sums.

A replication draws G units with replacement; how often each was drawn is a multinomial count (Efron 1979), and the
value of the replication is that of the counted sums, denominators included. So 1,000 replications are one matrix
product, and several estimates of the same log share the draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.estimate import Estimate, sum_by_group
from rec_platform.types import Float64

DRAWS_AT_ONCE = 1 << 17
"""So many counters stay in a core's cache."""

COUNTS_AT_ONCE = 1 << 21

MOST_COLUMNS = 16
"""Numerators and denominators up to which each replication's standard error is linearised anew."""


@dataclass(frozen=True, slots=True)
class Replications:
    """Of K estimates, all from the same draws.

    Attributes:
        values: float64 [R, K]; NaN where a replication has no weight at all.
        standard_errors: float64 [R, K] of each replication, linearised at its own ratios; estimates of many columns
            (long episodes, self-normalised) take the terms of the whole log instead.
    """

    values: Float64
    standard_errors: Float64


def replicate(estimates: Sequence[Estimate], *, replications: int = 1000, seed: int = 0) -> Replications:
    """``replications`` values of each estimate.

    Raises:
        InputError: the estimates are not of the same units, or fewer than two replications are asked for.
    """
    if replications < 2:
        raise InputError("replications", f"{replications} is below 2", "1000 is usual")
    check_same_units(estimates)
    columns = [_columns(estimate) for estimate in estimates]
    ends = np.cumsum([part.shape[1] for part in columns])
    stacked = np.concatenate(columns, axis=1)
    units = len(stacked)
    sums = np.concatenate([counts @ stacked for counts in multinomial_counts(units, replications, seed)])
    parts = np.split(sums, ends[:-1], axis=1)
    pairs = [_values(estimate, part, units) for estimate, part in zip(estimates, parts, strict=True)]
    return Replications(np.stack([pair[0] for pair in pairs], axis=1), np.stack([pair[1] for pair in pairs], axis=1))


def percentile_bounds(
    estimate: Estimate, *, confidence: float, replications: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the replications that are defined."""
    values = replicate([estimate], replications=replications, seed=seed).values[:, 0]
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    lower, upper = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lower), float(upper)


def check_same_units(estimates: Sequence[Estimate]) -> None:
    """Raise `InputError` unless all estimates have the same samples in the same groups."""
    if not estimates:
        raise InputError("estimates", "is empty", "give at least one")
    first = estimates[0]
    for other in estimates[1:]:
        same = len(other.terms) == len(first.terms) and (
            (first.groups is None and other.groups is None)
            or (first.groups is not None and other.groups is not None and np.array_equal(first.groups, other.groups))
        )
        if not same:
            raise InputError("estimates", f"{other.name} is of other units than {first.name}", "use one log for all")


def multinomial_counts(units: int, replications: int, seed: int) -> Iterator[Float64]:
    """How often each unit was drawn, float64 [rows, units] in blocks that add up to all replications."""
    rng = np.random.default_rng(seed)
    block = max(1, min(replications, COUNTS_AT_ONCE // units))
    at_once = max(1, DRAWS_AT_ONCE // units)
    for start in range(0, replications, block):
        counts = np.empty((min(block, replications - start), units))
        for row in range(0, len(counts), at_once):
            rows = min(at_once, len(counts) - row)
            draws = rng.integers(units, size=(rows, units))
            draws += np.arange(rows)[:, None] * units
            counts[row : row + rows] = np.bincount(draws.ravel(), minlength=rows * units).reshape(rows, units)
        yield counts


def _sums(estimate: Estimate) -> tuple[Float64, Float64]:
    """N and D of each unit, float64 [G, J]; D of a plain mean is the unit's size [G, 1]."""
    numerators = sum_by_group(estimate.numerators, estimate.groups)
    if estimate.denominators is not None:
        return numerators, sum_by_group(estimate.denominators, estimate.groups)
    sizes = np.ones(len(numerators)) if estimate.groups is None else np.bincount(estimate.groups).astype(np.float64)
    return numerators, sizes[:, None]


def _columns(estimate: Estimate) -> Float64:
    """What is summed for one estimate, float64 [G, ·]: N, D, and products of them (or deviations) for the spread."""
    both = np.concatenate(_sums(estimate), axis=1)
    width = both.shape[1]
    if width > MOST_COLUMNS:
        deviations = estimate.deviations[:, None]
        return np.concatenate([both, deviations, deviations**2], axis=1)
    first, second = np.triu_indices(width)
    return np.concatenate([both, both[:, first] * both[:, second]], axis=1)


def _values(estimate: Estimate, sums: Float64, units: int) -> tuple[Float64, Float64]:
    """Values and standard errors [R] from the counted sums [R, ·]."""
    count = estimate.numerators.shape[1]
    width = 2 * count if estimate.denominators is not None else count + 1
    top, bottom, rest = sums[:, :count], sums[:, count:width], sums[:, width:]
    undefined = (bottom == 0).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = top / bottom
        values = np.where(undefined, np.nan, ratios.sum(axis=1))
        if width > MOST_COLUMNS:
            variances = rest[:, 1] - rest[:, 0] ** 2 / units
        else:
            # Σ c z² with z = Σ_j (N_j - R_j D_j) / ΣD_j, a quadratic form in the counted products of columns
            slopes = np.broadcast_to(1.0 / bottom, top.shape)
            coefficients = np.concatenate([slopes, -ratios / bottom], axis=1)
            first, second = np.triu_indices(width)
            twice = np.where(first == second, 1.0, 2.0)
            variances = (rest * twice * coefficients[:, first] * coefficients[:, second]).sum(axis=1)
    errors = np.sqrt(np.maximum(variances, 0.0) * units / max(units - 1, 1))
    return values, np.where(undefined, np.nan, errors)
