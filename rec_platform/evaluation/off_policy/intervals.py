"""How sure an estimate is: intervals by bootstrap, by normal theory, and by concentration inequalities.

| method               | holds                                          | needs                                     |
|----------------------|------------------------------------------------|-------------------------------------------|
| bootstrap            | approximately, for many units and little skew  | nothing                                   |
| bootstrap_t          | approximately, for many units                  | nothing                                   |
| student_t            | approximately, for many units and little skew  | nothing                                   |
| hoeffding            | always, for any number of units; wide          | a plain mean, and the range of its terms  |
| empirical_bernstein  | always; narrower where the variance is small   | a plain mean, and the range of its terms  |

All treat a group as one unit. None contains the bias of shrunk weights nor a reward model's error: see the warnings.
Percentiles and Student's t carry a warning of their own where terms are too skewed for the number of units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from rec_platform.errors import InputError, did_you_mean
from rec_platform.evaluation.off_policy.bootstrap import Replications, replicate
from rec_platform.evaluation.off_policy.diagnostics import skewness_warnings
from rec_platform.evaluation.off_policy.estimate import Estimate, EstimateWarning, sum_by_group, trustworthy
from rec_platform.types import Float64

Method = Literal["bootstrap", "bootstrap_t", "student_t", "hoeffding", "empirical_bernstein"]
METHODS: tuple[Method, ...] = ("bootstrap", "bootstrap_t", "student_t", "hoeffding", "empirical_bernstein")
RESAMPLING = ("bootstrap", "bootstrap_t")
FIRST_ORDER = ("bootstrap", "student_t")
"""Skew costs each of their tails coverage of the order 1/√n."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Two-sided, around an estimate.

    Attributes:
        value: the estimate's.
        lower, upper: NaN where the value is undefined or there is only one unit.
        method, confidence: as asked for.
        reliable: False where a warning says that the interval may hold the truth less often than it says.
        warnings: the estimate's, and the interval's own.
    """

    value: float
    lower: float
    upper: float
    method: Method
    confidence: float
    reliable: bool
    warnings: tuple[EstimateWarning, ...]


def interval(
    estimate: Estimate,
    method: Method = "bootstrap",
    confidence: float = 0.95,
    *,
    term_range: tuple[float, float] | None = None,
    replications: int = 1000,
    seed: int = 0,
) -> Interval:
    """An interval around one estimate.

    Args:
        estimate: see `Estimate`.
        method: see the table above.
        confidence: in (0, 1).
        term_range: least and largest possible *term* (reward times largest possible weight), known beforehand: the
            sample's own range is not it.
        replications, seed: of the bootstrap.

    Raises:
        InputError: an unknown method, a confidence outside (0, 1); for the concentration inequalities, a ratio
            estimator, no range, terms outside it, or groups of unequal size.
    """
    if method in RESAMPLING:
        return bootstrap_intervals([estimate], method, confidence, replications=replications, seed=seed)[0]
    _check(method, confidence)
    if estimate.units < 2 or not np.isfinite(estimate.value):
        return _interval(estimate, (float("nan"), float("nan")), method, confidence)
    if method == "student_t":
        half = _student_quantile(estimate, confidence) * estimate.standard_error
        return _interval(estimate, (estimate.value - half, estimate.value + half), method, confidence)
    return _concentration(estimate, method, confidence, term_range)


def bootstrap_intervals(
    estimates: Sequence[Estimate],
    method: Method = "bootstrap",
    confidence: float = 0.95,
    *,
    replications: int = 1000,
    seed: int = 0,
    drawn: Replications | None = None,
) -> list[Interval]:
    """Intervals of several estimates of one log, all from the same draws (much cheaper than one by one).

    ``bootstrap`` takes percentiles of the replications, corrected for bias and skew (BCa); ``bootstrap_t`` those of
    (V* - V) / se* (Efron and Tibshirani 1993, ch. 12). Both follow skew to second order for means. Neither side of them
    is shorter than that of Student's t: skew lengthens one side and would shorten the other, but that the terms' tail
    on the other side is short is just what a few heavy weights cannot tell (the error that is left grows with kurtosis;
    Hall 1988).

    Args:
        estimates: of the same units.
        method, confidence: as for `interval`.
        replications, seed: of the draws; or
        drawn: those of these estimates already made by `replicate`.
    """
    _check(method, confidence)
    if method not in RESAMPLING:
        raise InputError("method", f"{method} does not resample", "use bootstrap or bootstrap_t")
    drawn = drawn or replicate(estimates, replications=replications, seed=seed)
    found = []
    for k, estimate in enumerate(estimates):
        values, errors = drawn.values[:, k], drawn.standard_errors[:, k]
        defined = np.isfinite(values)
        extra: tuple[EstimateWarning, ...] = ()
        if not defined.all() and np.isfinite(estimate.value):
            sentence = f"{int((~defined).sum())} of {len(values)} replications had no weight"
            extra = (EstimateWarning("undefined_replications", sentence),)
        bounds = float("nan"), float("nan")
        if estimate.units >= 2 and np.isfinite(estimate.value) and defined.any():
            bounds = _bounds(estimate, values[defined], errors[defined], method, confidence)
        found.append(_interval(estimate.with_warnings(*extra), bounds, method, confidence))
    return found


def _bounds(
    estimate: Estimate, values: Float64, errors: Float64, method: Method, confidence: float
) -> tuple[float, float]:
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    value, error = estimate.value, estimate.standard_error
    if error == 0:
        return value, value
    if method == "bootstrap":
        low, high = np.quantile(values, _accelerated(estimate, values, tails)) - value
    else:
        gaps = values - value
        studentised = np.divide(gaps, errors, out=np.copysign(np.inf, gaps), where=errors > 0)
        studentised[gaps == 0] = 0.0
        low, high = -error * np.quantile(studentised, tails, method="inverted_cdf")[::-1]
    least = _student_quantile(estimate, confidence) * error
    return value + min(float(low), -least), value + max(float(high), least)


def _accelerated(estimate: Estimate, values: Float64, tails: Sequence[float]) -> Float64:
    """The levels of the replications that stand for ``tails`` (BCa; Efron 1987, equations 2.3 and 6.6).

    z₀ is how far the replications' median lies off the value, a the skewness of the units' influence over 6.
    """
    below = ((values < estimate.value).mean() + (values <= estimate.value).mean()) / 2
    shift = ndtri(np.clip(below, 0.5 / len(values), 1 - 0.5 / len(values)))
    squares = float((estimate.deviations**2).sum())
    acceleration = float((estimate.deviations**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    moved = shift + ndtri(np.asarray(tails))
    return np.asarray(ndtr(shift + moved / np.maximum(1 - acceleration * moved, 1e-6)))


def _student_quantile(estimate: Estimate, confidence: float) -> float:
    return float(stdtrit(estimate.units - 1, (1 + confidence) / 2))


def _concentration(
    estimate: Estimate, method: Method, confidence: float, term_range: tuple[float, float] | None
) -> Interval:
    """Hoeffding 1963, theorem 2; Maurer and Pontil 2009, theorem 4, each tail with half of 1 - confidence."""
    if not estimate.is_mean:
        fix = "use bootstrap_t, or the estimator that is not self-normalised"
        raise InputError("method", f"{method} holds for plain means, and {estimate.name} is a ratio", fix)
    if term_range is None:
        raise InputError("term_range", f"is missing, and {method} needs it", "largest weight times largest reward")
    lowest, highest = term_range
    means = _unit_means(estimate)
    slack = 1e-9 * (highest - lowest)
    if not (lowest < highest and means.min() >= lowest - slack and means.max() <= highest + slack):
        problem = f"[{lowest}, {highest}] does not hold the terms, {means.min():.4g} to {means.max():.4g}"
        raise InputError("term_range", problem, "give the range that terms can have")
    count, width, tail = len(means), highest - lowest, (1 - confidence) / 2
    if method == "hoeffding":
        half = width * np.sqrt(np.log(1 / tail) / (2 * count))
    else:
        variance = means.var(ddof=1)
        half = np.sqrt(2 * variance * np.log(2 / tail) / count) + 7 * width * np.log(2 / tail) / (3 * (count - 1))
    bounds = max(lowest, estimate.value - half), min(highest, estimate.value + half)
    return _interval(estimate, (float(bounds[0]), float(bounds[1])), method, confidence)


def _unit_means(estimate: Estimate) -> Float64:
    """The mean term of each unit, where their mean is the value."""
    if estimate.groups is None:
        return estimate.terms
    sizes = np.bincount(estimate.groups)
    if (sizes != sizes[0]).any():
        raise InputError(
            "groups", "are of unequal size, and concentration inequalities need a plain mean", "use bootstrap_t"
        )
    return sum_by_group(estimate.terms[:, None], estimate.groups)[:, 0] / sizes[0]


def _interval(estimate: Estimate, bounds: tuple[float, float], method: Method, confidence: float) -> Interval:
    if method in FIRST_ORDER:
        estimate = estimate.with_warnings(*skewness_warnings(estimate.deviations))
    guaranteed = {"few_units", "low_effective_sample_size"} if method in ("hoeffding", "empirical_bernstein") else set()
    against = tuple(warning for warning in estimate.warnings if warning.code not in guaranteed)
    reliable = trustworthy(against) and bool(np.isfinite(bounds).all())
    return Interval(estimate.value, *bounds, method, confidence, reliable, estimate.warnings)


def _check(method: str, confidence: float) -> None:
    if method not in METHODS:
        raise InputError("method", f"'{method}' is unknown", did_you_mean(method, METHODS))
    if not 0 < confidence < 1:
        raise InputError("confidence", f"{confidence} is not between 0 and 1", "0.95 is usual")
