"""SLOPE: trade bias for variance without knowing the bias (Su, Srinath and Krishnamurthy 2020; Tucker and Lee 2021).

Candidates are ordered from wide to narrow intervals, which is from little to much bias where one parameter shrinks. The
last one is taken before the first that disagrees with a wider one. Candidate i agrees with all wider ones where

    |V_i - V_j| ≤ c_i + (√6 - 1) c_j       for all j < i,

c the half widths; the constant is Tucker and Lee's. Lepski's principle: a candidate outside a wider one's interval is
biased.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bootstrap import check_same_units
from rec_platform.evaluation.off_policy.estimate import Estimate
from rec_platform.evaluation.off_policy.intervals import interval
from rec_platform.evaluation.off_policy.tuning.choice import Choice, chosen

CONSTANT = float(np.sqrt(6.0) - 1.0)


def slope(estimates: Sequence[Estimate], *, confidence: float = 0.95) -> Choice:
    """The candidate that SLOPE takes; its scores are half widths of Student-t intervals.

    Args:
        estimates: of one log, by one estimator with several values of its parameter, in any order.
        confidence: of the intervals.

    Raises:
        InputError: no candidates, or an undefined one.
    """
    check_same_units(estimates)
    widths = []
    for estimate in estimates:
        found = interval(estimate, "student_t", confidence)
        if not np.isfinite(found.upper):
            raise InputError("estimates", f"{estimate.name} is undefined", "leave it out")
        widths.append((found.upper - found.lower) / 2)
    order = sorted(range(len(estimates)), key=lambda k: -widths[k])
    best = order[0]
    for place, k in enumerate(order):
        wider = order[:place]
        if any(abs(estimates[k].value - estimates[j].value) > widths[k] + CONSTANT * widths[j] for j in wider):
            break
        best = k
    return chosen(best, estimates, widths)
