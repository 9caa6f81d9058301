"""Bootstrap intervals and the paired test against SciPy's, and against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rec_platform.evaluation.ranking.resampling import intervals, paired


def test_interval_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(0).exponential(size=300)
    ours = intervals(values[:, None])[0]
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.lower == pytest.approx(theirs.low, abs=0.02)
    assert ours.upper == pytest.approx(theirs.high, abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    held = [intervals(rng.normal(1.0, 2.0, size=(100, 1)), seed=draw)[0] for draw in range(200)]
    share = np.mean([interval.lower <= 1.0 <= interval.upper for interval in held])
    assert 0.90 <= share <= 0.985  # 0.95, four standard errors


def test_paired_against_scipys_permutation_test():
    rng = np.random.default_rng(2)
    first = rng.normal(size=60)
    second = first - 0.15 + 0.6 * rng.normal(size=60)
    ours = paired(first, second)
    theirs = stats.permutation_test(
        (first - second,), np.mean, permutation_type="samples", n_resamples=20_000, rng=4
    ).pvalue
    assert ours.difference == pytest.approx((first - second).mean())
    assert ours.p_value == pytest.approx(theirs, abs=0.03)
    assert ours.lower < ours.difference < ours.upper


def test_paired_of_equals_says_nothing():
    same = paired(np.ones(20), np.ones(20))
    assert (same.difference, same.lower, same.upper, same.p_value) == (0.0, 0.0, 0.0, 1.0)
