"""An A/B test as a whole: shares, effects of each arm on each metric, and what groups of units say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.cuped import cuped
from rec_platform.evaluation.ab_test.effect import Effect, always_valid, fixed_horizon
from rec_platform.evaluation.ab_test.planning import minimal_detectable_effect
from rec_platform.evaluation.ab_test.sample_ratio import SampleRatio, sample_ratio
from rec_platform.evaluation.ab_test.units import Units
from rec_platform.types import Float64


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

    @property
    def conclusion(self) -> str:
        """What the two tests allow to say, where the split of units was right."""
        where = f"{self.metric}: {self.arm} is {'above' if self.fixed.difference > 0 else 'below'} the control by"
        size = f"{abs(self.fixed.difference):.4g}"
        if self.anytime.significant:
            return f"{where} {size}, whenever one looks ({_bounds(self.anytime)})."
        if self.fixed.significant:
            return (
                f"{where} {size} ({_bounds(self.fixed)}), if this is the one look, at an end decided beforehand; "
                "not if the test was looked at as it went on."
            )
        told = f"{self.metric}: no difference of {self.arm} from the control is shown"
        if not np.isfinite(self.detectable):
            return f"{told}: nothing varies, or there are too few users."
        return f"{told}; one of {self.detectable:.3g} would be found with probability 0.8."


def _bounds(effect: Effect) -> str:
    return f"{effect.lower:+.4g} … {effect.upper:+.4g}"


@dataclass(frozen=True)
class Analysis:
    """Attributes:
    arms: names, control first.
    units: of each arm.
    ratio: see `sample_ratio`. Where it is a mismatch the effects are not to be believed.
    effects: of every arm but the control on every metric.
    confidence: of the intervals.
    """

    arms: tuple[str, ...]
    units: tuple[int, ...]
    ratio: SampleRatio
    effects: tuple[ArmEffect, ...]
    confidence: float = 0.95

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

    @property
    def conclusions(self) -> list[str]:
        """A sentence an effect; one alone where the split of units forbids any."""
        if self.ratio.mismatch:
            return ["Nothing may be concluded about the arms: they did not get the users they should have got."]
        lines = [one.conclusion for one in self.effects]
        if len(lines) > 1:
            lines.append(f"Each of these {len(lines)} holds with {self.confidence:.0%} by itself, not all together.")
        return lines

    def to_dict(self) -> dict[str, Any]:
        return {
            "arms": list(self.arms),
            "units": list(self.units),
            "sample_ratio": asdict(self.ratio) | {"mismatch": self.ratio.mismatch},
            "effects": [effect.to_dict() for effect in self.effects],
            "conclusions": self.conclusions,
            "warnings": self.warnings,
        }


@dataclass(frozen=True)
class Compared:
    """A metric of all units, ready to be compared between arms.

    Attributes:
        units: whose.
        metric: its name.
        shift: float64 [n] what CUPED takes from each unit; zeros without a covariate.
        variance_ratio: see `cuped`.
    """

    units: Units
    metric: str
    shift: Float64
    variance_ratio: float

    @staticmethod
    def of(units: Units, metric: str) -> Compared:
        """With the covariate that the units have for it.

        Raises:
            InputError: an arm of which the ratio is undefined.
        """
        values = units.values(metric)
        if np.isnan(values).any():
            arm = units.arms[int(units.arm[np.isnan(values)][0])]
            raise InputError("--metric", f"{metric} is undefined: nothing was shown in arm '{arm}'", "wait for some")
        if metric not in units.covariates:
            return Compared(units, metric, np.zeros(len(units)), 1.0)
        found = cuped(values, units.covariates[metric])
        return Compared(units, metric, values - found.values, found.variance_ratio)

    def samples(self, number: int, inside: np.ndarray | None = None) -> tuple[Float64, Float64]:
        """Adjusted values of the control and of an arm, of all units or of those ``inside`` bool [n].

        Of a part a ratio is that part's; the covariate's weight stays that of all units, which a part is too small for.
        """
        part, shift = (self.units, self.shift) if inside is None else (self.units.take(inside), self.shift[inside])
        adjusted = part.values(self.metric) - shift
        return adjusted[part.arm == 0], adjusted[part.arm == number]

    def mean(self, number: int) -> float:
        """Of an arm, not adjusted."""
        return float(self.units.values(self.metric)[self.units.arm == number].mean())


def analyse(units: Units, *, weights: Sequence[float] | None = None, confidence: float = 0.95) -> Analysis:
    """Compare every arm with the first.

    Args:
        weights: shares that were configured; equal ones where None.

    Raises:
        InputError: an arm without units, a ratio that is undefined, or bad weights.
    """
    effects = []
    for metric in units.metrics:
        compared = Compared.of(units, metric)
        effects += [_effect(compared, number, confidence) for number in range(1, len(units.arms))]
    ratio = sample_ratio(units.counts, weights)
    return Analysis(units.arms, tuple(int(count) for count in units.counts), ratio, tuple(effects), confidence)


def _effect(compared: Compared, number: int, confidence: float) -> ArmEffect:
    control, own = compared.samples(number)
    both = np.concatenate([control - control.mean(), own - own.mean()]) if len(control) and len(own) else np.zeros(0)
    deviation = float(both.std()) if len(both) else 0.0
    detectable = float("nan")
    if deviation > 0:
        share = len(own) / len(both)
        detectable = minimal_detectable_effect(deviation, len(both), share=share, confidence=confidence)
    return ArmEffect(
        arm=compared.units.arms[number],
        metric=compared.metric,
        fixed=fixed_horizon(control, own, confidence),
        anytime=always_valid(control, own, confidence=confidence),
        control_mean=compared.mean(0),
        arm_mean=compared.mean(number),
        variance_ratio=compared.variance_ratio,
        detectable=detectable,
        segments=_segments(compared, number, confidence),
    )


def _segments(compared: Compared, number: int, confidence: float) -> dict[str, Effect]:
    """Of the groups with two units in each arm."""
    segment, found = compared.units.segment, {}
    if segment is not None:
        groups = np.unique(segment)
        strict = 1 - (1 - confidence) / len(groups)
        for group in groups:
            control, own = compared.samples(number, segment == group)
            if min(len(control), len(own)) > 1 and not np.isnan(np.concatenate([control, own])).any():
                found[str(group)] = fixed_horizon(control, own, strict)
    return found
