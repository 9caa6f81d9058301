"""Before a test: how many units it needs, how long that takes, and what it could see (two-sample z test)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from rec_platform.errors import InputError


@dataclass(frozen=True)
class Plan:
    """Attributes:
    units: of both arms together.
    days: until so many have come.
    effect: difference of means that is seen with probability ``power``.
    """

    units: int
    days: float
    effect: float


def minimal_detectable_effect(
    deviation: float, units: int, *, share: float = 0.5, power: float = 0.8, confidence: float = 0.95
) -> float:
    """The difference that ``units`` of both arms together see with probability ``power``.

    (z₁₋α/₂ + z_power) σ √(1/n₀ + 1/n₁), with n₁ = share · n (Cohen 1988, chapter 2).

    Args:
        deviation: σ of the metric over units; after CUPED, that times √ of its variance ratio.
        share: of units in the treatment.
    """
    _check(deviation, share, power, confidence)
    if units < 2:
        raise InputError("units", f"{units}", "two are the least")
    return _quantiles(power, confidence) * deviation * float(np.sqrt(1 / (share * units) + 1 / ((1 - share) * units)))


def plan(
    deviation: float,
    effect: float,
    *,
    units_a_day: float,
    share: float = 0.5,
    power: float = 0.8,
    confidence: float = 0.95,
) -> Plan:
    """Units and days until ``effect`` is seen with probability ``power``."""
    _check(deviation, share, power, confidence)
    if not effect > 0 or not units_a_day > 0:
        raise InputError("effect", f"{effect} with {units_a_day} units a day", "both must be above 0")
    exact = (_quantiles(power, confidence) * deviation / effect) ** 2 * (1 / share + 1 / (1 - share))
    units = max(2, int(np.ceil(exact)))
    seen = minimal_detectable_effect(deviation, units, share=share, power=power, confidence=confidence)
    return Plan(units, units / units_a_day, seen)


def _quantiles(power: float, confidence: float) -> float:
    return float(norm.ppf(0.5 + confidence / 2) + norm.ppf(power))


def _check(deviation: float, share: float, power: float, confidence: float) -> None:
    if not (np.isfinite(deviation) and deviation > 0):
        raise InputError("deviation", f"{deviation}", "the metric must vary over units")
    for name, value in (("share", share), ("power", power), ("confidence", confidence)):
        if not 0 < value < 1:
            raise InputError(name, f"{value}", "choose between 0 and 1")
