"""By how much one policy is better than another, both judged on the same log: an estimate like any other."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.off_policy.bootstrap import check_same_units
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.types import Float64


def difference(first: Estimate, second: Estimate) -> Estimate:
    """``first`` less ``second``, unit by unit, so that what both share cancels out of its error.

    With the sums of `Estimate` it is Σ_j N_j/D_j - Σ_l N'_l/D'_l: the columns of both, those of the second negative. A
    plain mean has D = 1. The weights are those of ``first``; warnings are of both, the same code once.

    Raises:
        InputError: they are of different logs.
    """
    check_same_units([first, second])
    warnings = {one.code: one for one in (*second.warnings, *first.warnings)}
    denominators = None
    if not (first.is_mean and second.is_mean):
        denominators = np.concatenate([_denominators(first), _denominators(second)], axis=1)
    numerators = np.concatenate([first.numerators, -second.numerators], axis=1)
    terms = first.terms - second.terms
    return Estimate(
        name=f"{first.name} - {second.name}",
        value=first.value - second.value,
        terms=terms,
        weights=first.weights,
        numerators=terms[:, None] if denominators is None else numerators,
        denominators=denominators,
        groups=first.groups,
        warnings=tuple(warnings.values()),
    )


def _denominators(estimate: Estimate) -> Float64:
    return np.ones_like(estimate.numerators) if estimate.denominators is None else estimate.denominators
