"""What every off-policy estimator answers: a value, what each sample contributed to it, and what speaks against it.

An estimate is kept as sums, so that intervals need no second look at the log. With units i (decisions, slates or
episodes) and columns j:

    value = Σ_j Σ_i N_ij / Σ_i D_ij

A plain mean has one column and D = 1; a self-normalised estimator divides by its weights; a self-normalised sequential
one has a column a step. The terms are the linearised contributions (the delta method; Owen 2013, ch. 9.2)

    term_i = value + n Σ_j (N_ij - R_j D_ij) / Σ_i' D_i'j,      R_j = Σ_i N_ij / Σ_i D_ij,

whose mean is the value and whose spread gives its standard error; for a plain mean they are N itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rec_platform.types import Float64

Int64 = NDArray[np.int64]

CODES = {
    "few_units": "fewer than 30 independent units (groups where given)",
    "low_effective_sample_size": "the effective sample size is below 100",
    "large_weight_share": "one unit carries more than a tenth of all weight",
    "no_overlap": "the target never does what the log shows: the value is undefined or rests on a model alone",
    "support_gap": "the target does what the log never shows, or what the behaviour policy never does",
    "weights_do_not_average_one": "the mean importance weight is more than 4 standard errors from 1",
    "propensities_too_small": "the mean of 1/p is above the number of actions on offer",
    "support_not_full": "the mean of 1/p is below the number of actions on offer",
    "propensities_not_reproduced": "the model that made the log gives other propensities for what was logged",
    "propensity_floor": "many propensities equal one very small number",
    "shrinkage_bias": "shrinking the weights costs a bias that counts beside the standard error",
    "tuned_on_the_log": "a parameter was chosen on the same log: intervals are too narrow",
    "model_error_ignored": "the value rests on a reward model whose error no interval here contains",
    "truncated_episodes": "some episodes were cut: what would have followed counts as 0",
    "skewed_terms": "the terms are too skewed for an interval that takes their mean as normal",
    "undefined_replications": "some bootstrap replications had no weight and were left out",
}
"""The codes of `EstimateWarning`, stable, with what they mean."""

UNRELIABLE = frozenset(CODES) - {
    "large_weight_share",
    "support_not_full",
    "propensity_floor",
    "truncated_episodes",
}
"""With one of these an interval is flagged unreliable: it may well not hold the truth as often as it says."""


@dataclass(frozen=True, slots=True)
class EstimateWarning:
    """Something that a reader of the value must know: a code of `CODES` and a sentence with the figures."""

    code: str
    sentence: str


def trustworthy(warnings: Iterable[EstimateWarning]) -> bool:
    """Whether none of the warnings speaks against intervals."""
    return not {warning.code for warning in warnings} & UNRELIABLE


@dataclass(frozen=True, eq=False)
class Estimate:
    """The value of a policy, estimated from another policy's log.

    Attributes:
        name: the estimator's.
        value: reward a decision, a slate or an episode; NaN where undefined.
        terms: float64 [n] linearised contribution of each unit; their mean is ``value``.
        weights: float64 [n] or [n, J] importance weights as used; ones where none are.
        numerators, denominators: float64 [n, J], see above; no denominators for a plain mean.
        groups: int64 [n] in 0..G-1, units that hang together; None when all are independent.
        warnings: what speaks against the value.
    """

    name: str
    value: float
    terms: Float64
    weights: Float64
    numerators: Float64
    denominators: Float64 | None
    groups: Int64 | None
    warnings: tuple[EstimateWarning, ...] = ()

    @property
    def is_mean(self) -> bool:
        """Whether the value is a plain mean of independent terms, as concentration inequalities need it."""
        return self.denominators is None

    @cached_property
    def deviations(self) -> Float64:
        """Float64 [G]: sums over each group of (term - value) / n, so that the variance is about Σ deviations²."""
        return sum_by_group((self.terms - self.value)[:, None] / len(self.terms), self.groups)[:, 0]

    @property
    def units(self) -> int:
        """G: how many independent units there are."""
        return len(self.deviations)

    @property
    def standard_error(self) -> float:
        """Of the value, robust to dependence within groups; NaN for fewer than two units."""
        count = self.units
        if count < 2:
            return float("nan")
        return float(np.sqrt(count / (count - 1) * (self.deviations**2).sum()))

    @property
    def reliable(self) -> bool:
        """Whether no warning speaks against intervals around the value."""
        return trustworthy(self.warnings)

    def with_warnings(self, *warnings: EstimateWarning) -> Estimate:
        """The same with more warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


class Estimator(Protocol):
    """One way to estimate; ``feedback`` is the kind of log that the estimator is for."""

    @property
    def name(self) -> str: ...

    def estimate(self, feedback: Any) -> Estimate:
        """The target policy's value.

        Raises:
            InputError: the log lacks what the estimator needs, or allows no importance weighting.
        """
        ...


def mean_estimate(
    name: str,
    terms: Float64,
    *,
    weights: Float64,
    groups: Int64 | None,
    warnings: tuple[EstimateWarning, ...] = (),
) -> Estimate:
    """The mean of ``terms`` [n]."""
    return Estimate(name, float(terms.mean()), terms, weights, terms[:, None], None, groups, warnings)


def ratio_estimate(
    name: str,
    numerators: Float64,
    denominators: Float64,
    *,
    weights: Float64,
    groups: Int64 | None,
    warnings: tuple[EstimateWarning, ...] = (),
) -> Estimate:
    """Σ_j Σ_i N_ij / Σ_i D_ij of [n, J] each; NaN, with a warning, where a denominator's sum is 0."""
    totals = denominators.sum(axis=0)
    if (totals == 0).any():
        undefined = np.full(len(numerators), np.nan)
        warning = EstimateWarning("no_overlap", "all importance weights are 0: the value is undefined")
        return Estimate(name, float("nan"), undefined, weights, numerators, denominators, groups, (*warnings, warning))
    ratios = numerators.sum(axis=0) / totals
    value = float(ratios.sum())
    terms = value + len(numerators) * ((numerators - ratios * denominators) / totals).sum(axis=1)
    return Estimate(name, value, terms, weights, numerators, denominators, groups, warnings)


def sum_by_group(columns: Float64, groups: Int64 | None) -> Float64:
    """Sums [G, J] of ``columns`` [n, J]; the columns themselves where there are no groups."""
    if groups is None:
        return columns
    sums = [np.bincount(groups, weights=column) for column in columns.T]
    return np.stack(sums, axis=1)
