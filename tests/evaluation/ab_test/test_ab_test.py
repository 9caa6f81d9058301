"""A/B analysis against other libraries, closed forms, and simulated tests that are looked at all the time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.analysis import analyse
from rec_platform.evaluation.ab_test.cuped import cuped
from rec_platform.evaluation.ab_test.effect import WARM_UP, Effect, Looks, always_valid, fixed_horizon
from rec_platform.evaluation.ab_test.planning import minimal_detectable_effect, plan
from rec_platform.evaluation.ab_test.sample_ratio import sample_ratio
from rec_platform.evaluation.ab_test.units import Units


def drawn(seed: int, size: int, shift: float = 0.0) -> np.ndarray:
    """Skewed, many zeros: what a user's sum of rewards looks like."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.poisson(0.8, size) * rng.gamma(2.0, 1.0, size) + shift)


def test_the_fixed_test_is_welchs() -> None:
    control, treatment = drawn(0, 300), 1.7 * drawn(1, 150) + 0.1
    ours = fixed_horizon(control, treatment, 0.9)
    theirs = stats.ttest_ind(treatment, control, equal_var=False)
    bounds = theirs.confidence_interval(0.9)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-10)
    assert (ours.lower, ours.upper) == pytest.approx((bounds.low, bounds.high), rel=1e-10)
    assert ours.difference == pytest.approx(treatment.mean() - control.mean())


def test_the_anytime_interval_is_where_its_own_p_value_reaches_alpha() -> None:
    """The interval is the set of differences that the test does not reject."""
    control, treatment = drawn(0, 400), drawn(1, 400, 0.3)
    look = always_valid(control, treatment, scale=0.2)
    for bound in (look.lower, look.upper):
        shifted = always_valid(control + bound, treatment, scale=0.2)
        assert shifted.p_value == pytest.approx(0.05, rel=1e-9)
    assert always_valid(control + look.upper + 0.01, treatment, scale=0.2).p_value < 0.05
    fixed = fixed_horizon(control, treatment)
    assert look.lower < fixed.lower < fixed.upper < look.upper  # looking all the time costs width


def peeked(seed: int, test: str, *, effect: float = 0.0, units: int = 2000, every: int = 20) -> bool:
    """Whether a test that is looked at every ``every`` units of each arm ever rejects."""
    control, treatment = drawn(2 * seed, units), drawn(2 * seed + 1, units, effect)
    for size in range(WARM_UP, units + 1, every):
        run = fixed_horizon if test == "fixed" else always_valid
        if run(control[:size], treatment[:size]).significant:
            return True
    return False


def test_peeking_ruins_the_fixed_test_and_not_the_anytime_one() -> None:
    runs = 300
    anytime = np.mean([peeked(seed, "anytime") for seed in range(runs)])
    fixed = np.mean([peeked(seed, "fixed") for seed in range(runs)])
    assert anytime <= 0.05
    assert fixed > 0.15
    assert np.mean([peeked(1000 + seed, "anytime", effect=0.4) for seed in range(40)]) > 0.9  # it is not idle either


def test_looks_only_shrink() -> None:
    looks = Looks()
    first = looks.add(Effect(1.0, -1.0, 3.0, 0.2, 1.0))
    second = looks.add(Effect(0.5, -2.0, 2.0, 0.4, 1.0))
    assert (first.lower, first.upper, first.p_value) == (-1.0, 3.0, 0.2)
    assert (second.lower, second.upper, second.p_value, second.difference) == (-1.0, 2.0, 0.2, 0.5)


def test_too_little_to_say() -> None:
    few = always_valid(drawn(0, WARM_UP - 1), drawn(1, 5000))
    assert (few.lower, few.upper, few.p_value) == (-np.inf, np.inf, 1.0)
    same = always_valid(np.ones(200), np.ones(200))
    assert not same.significant
    assert fixed_horizon(np.ones(1), np.ones(9)).p_value == 1.0
    assert fixed_horizon(np.ones(9), np.ones(9)).p_value == 1.0
    with pytest.raises(InputError, match="no unit"):
        fixed_horizon(np.ones(0), np.ones(9))
    with pytest.raises(InputError, match="confidence"):
        fixed_horizon(np.ones(9), np.ones(9), 1.0)


def test_shares_that_are_not_those_configured() -> None:
    fine = sample_ratio(np.array([5000, 5080]))
    assert not fine.mismatch
    wrong = sample_ratio(np.array([5000, 5400]))
    assert wrong.mismatch
    assert wrong.p_value == pytest.approx(stats.chisquare([5000, 5400]).pvalue)
    assert not sample_ratio(np.array([9000, 1010]), weights=(90, 10)).mismatch
    errors = np.mean(
        [sample_ratio(np.random.default_rng(s).multinomial(9000, [1 / 3] * 3)).p_value for s in range(300)]
    )
    assert errors == pytest.approx(0.5, abs=0.06)  # p-values of a right split are uniform
    for weights in ((1.0,), (1.0, 0.0), (1.0, float("nan"))):
        with pytest.raises(InputError, match="weights"):
            sample_ratio(np.array([5, 5]), weights)


