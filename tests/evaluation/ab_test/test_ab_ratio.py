"""Metrics per decision with users as clusters, against a bootstrap of users and the formula by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.analysis import analyse
from rec_platform.evaluation.ab_test.effect import fixed_horizon
from rec_platform.evaluation.ab_test.ratio import linearised
from rec_platform.evaluation.ab_test.units import Units


def visits(seed: int, size: int, lift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rewards and decisions of users: those who come often like more, so that decisions are far from independent."""
    rng = np.random.default_rng(seed)
    taste = rng.beta(1.0, 2.0, size)
    decisions = rng.poisson(1 + 20 * taste**2)
    return rng.binomial(decisions, np.minimum(taste + lift, 1.0)).astype(float), decisions.astype(float)


def test_the_variance_is_the_delta_methods_and_a_cluster_bootstraps() -> None:
    rewards, decisions = visits(0, 800)
    values = linearised(rewards, decisions)
    ratio = rewards.sum() / decisions.sum()
    assert values.mean() == pytest.approx(ratio)
    covariance = np.cov(rewards, decisions)
    by_hand = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    by_hand /= decisions.mean() ** 2 * len(rewards)  # Deng, Knoblich and Lu 2018, equation 4
    assert values.var(ddof=1) / len(values) == pytest.approx(by_hand, rel=1e-9)
    rng = np.random.default_rng(1)
    draws = rng.integers(len(rewards), size=(4000, len(rewards)))
    bootstrap = (rewards[draws].sum(axis=1) / decisions[draws].sum(axis=1)).std()
    assert np.sqrt(by_hand) == pytest.approx(bootstrap, rel=0.04)
    as_if_independent = np.sqrt(ratio * (1 - ratio) / decisions.sum())
    assert bootstrap > 1.4 * as_if_independent


def test_a_ratios_interval_covers_its_difference() -> None:
    rates = [np.divide(*(part.sum() for part in visits(10_000 + k, 400_000, lift))) for k, lift in enumerate((0, 0.1))]
    truth, covered = rates[1] - rates[0], 0
    for seed in range(300):
        fixed = fixed_horizon(linearised(*visits(seed, 200)), linearised(*visits(1000 + seed, 200, 0.1)))
        covered += fixed.lower < truth < fixed.upper
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


def both(lift: float = 0.05) -> Units:
    old, new = visits(3, 3000), visits(4, 3000, lift)
    arm = np.repeat([0, 1], 3000)
    segment = np.where(np.arange(6000) % 3 == 0, "x", "y")
    rewards, decisions = (np.concatenate(pair) for pair in zip(old, new, strict=True))
    return Units(("old", "new"), arm, {"r": rewards}, segment=segment, denominators={"r": decisions})


def test_an_analysis_of_ratios() -> None:
    units = both()
    (one,) = analyse(units).effects
    for number, mean in ((0, one.control_mean), (1, one.arm_mean)):
        own = units.arm == number
        assert mean == pytest.approx(units.metrics["r"][own].sum() / units.denominators["r"][own].sum())
    assert one.fixed.difference == pytest.approx(one.arm_mean - one.control_mean)
    inside = units.segment == "x"
    own, control = (inside & (units.arm == number) for number in (1, 0))
    rates = [units.metrics["r"][rows].sum() / units.denominators["r"][rows].sum() for rows in (own, control)]
    assert one.segments["x"].difference == pytest.approx(rates[0] - rates[1])


def test_a_covariate_narrows_a_ratio_and_leaves_its_difference() -> None:
    units, rng = both(), np.random.default_rng(0)
    plain = analyse(units).effects[0]
    values = units.values("r")  # a covariate knows of users, not of arms
    known = values - plain.fixed.difference * units.arm + rng.normal(0, 0.3, len(units))
    adjusted = analyse(Units(units.arms, units.arm, units.metrics, {"r": known}, None, units.denominators)).effects[0]
    assert adjusted.variance_ratio < 0.8
    assert adjusted.fixed.stderr == pytest.approx(plain.fixed.stderr * np.sqrt(adjusted.variance_ratio), rel=0.05)
    assert abs(adjusted.fixed.difference - plain.fixed.difference) < 2 * plain.fixed.stderr
    assert (adjusted.control_mean, adjusted.arm_mean) == (plain.control_mean, plain.arm_mean)


def test_a_ratio_of_nothing_is_undefined() -> None:
    assert np.isnan(linearised(np.zeros(2), np.zeros(2))).all()
    arm, zeros = np.array([0, 0, 1, 1]), np.zeros(4)
    units = Units(("a", "b"), arm, {"r": zeros}, denominators={"r": np.array([1.0, 1.0, 0.0, 0.0])})
    with pytest.raises(InputError, match="nothing was shown in arm 'b'"):
        analyse(units)
