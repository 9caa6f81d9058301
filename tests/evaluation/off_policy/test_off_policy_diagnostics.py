"""Each diagnostic finds what it is for, by hand, and keeps quiet on a sound log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rec_platform.evaluation.off_policy import CODES, IPS, UNRELIABLE, BanditFeedback
from rec_platform.evaluation.off_policy.diagnostics import (
    effective_sample_size,
    inverse_propensity_audit,
    inverse_propensity_warnings,
    largest_share,
    mean_weight_warnings,
    propensity_floor_warnings,
    support_warnings,
    unseen_mass,
    unsupported_mass,
    weight_warnings,
)


def codes(warnings: Any) -> set[str]:
    found = {warning.code for warning in warnings}
    assert found <= set(CODES)
    return found


def test_effective_sample_size_by_hand() -> None:
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_sample_size(np.array([1.0, 3.0])) == pytest.approx(16 / 10)
    assert effective_sample_size(np.zeros(3)) == 0
    assert effective_sample_size(np.array([[1.0, 1.0], [1.0, 3.0]])) == pytest.approx(1.6)
    # two units of summed weights 4 and 3
    groups = np.array([0, 0, 1])
    assert effective_sample_size(np.array([1.0, 3.0, 3.0]), groups) == pytest.approx(49 / 25)


def test_largest_share_by_hand() -> None:
    assert largest_share(np.array([1.0, 3.0])) == pytest.approx(0.75)
    assert largest_share(np.array([-3.0, 1.0])) == pytest.approx(0.75)
    assert np.isnan(largest_share(np.zeros(2)))
    assert largest_share(np.array([1.0, 3.0, 4.0]), np.array([0, 0, 1])) == pytest.approx(0.5)


def test_weights_that_rest_on_few() -> None:
    assert not codes(weight_warnings(np.ones(1000), None))
    assert codes(weight_warnings(np.ones(20), None)) == {"few_units", "low_effective_sample_size"}
    heavy = np.concatenate([np.ones(900), [1000.0]])
    assert codes(weight_warnings(heavy, None)) == {"low_effective_sample_size", "large_weight_share"}
    assert "few_units" in codes(weight_warnings(np.ones(1000), np.arange(1000) % 10))
    assert "no_overlap" in codes(weight_warnings(np.zeros(1000), None))


def test_mean_weight() -> None:
    rng = np.random.default_rng(0)
    sound = rng.choice([0.5, 1.5], size=4000)
    assert not mean_weight_warnings(sound)
    assert not mean_weight_warnings(np.ones(10))
    assert codes(mean_weight_warnings(sound * 0.8)) == {"weights_do_not_average_one"}
    assert "never shows" in mean_weight_warnings(np.full(10, 0.5))[0].sentence
    assert "too small" in mean_weight_warnings(sound * 1.2)[0].sentence


def test_audit_of_propensities() -> None:
    rng = np.random.default_rng(1)
    p = np.array([0.1, 0.2, 0.7])
    shown = p[rng.choice(3, size=5000, p=p)]
    three = np.full(5000, 3)
    audit = inverse_propensity_audit(shown, three)
    assert audit.mean == pytest.approx((1 / shown).mean())
    assert audit.expected == 3
    assert abs(audit.z) < 4
    assert not inverse_propensity_warnings(shown, three)
    assert not inverse_propensity_warnings(shown, None)
    assert codes(inverse_propensity_warnings(shown * 0.8, three)) == {"propensities_too_small"}
    assert codes(inverse_propensity_warnings(shown, three + 2)) == {"support_not_full"}
    uniform = np.full(50, 0.25)
    assert inverse_propensity_audit(uniform, np.full(50, 4)).z == 0
    assert codes(inverse_propensity_warnings(uniform, np.full(50, 3))) == {"propensities_too_small"}


def test_support_gaps() -> None:
    actions, target = np.array([0, 0, 1]), np.array([0.5, 0.2, 0.3])
    assert unseen_mass(actions, target, 3) == pytest.approx(0.3)
    assert unseen_mass(actions, np.tile(target, (3, 1)), 3) == pytest.approx(0.3)
    assert unsupported_mass(target, np.array([0.5, 0.0, 0.5])) == pytest.approx(0.2)
    assert codes(support_warnings(actions, target, None, 3)) == {"support_gap"}
    assert not support_warnings(actions, np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.5, 0.0]), 3)
    assert codes(support_warnings(actions, np.array([0.5, 0.5, 0.0]), np.array([1.0, 0.0, 0.0]), 3)) == {"support_gap"}
    assert not support_warnings(actions, None, None, 3)


def test_a_floor_of_propensities() -> None:
    rng = np.random.default_rng(2)
    smooth = rng.uniform(0.0005, 1.0, size=1000)
    assert not propensity_floor_warnings(smooth)
    clipped = np.where(rng.random(1000) < 0.05, 1e-4, smooth)
    assert codes(propensity_floor_warnings(clipped)) == {"propensity_floor"}
    assert not propensity_floor_warnings(np.full(10, 1e-4))  # uniform over many
    assert not propensity_floor_warnings(np.where(rng.random(1000) < 0.3, 0.02, 0.9))


def test_an_estimate_carries_them() -> None:
    rng = np.random.default_rng(3)
    n = 2000
    actions = rng.integers(2, size=n)
    feedback = BanditFeedback(
        actions=actions,
        rewards=np.ones(n),
        behaviour=np.full(n, 0.5),
        target=np.full(n, 1 / 3),
        target_all=np.full(3, 1 / 3),
        behaviour_all=np.array([0.5, 0.5, 0.0]),
        available=np.full(n, 3),
    )
    estimate = IPS().estimate(feedback)
    assert codes(estimate.warnings) == {"weights_do_not_average_one", "support_gap", "support_not_full"}
    assert not estimate.reliable
    assert set(CODES) > UNRELIABLE
    assert estimate.value == pytest.approx(2 / 3)
