"""An A/B test as a whole: shares, effects of each arm on each metric, and what groups of units say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rec_platform.evaluation.ab_test.cuped import cuped
from rec_platform.evaluation.ab_test.effect import Effect, always_valid, fixed_horizon
from rec_platform.evaluation.ab_test.planning import minimal_detectable_effect
from rec_platform.evaluation.ab_test.sample_ratio import SampleRatio, sample_ratio
from rec_platform.evaluation.ab_test.units import Units


@dataclass(frozen=True)
class ArmEffect:
    """One arm against the control on one metric.

    Attributes:
        arm, metric: names.
        control_mean, arm_mean: of the metric as it was logged.
        fixed: the test for one look at the end.
        anytime: the test for looks at any time.
        variance_ratio: what CUPED left of the variance; 1 without a covariate. Both tests are of adjusted values.
        detectable: the difference that so many units would see with probability 0.8; NaN where nothing varies.
        segments: the fixed test in each group, with Bonferroni's confidence for the number of groups.
    """

    arm: str
    metric: str
    control_mean: float
    arm_mean: float
    fixed: Effect
    anytime: Effect
    variance_ratio: float
    detectable: float
    segments: dict[str, Effect]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Analysis:
    """Attributes:
    arms: names, control first.
    units: of each arm.
    ratio: see `sample_ratio`. Where it is a mismatch the effects are not to be believed.
    effects: of every arm but the control on every metric.
    """

    arms: tuple[str, ...]
    units: tuple[int, ...]
    ratio: SampleRatio
    effects: tuple[ArmEffect, ...]

    @property
    def warnings(self) -> list[str]:
        """What forbids to believe the effects, or some of them."""
        lines = []
        if self.ratio.mismatch:
            shares = ", ".join(
                f"{name} {share:.1%}" for name, share in zip(self.arms, self.ratio.observed, strict=True)
            )
            lines.append(
                f"Sample ratio mismatch (p = {self.ratio.p_value:.1g}): {shares}. Units are lost or counted twice in "
                "some arm; find out why before anything else."
            )
        for one in self.effects:
            signs = {np.sign(part.difference) for part in one.segments.values() if part.significant}
            if len(signs) > 1:
                lines.append(f"{one.arm}, {one.metric}: helps some groups and harms others.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return {
            "arms": list(self.arms),
            "units": list(self.units),
            "sample_ratio": asdict(self.ratio) | {"mismatch": self.ratio.mismatch},
            "effects": [effect.to_dict() for effect in self.effects],
            "warnings": self.warnings,
        }


def analyse(units: Units, *, weights: Sequence[float] | None = None, confidence: float = 0.95) -> Analysis:
    """Compare every arm with the first.

    Args:
        weights: shares that were configured; equal ones where None.

    Raises:
        InputError: an arm without units, or bad weights.
    """
    effects = []
    for metric, values in units.metrics.items():
        adjusted, ratio = values, 1.0
        if units.covariate is not None:
            found = cuped(values, units.covariate)
            adjusted, ratio = found.values, found.variance_ratio
        for number, arm in enumerate(units.arms[1:], start=1):
            effects.append(_effect(units, metric, arm, number, values, adjusted, ratio, confidence))
    return Analysis(
        units.arms, tuple(int(count) for count in units.counts), sample_ratio(units.counts, weights), tuple(effects)
    )


def _effect(
    units: Units,
    metric: str,
    arm: str,
    number: int,
    values: np.ndarray,
    adjusted: np.ndarray,
    variance_ratio: float,
    confidence: float,
) -> ArmEffect:
    control, own = units.arm == 0, units.arm == number
    both = np.concatenate([adjusted[control] - adjusted[control].mean(), adjusted[own] - adjusted[own].mean()])
    deviation, size = float(both.std()), int(control.sum() + own.sum())
    detectable = float("nan")
    if deviation > 0 and size >= 2:
        share = float(own.sum() / size)
        detectable = minimal_detectable_effect(deviation, size, share=share, confidence=confidence)
    segments = {}
    if units.segment is not None:
        groups = np.unique(units.segment)
        strict = 1 - (1 - confidence) / len(groups)
        for group in groups:
            inside = units.segment == group
            if (inside & control).sum() > 1 and (inside & own).sum() > 1:
                segments[str(group)] = fixed_horizon(adjusted[inside & control], adjusted[inside & own], strict)
    return ArmEffect(
        arm=arm,
        metric=metric,
        control_mean=float(values[control].mean()),
        arm_mean=float(values[own].mean()),
        fixed=fixed_horizon(adjusted[control], adjusted[own], confidence),
        anytime=always_valid(adjusted[control], adjusted[own], confidence=confidence),
        variance_ratio=variance_ratio,
        detectable=detectable,
        segments=segments,
    )
