"""Whether a log can tell what a policy is worth: figures about weights and propensities, and warnings from them.

Importance weights fail silently: an estimate from three decisions looks like one from a million. Each check here names
a way to fail, and each has a documented threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.off_policy.estimate import EstimateWarning, Int64, sum_by_group
from rec_platform.types import Float64

FEW_UNITS = 30
EFFECTIVE_FLOOR = 100.0
"""Below this effective sample size an interval is flagged unreliable."""

LARGEST_SHARE = 0.1
STANDARD_ERRORS = 4.0
"""How far a mean with a known expectation may stray before it counts as wrong."""

GAP = 0.01
"""Probability mass of the target outside the log's support that is let pass."""

BIAS_SHARE = 0.25
"""A bias of a quarter of the standard error costs a 95 % interval about 1 % of coverage; of a whole one, 12 %."""

MODEL_SHARE = 0.05

UNITS_PER_SQUARED_SKEWNESS = 50.0
"""Cochran (1977, ch. 2) asks for n > 25 γ² before a mean is taken as normal: 95 % intervals then hold the truth in 94 %
of samples or more. A sample's own skewness γ is too small where it has not met the tail: here twice that is asked."""

FLOOR = 1e-3
FLOOR_SHARE = 0.01
"""At least this share of propensities at one value of at most `FLOOR` looks like clipping."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Of the mean of 1/p against the mean number of actions on offer.

    E[1/p] of what the behaviour policy showed is the number of actions it may show (Σ_a p · 1/p). Above it the
    propensities are too small, below it some actions were never possible or the propensities are too large.

    Attributes:
        mean, standard_error: of 1/p.
        expected: mean number of actions on offer.
        z: (mean - expected) in standard errors; 0 where both agree exactly.
    """

    mean: float
    standard_error: float
    expected: float
    z: float


def effective_sample_size(weights: Float64, groups: Int64 | None = None) -> float:
    """(Σ w)² / Σ w² (Kish 1965) of weights [n], summed by group first; of [n, J] the smallest column's.

    0 where all weights are 0. n equal weights count n.
    """
    columns = sum_by_group(weights[:, None] if weights.ndim == 1 else weights, groups)
    squares = (columns**2).sum(axis=0)
    sizes = np.divide(columns.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0)
    return float(sizes.min())


def largest_share(weights: Float64, groups: Int64 | None = None) -> float:
    """max |w| / Σ |w| over units, the largest over the columns of [n, J]; NaN where all weights are 0."""
    columns = np.abs(sum_by_group(weights[:, None] if weights.ndim == 1 else weights, groups))
    totals = columns.sum(axis=0)
    return float((columns.max(axis=0) / totals).max()) if (totals > 0).all() else float("nan")


def inverse_propensity_audit(behaviour: Float64, available: Int64) -> Audit:
    """The mean of 1/p [n] against the actions on offer [n]. For steps of a slate: what is left in the slot."""
    gap = 1.0 / behaviour - available
    mean, error = float(gap.mean()), _standard_error(gap)
    return Audit(float((1.0 / behaviour).mean()), error, float(available.mean()), _z(mean, error))


def weight_warnings(weights: Float64, groups: Int64 | None) -> tuple[EstimateWarning, ...]:
    """Of how much the estimate rests on few units."""
    found = []
    units = len(weights) if groups is None else int(groups.max()) + 1
    if units < FEW_UNITS:
        found.append(EstimateWarning("few_units", f"only {units} independent units; {FEW_UNITS} are few"))
    size = effective_sample_size(weights, groups)
    if size == 0:
        found.append(EstimateWarning("no_overlap", "all importance weights are 0"))
    if size < EFFECTIVE_FLOOR:
        sentence = f"the {units} units weigh as much as {size:.3g}; below {EFFECTIVE_FLOOR:g} intervals are unreliable"
        found.append(EstimateWarning("low_effective_sample_size", sentence))
    share = largest_share(weights, groups)
    if share > LARGEST_SHARE:
        found.append(EstimateWarning("large_weight_share", f"one unit carries {share:.1%} of all weight"))
    return tuple(found)


def mean_weight_warnings(weights: Float64) -> tuple[EstimateWarning, ...]:
    """Of weights [n] whose mean is not 1.

    E[w] under the behaviour policy is the target's mass on what the behaviour policy can show: significantly below 1 is
    a support gap, above 1 wrong propensities.
    """
    mean, error = float(weights.mean()), _standard_error(weights)
    z = _z(mean - 1.0, error)
    if not abs(z) > STANDARD_ERRORS:
        return ()
    cause = "the log never shows some of what the target does" if z < 0 else "propensities are too small"
    sentence = f"the mean weight is {mean:.4g} ± {error:.2g} where 1 is expected: {cause}, or are of another policy"
    return (EstimateWarning("weights_do_not_average_one", sentence),)


