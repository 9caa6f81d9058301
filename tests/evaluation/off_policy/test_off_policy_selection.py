"""Simultaneous intervals hold all values at once; only who is surely better is called so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import Estimate, EstimateWarning, select
from rec_platform.evaluation.off_policy.estimate import mean_estimate


def estimates(values: np.ndarray) -> dict[str, Estimate]:
    """Of columns [n, K]."""
    ones = np.ones(len(values))
    return {str(k): mean_estimate(str(k), column, weights=ones, groups=None) for k, column in enumerate(values.T)}


@pytest.mark.parametrize("correction", ["max_t", "bonferroni"])
def test_all_values_are_held_at_once(correction: Any) -> None:
    rng = np.random.default_rng(0)
    truths = np.linspace(0, 1, 6)
    all_held, better = [], []
    for draw in range(200):
        common = rng.normal(size=(100, 1))
        found = select(
            estimates(truths + common + 0.5 * rng.normal(size=(100, 6))),
            "0",
            correction=correction,
            replications=300,
            seed=draw,
        )
        all_held.append(all(c.lower <= truths[int(c.name)] <= c.upper for c in found.candidates))
        better.append(all(c.difference_lower <= truths[int(c.name)] <= c.difference_upper for c in found.candidates))
    assert np.mean(all_held) >= 0.90
    assert np.mean(better) >= 0.90


def test_chance_alone_makes_no_winner() -> None:
    rng = np.random.default_rng(1)
    wrong = sum(bool(select(estimates(rng.normal(size=(80, 20))), "0", replications=300).better) for _ in range(100))
    assert wrong <= 12  # one-sided at most 2.5 of 100; pairwise intervals would give about 20


def test_bonferroni_by_hand_and_max_t_is_narrower_for_like_candidates() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(200, 1)) + 0.05 * rng.normal(size=(200, 10))
    bonferroni = select(estimates(values), correction="bonferroni")
    max_t = select(estimates(values))
    first = next(c for c in bonferroni.candidates if c.name == "0")
    half = stats.t.ppf(1 - 0.05 / 20, 199) * values[:, 0].std(ddof=1) / np.sqrt(200)
    assert first.upper - first.value == pytest.approx(half)
    other = next(c for c in max_t.candidates if c.name == "0")
    assert other.upper - other.value < 0.85 * half
    assert np.isnan(first.difference)
    assert not bonferroni.better


def test_pairs_on_one_log_see_small_differences() -> None:
    rng = np.random.default_rng(3)
    common = 10 * rng.normal(size=(500, 1))
    found = select(estimates(common + np.array([0.0, 0.2, -0.2, 0.0]) + 0.1 * rng.normal(size=(500, 4))), "0")
    assert found.better == ("1",)
    assert found.candidates[0].name == "1"
    assert [c.value for c in found.candidates] == sorted((c.value for c in found.candidates), reverse=True)
    base = next(c for c in found.candidates if c.name == "0")
    assert (base.difference, base.difference_lower, base.difference_upper, base.surely_better) == (0, 0, 0, False)


def test_an_unreliable_estimate_is_never_surely_better() -> None:
    parts = estimates(np.random.default_rng(4).normal(size=(300, 2)) + np.array([0.0, 5.0]))
    assert select(parts, "0").better == ("1",)
    for name in ("0", "1"):
        doubted = {**parts, name: parts[name].with_warnings(EstimateWarning("support_gap", "half is missing"))}
        assert not select(doubted, "0").better


def test_identical_candidates() -> None:
    values = np.random.default_rng(5).normal(size=(100, 1))
    found = select(estimates(np.repeat(values, 3, axis=1)), "1")
    assert not found.better
    assert all(c.difference_upper == pytest.approx(0.0, abs=1e-12) for c in found.candidates)


def test_refusals() -> None:
    parts = estimates(np.random.default_rng(6).normal(size=(50, 2)))
    bad: Any = "holm"
    with pytest.raises(InputError, match="baseline"):
        select(parts, "none")
    with pytest.raises(InputError, match="correction"):
        select(parts, "0", correction=bad)
    with pytest.raises(InputError, match="confidence"):
        select(parts, "0", confidence=0.0)
    with pytest.raises(InputError, match="one unit"):
        select(estimates(np.ones((1, 2))), "0")
    with pytest.raises(InputError, match="estimates"):
        select({})