def test_cuped_takes_out_what_was_known_before_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    before = drawn(3, 20_000)
    metric = 0.7 * before + rng.normal(size=20_000)
    found = cuped(metric, before)
    assert found.theta == pytest.approx(0.7, abs=0.02)
    correlation = np.corrcoef(metric, before)[0, 1]
    assert found.variance_ratio == pytest.approx(1 - correlation**2, abs=1e-9)
    assert found.values.mean() == pytest.approx(metric.mean())
    partly = before.copy()
    partly[::2] = np.nan
    half = cuped(metric, partly)
    assert (half.values[::2] == metric[::2]).all()
    assert found.variance_ratio < half.variance_ratio < 1
    assert cuped(metric, np.ones(20_000)).variance_ratio == 1.0


def test_a_planned_test_has_the_power_it_was_planned_for() -> None:
    deviation = float(drawn(0, 200_000).std())
    wanted = plan(deviation, 0.25, units_a_day=100, share=0.3)
    assert wanted.effect == pytest.approx(0.25, rel=1e-3)
    assert wanted.days == wanted.units / 100
    treated = round(0.3 * wanted.units)
    found = [
        fixed_horizon(drawn(2 * s, wanted.units - treated), drawn(2 * s + 1, treated, 0.25)).significant
        for s in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)
    assert minimal_detectable_effect(1.0, 3140) == pytest.approx(0.1, abs=1e-3)  # 16 σ²/d² a arm, Kohavi's rule
    for wrong in ({"effect": 0.0}, {"units_a_day": 0.0}, {"deviation": 0.0}, {"power": 1.0}):
        with pytest.raises(InputError):
            plan(**{"deviation": 1.0, "effect": 0.1, "units_a_day": 10.0, **wrong})


def units(seed: int = 0, shift: float = 0.3) -> Units:
    rng = np.random.default_rng(seed)
    arm = rng.integers(2, size=4000)
    before = drawn(seed + 50, 4000)
    segment = np.where(rng.random(4000) < 0.5, "new", "loyal")
    metric = 0.8 * before + rng.normal(size=4000) + np.where(segment == "new", shift, -shift) * arm
    return Units(("old", "new"), arm, {"reward": metric}, {"reward": before}, segment)


def test_an_analysis_tells_groups_apart_and_uses_what_was_known_before() -> None:
    done = analyse(units())
    (one,) = done.effects
    assert one.variance_ratio < 0.6
    plain = fixed_horizon(units().metrics["reward"][units().arm == 0], units().metrics["reward"][units().arm == 1])
    assert one.fixed.stderr < 0.8 * plain.stderr
    assert one.segments["new"].lower > 0 > one.segments["loyal"].upper
    assert done.warnings == ["new, reward: helps some groups and harms others."]
    assert done.to_dict()["effects"][0]["segments"]["new"]["difference"] > 0
    assert one.detectable == pytest.approx(2.8 * one.fixed.stderr, rel=0.01)


def test_an_analysis_of_a_broken_split_says_so() -> None:
    whole = units()
    kept = (whole.arm == 0) | (np.arange(4000) % 5 > 0)
    assert "Sample ratio mismatch" in analyse(whole.take(kept)).warnings[0]


def test_conclusions_say_what_each_test_allows() -> None:
    def said(shift: float, seed: int = 0) -> str:
        rng = np.random.default_rng(seed)
        arm = np.arange(2000) % 2
        values = rng.normal(size=2000)
        values -= np.where(arm == 1, values[arm == 1].mean(), values[arm == 0].mean())
        (line,) = analyse(Units(("old", "new"), arm, {"m": values + shift * arm})).conclusions
        return line

    assert "no difference of new from the control is shown; one of 0.12" in said(0.0)
    assert said(0.1).startswith("m: new is above the control by 0.1 (")
    assert "if this is the one look" in said(0.1)
    assert "m: new is below the control by 0.5, whenever one looks" in said(-0.5)
    flat = Units(("old", "new"), np.arange(300) % 2, {"m": np.ones(300)})
    assert "nothing varies" in analyse(flat).conclusions[0]
    lost = np.concatenate([np.zeros(1000, np.int64), np.ones(700, np.int64)])
    broken = analyse(Units(("old", "new"), lost, {"m": 5.0 * lost + drawn(0, 1700)}))
    assert broken.effects[0].anytime.significant
    assert broken.conclusions == [
        "Nothing may be concluded about the arms: they did not get the users they should have got."
    ]
    two = Units(("old", "new"), np.arange(300) % 2, {"a": drawn(0, 300), "b": drawn(1, 300)})
    assert analyse(two).conclusions[-1] == "Each of these 2 holds with 95% by itself, not all together."


def test_units_are_checked() -> None:
    with pytest.raises(InputError, match="two or more"):
        Units(("old",), np.zeros(1, np.int64), {})
    with pytest.raises(InputError, match=r"metrics\.m"):
        Units(("a", "b"), np.zeros(1, np.int64), {"m": np.array([np.nan])})
    with pytest.raises(InputError, match=r"covariates\.m: has shape"):
        Units(("a", "b"), np.zeros(1, np.int64), {"m": np.ones(1)}, {"m": np.ones(2)})
    with pytest.raises(InputError, match=r"denominators\.n: belongs to no metric"):
        Units(("a", "b"), np.zeros(1, np.int64), {"m": np.ones(1)}, denominators={"n": np.ones(1)})