def unsupported_mass(target_all: Float64, behaviour_all: Float64) -> float:
    """Mean over rows of the target's probability on actions whose behaviour probability is 0; [n, A] or [A] each."""
    return float(np.where(behaviour_all > 0, 0.0, target_all).sum(axis=-1).mean())


def unseen_mass(actions: Int64, target_all: Float64, action_count: int) -> float:
    """Mean of the target's probability on actions that the log never shows."""
    seen = np.bincount(actions, minlength=action_count) > 0
    return float(target_all[..., ~seen].sum(axis=-1).mean())


def support_warnings(
    actions: Int64, target_all: Float64 | None, behaviour_all: Float64 | None, action_count: int
) -> tuple[EstimateWarning, ...]:
    """Of more than `GAP` of the target's mass on what the behaviour policy never does, or the log never shows."""
    if target_all is None:
        return ()
    found = []
    unseen = unseen_mass(actions, target_all, action_count)
    if unseen > GAP:
        sentence = f"{unseen:.1%} of the target's choices are of actions that the log never shows"
        found.append(EstimateWarning("support_gap", sentence))
    impossible = 0.0 if behaviour_all is None else unsupported_mass(target_all, behaviour_all)
    if impossible > GAP:
        sentence = f"{impossible:.1%} of the target's choices have probability 0 under the behaviour policy"
        found.append(EstimateWarning("support_gap", sentence))
    return tuple(found)


def inverse_propensity_warnings(behaviour: Float64, available: Int64 | None) -> tuple[EstimateWarning, ...]:
    """Of an audit that strays by more than `STANDARD_ERRORS`; none where the actions on offer are not known."""
    if available is None:
        return ()
    audit = inverse_propensity_audit(behaviour, available)
    figures = f"the mean of 1/p is {audit.mean:.4g} ± {audit.standard_error:.2g}, with {audit.expected:.4g} on offer"
    if audit.z > STANDARD_ERRORS:
        return (EstimateWarning("propensities_too_small", f"{figures}: the logged propensities are wrong"),)
    if audit.z < -STANDARD_ERRORS:
        return (EstimateWarning("support_not_full", f"{figures}: some actions were never possible"),)
    return ()


def propensity_floor_warnings(behaviour: Float64) -> tuple[EstimateWarning, ...]:
    """Of many propensities at one tiny value: clipped when logged, unless the policy explores by ε / A."""
    floor = float(behaviour.min())
    share = float((behaviour == floor).mean())
    if floor > FLOOR or share < FLOOR_SHARE or floor == behaviour.max():
        return ()
    sentence = f"{share:.1%} of propensities are exactly {floor:.3g}: if they were clipped there, weights are wrong"
    return (EstimateWarning("propensity_floor", sentence),)


def shrinkage_warnings(removed: Float64, terms: Float64) -> tuple[EstimateWarning, ...]:
    """Of what shrinking took away, [n] = (w - ŵ)(r - q̂), when its mean exceeds a quarter of the standard error."""
    bias, error = abs(float(removed.mean())), _standard_error(terms)
    if not bias > BIAS_SHARE * error:
        return ()
    sentence = f"shrinking the weights biases the value by about {bias:.3g}, beside a standard error of {error:.3g}"
    return (EstimateWarning("shrinkage_bias", sentence),)


def model_share_warnings(weights: Float64, shrunk: Float64) -> tuple[EstimateWarning, ...]:
    """Of more than `MODEL_SHARE` of all weight taken from the residuals that correct a model: w and ŵ [n]."""
    total = float(weights.sum())
    share = 1.0 - float(shrunk.sum()) / total if total > 0 else 1.0
    if share <= MODEL_SHARE:
        return ()
    sentence = f"{share:.0%} of the weight is shrunk away: so far the model goes uncorrected, and its error is not seen"
    return (EstimateWarning("model_error_ignored", sentence),)


def skewness_warnings(deviations: Float64) -> tuple[EstimateWarning, ...]:
    """Of an estimate's `deviations` [G] too skewed for intervals that take it as normal: G < 50 γ²."""
    units = len(deviations)
    centred = deviations - deviations.mean() if units else deviations
    spread = float((centred**2).mean()) if units else 0.0
    if not spread > 0:
        return ()
    needed = UNITS_PER_SQUARED_SKEWNESS * float((centred**3).mean()) ** 2 / spread**3
    if not units < needed:
        return ()
    sentence = f"{units} units with terms of skewness {np.sqrt(needed / UNITS_PER_SQUARED_SKEWNESS):.3g}; a normal "
    sentence += f"approximation needs {needed:,.0f}: use bootstrap_t"
    return (EstimateWarning("skewed_terms", sentence),)


def _standard_error(values: Float64) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _z(gap: float, error: float) -> float:
    if abs(gap) < 1e-9:
        return 0.0
    return float(np.sign(gap) * np.inf) if error == 0 else gap / error
