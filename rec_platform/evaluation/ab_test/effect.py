"""The difference of two means, by a test at a fixed end and by one that may be looked at all the time.

Fixed: Welch 1947. Its error is the one stated if it is looked at once, when a number of units decided beforehand is
reached.

Always valid: the mixture sequential probability ratio test (Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022) of
the estimated difference d with variance V, mixed over N(0, τ²):

    p_n = min over looks of √((V + τ²) / V) · exp(-d² τ² / (2 V (V + τ²)))      and the interval
    d ± √( V (V + τ²) / τ² · (2 ln(1/α) + ln((V + τ²) / V)) )

covers the truth at all times at once with probability 1 - α, asymptotically: so it starts after `WARM_UP` units an arm.
A running intersection of its intervals is valid too, and is what `Looks` keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from rec_platform.errors import InputError
from rec_platform.types import Float64

WARM_UP = 100
"""Units of each arm below which the mean of a skewed metric is not yet normal and nothing is said."""


@dataclass(frozen=True)
class Effect:
    """A difference of means, treatment less control.

    Attributes:
        difference: its estimate.
        lower, upper: interval at the confidence asked for; infinite where nothing can be said yet.
        p_value: of no difference.
        stderr: standard error of the estimate.
    """

    difference: float
    lower: float
    upper: float
    p_value: float
    stderr: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.lower > 0 or self.upper < 0

    def reversed(self) -> Effect:
        """Of control less treatment."""
        return Effect(-self.difference, -self.upper, -self.lower, self.p_value, self.stderr)


def fixed_horizon(control: Float64, treatment: Float64, confidence: float = 0.95) -> Effect:
    """Welch's test of float64 [n0] against [n1]."""
    _check(confidence)
    if min(len(control), len(treatment)) < 2:
        return Effect(_difference(control, treatment), -np.inf, np.inf, 1.0, float("nan"))
    parts = np.array([control.var(ddof=1) / len(control), treatment.var(ddof=1) / len(treatment)])
    difference, error = _difference(control, treatment), float(np.sqrt(parts.sum()))
    if error == 0:
        return Effect(difference, difference, difference, 1.0 if difference == 0 else 0.0, 0.0)
    freedom = parts.sum() ** 2 / (parts**2 / np.array([len(control) - 1, len(treatment) - 1])).sum()
    half = float(student.ppf(0.5 + confidence / 2, freedom)) * error
    p_value = float(2 * student.sf(abs(difference) / error, freedom))
    return Effect(difference, difference - half, difference + half, p_value, error)


def always_valid(
    control: Float64, treatment: Float64, *, scale: float | None = None, confidence: float = 0.95
) -> Effect:
    """The sequential test of float64 [n0] against [n1], at one look.

    Args:
        scale: τ, the size of differences that it is to see soonest; fixed before the test. Where None, a tenth of the
            standard deviation of all units so far, which changes too little to matter.
    """
    _check(confidence)
    difference = _difference(control, treatment)
    if min(len(control), len(treatment)) < WARM_UP:
        return Effect(difference, -np.inf, np.inf, 1.0, float("nan"))
    variance = control.var(ddof=1) / len(control) + treatment.var(ddof=1) / len(treatment)
    if variance == 0:
        return Effect(difference, -np.inf, np.inf, 1.0, 0.0)  # nothing varies: no look says how it may yet
    deviation = np.concatenate([control - control.mean(), treatment - treatment.mean()]).std()
    mixing = (0.1 * deviation if scale is None else scale) ** 2
    alpha, ratio = 1.0 - confidence, (variance + mixing) / variance
    half = float(np.sqrt(variance * (variance + mixing) / mixing * (2 * np.log(1 / alpha) + np.log(ratio))))
    log_p = 0.5 * np.log(ratio) - difference**2 * mixing / (2 * variance * (variance + mixing))
    p_value = float(np.exp(min(log_p, 0.0)))
    return Effect(difference, difference - half, difference + half, p_value, float(np.sqrt(variance)))


@dataclass
class Looks:
    """Always-valid looks at one test, one after the other: intervals only shrink, the p-value only falls."""

    lower: float = -np.inf
    upper: float = np.inf
    p_value: float = 1.0

    def add(self, look: Effect) -> Effect:
        """The look, with what all looks so far say together. An empty intersection means that the world changed."""
        self.lower, self.upper = max(self.lower, look.lower), min(self.upper, look.upper)
        self.p_value = min(self.p_value, look.p_value)
        return Effect(look.difference, self.lower, self.upper, self.p_value, look.stderr)


def _difference(control: Float64, treatment: Float64) -> float:
    if not (len(control) and len(treatment)):
        raise InputError("arm", "one of the arms has no unit", "wait for some")
    return float(treatment.mean() - control.mean())


def _check(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise InputError("confidence", f"{confidence}", "choose 0.5 up to below 1, usually 0.95")
