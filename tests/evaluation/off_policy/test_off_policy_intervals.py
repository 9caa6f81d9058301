"""Bootstrap and intervals: against SciPy, by hand, by coverage, and invariant under how a log is written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import Estimate, Method, bootstrap_intervals, interval
from rec_platform.evaluation.off_policy.bootstrap import multinomial_counts, replicate
from rec_platform.evaluation.off_policy.estimate import mean_estimate, ratio_estimate


def mean_of(terms: Any, groups: Any = None) -> Estimate:
    terms = np.asarray(terms, dtype=float)
    return mean_estimate("mean", terms, weights=np.ones(len(terms)), groups=groups)


def ratio_of(top: Any, bottom: Any, groups: Any = None) -> Estimate:
    top, bottom = np.asarray(top, dtype=float), np.asarray(bottom, dtype=float)
    return ratio_estimate("ratio", top[:, None], bottom[:, None], weights=bottom, groups=groups)


def test_counts_are_multinomial() -> None:
    counts = np.concatenate(list(multinomial_counts(50, 2000, 0)))
    assert counts.shape == (2000, 50)
    assert (counts.sum(axis=1) == 50).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(50), abs=0.12)
    assert counts.var(axis=0).mean() == pytest.approx(1 - 1 / 50, abs=0.03)
    large = np.concatenate(list(multinomial_counts(300_000, 3, 0)))
    assert (large.sum(axis=1) == 300_000).all()


def test_bootstrap_is_scipys() -> None:
    values = np.random.default_rng(0).exponential(size=300)
    ours = interval(mean_of(values), "bootstrap", replications=4000)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=1).confidence_interval
    normal = interval(mean_of(values), "student_t")  # on no side are ours shorter
    told = min(theirs.low, normal.lower), max(theirs.high, normal.upper)
    assert (ours.lower, ours.upper) == pytest.approx(told, abs=0.01)
    assert theirs.low > normal.lower + 0.01
    assert theirs.high > normal.upper + 0.01
    assert ours.value == pytest.approx(values.mean())


def test_ratios_are_normalised_in_each_replication() -> None:
    rng = np.random.default_rng(1)
    weights, rewards = rng.exponential(size=200), rng.normal(5.0, 1.0, size=200)
    ours = interval(ratio_of(weights * rewards, weights), "bootstrap", replications=4000)
    theirs = stats.bootstrap(
        (weights, rewards), lambda w, r, axis: (w * r).sum(axis) / w.sum(axis), paired=True, method="BCa", rng=2
    ).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert ours.upper - ours.lower < 1.0  # about five times wider if the log's own sum divided


@pytest.mark.parametrize("columns", [1, 2, 3, 9])
def test_a_replication_is_the_estimate_of_the_drawn_rows(columns: int) -> None:
    """Values and standard errors of replications, from the estimate of each drawn log itself."""
    rng = np.random.default_rng(3)
    n = 40
    top, bottom = rng.normal(size=(n, columns)), rng.exponential(size=(n, columns))
    estimate = ratio_estimate("r", top, bottom, weights=bottom, groups=None)
    drawn = replicate([estimate, mean_of(top[:, 0])], replications=20, seed=5)
    counts = np.concatenate(list(multinomial_counts(n, 20, 5))).astype(int)
    for row, count in enumerate(counts):
        again = np.repeat(np.arange(n), count)
        ratio = ratio_estimate("r", top[again], bottom[again], weights=bottom[again], groups=None)
        assert drawn.values[row, 0] == pytest.approx(ratio.value)
        if columns <= 8:  # beyond, the whole log's linearisation is used
            assert drawn.standard_errors[row, 0] == pytest.approx(ratio.standard_error)
        mean = mean_of(top[again, 0])
        assert drawn.values[row, 1] == pytest.approx(mean.value)
        assert drawn.standard_errors[row, 1] == pytest.approx(mean.standard_error)


def test_groups_are_drawn_whole() -> None:
    """Rows copied four times in a group tell no more than one row."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=100)
    single, groups = mean_of(values), np.repeat(np.arange(100), 4)
    copied = mean_of(np.repeat(values, 4), groups)
    assert copied.standard_error == pytest.approx(single.standard_error)
    assert copied.units == 100
    for method in ("bootstrap", "bootstrap_t", "student_t"):
        first, second = interval(single, method), interval(copied, method)
        assert (first.lower, first.upper) == pytest.approx((second.lower, second.upper))
    naive = interval(mean_of(np.repeat(values, 4)), "student_t")
    assert naive.upper - naive.lower < 0.6 * (first.upper - first.lower)


def test_groups_of_unequal_size_are_a_ratio() -> None:
    rng = np.random.default_rng(5)
    groups = np.sort(rng.integers(30, size=200))
    groups = np.unique(groups, return_inverse=True)[1]
    values = rng.normal(size=200) + rng.normal(size=30)[groups]
    estimate = mean_of(values, groups)
    sums, sizes = np.bincount(groups, weights=values), np.bincount(groups)
    as_ratio = ratio_of(sums, sizes)
    assert estimate.value == pytest.approx(as_ratio.value)
    assert estimate.standard_error == pytest.approx(as_ratio.standard_error)
    ours = replicate([estimate], replications=50, seed=1).values
    assert ours == pytest.approx(replicate([as_ratio], replications=50, seed=1).values)


def test_ratios_of_groups_are_ratios_of_their_sums() -> None:
    rng = np.random.default_rng(10)
    groups = np.unique(rng.integers(40, size=200), return_inverse=True)[1]
    top, bottom = rng.normal(size=200), rng.exponential(size=200)
    rows = ratio_of(top, bottom, groups)
    sums = ratio_of(np.bincount(groups, weights=top), np.bincount(groups, weights=bottom))
    assert rows.value == pytest.approx(sums.value)
    assert rows.standard_error == pytest.approx(sums.standard_error)
    first, second = (replicate([estimate], replications=50, seed=1) for estimate in (rows, sums))
    assert first.values == pytest.approx(second.values)
    assert first.standard_errors == pytest.approx(second.standard_errors)


def test_student_t_is_scipys() -> None:
    values = np.random.default_rng(6).normal(size=12)
    ours = interval(mean_of(values), "student_t", 0.9)
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high))


def test_concentration_by_hand() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0] * 50)
    hoeffding = interval(mean_of(values), "hoeffding", term_range=(0.0, 2.0))
    half = 2 * np.sqrt(np.log(40) / 400)
    assert (hoeffding.lower, hoeffding.upper) == pytest.approx((0.5 - half, 0.5 + half))
    bernstein = interval(mean_of(values), "empirical_bernstein", term_range=(0.0, 2.0))
    half = np.sqrt(2 * values.var(ddof=1) * np.log(80) / 200) + 7 * 2 * np.log(80) / (3 * 199)
    assert (bernstein.lower, bernstein.upper) == pytest.approx((0.5 - half, 0.5 + half))
    # never outside the range
    assert interval(mean_of([0.0, 1.0]), "hoeffding", term_range=(0.0, 1.0)).lower == 0.0
    # equal groups are units of their own
    groups = np.repeat(np.arange(100), 2)
    wide = interval(mean_of(values, groups), "hoeffding", term_range=(0.0, 2.0))
    assert wide.upper - 0.5 == pytest.approx(2 * np.sqrt(np.log(40) / 200))


@pytest.mark.parametrize("power", [0.0, 1.0, 3.0])
def test_bootstrap_t_by_hand_is_on_no_side_shorter_than_students_t(power: float) -> None:
    values = np.random.default_rng(11).exponential(size=80) ** power + np.random.default_rng(12).normal(size=80)
    counts = np.concatenate(list(multinomial_counts(80, 999, 4)))
    drawn = [np.repeat(values, count.astype(int)) for count in counts]
    t = np.sort([(one.mean() - values.mean()) / (one.std(ddof=1) / np.sqrt(80)) for one in drawn])
    low, high = t[int(np.ceil(0.025 * 999)) - 1], t[int(np.ceil(0.975 * 999)) - 1]
    normal, error = stats.t.ppf(0.975, 79), values.std(ddof=1) / np.sqrt(80)
    found = interval(mean_of(values), "bootstrap_t", replications=999, seed=4)
    assert found.lower == pytest.approx(values.mean() - max(high, normal) * error)
    assert found.upper == pytest.approx(values.mean() - min(low, -normal) * error)
    if power == 3.0:  # skew: one side longer, the other would be shorter
        assert low < -normal
        assert high < normal


def test_skewed_terms_speak_against_normal_theory_and_percentiles() -> None:
    """Few clicks: skewness (1 - 2p) / √(p (1 - p)), far above √(n / 50)."""
    rare = mean_of(np.r_[np.ones(4), np.zeros(196)])
    p = 4 / 200
    skewness = (1 - 2 * p) / np.sqrt(p * (1 - p))
    method: Method
    for method in ("bootstrap", "student_t"):
        found = interval(rare, method)
        assert not found.reliable
        assert f"{skewness:.3g}" in next(w.sentence for w in found.warnings if w.code == "skewed_terms")
    for method in ("bootstrap_t", "hoeffding", "empirical_bernstein"):
        assert interval(rare, method, term_range=(0.0, 1.0)).reliable
    often = mean_of(np.r_[np.ones(40), np.zeros(160)])
    assert 50 * stats.skew(often.terms) ** 2 < 200
    assert interval(often, "student_t").reliable
    groups = np.tile(np.arange(25), 8)  # 25 units, each less skewed than a row
    sums = np.bincount(groups, weights=np.r_[np.ones(40), np.zeros(160)])
    grouped = interval(mean_of(np.r_[np.ones(40), np.zeros(160)], groups), "student_t")
    assert ("skewed_terms" in {w.code for w in grouped.warnings}) == (50 * stats.skew(sums) ** 2 > 25)


@pytest.mark.parametrize("method", ["bootstrap", "bootstrap_t", "student_t", "hoeffding", "empirical_bernstein"])
def test_coverage(method: Method) -> None:
    rng = np.random.default_rng(7)
    held = []
    for draw in range(300):
        estimate = mean_of(rng.exponential(size=200).clip(max=12.0))
        found = interval(estimate, method, term_range=(0.0, 12.0), replications=300, seed=draw)
        held.append(found.lower <= 1.0 - np.exp(-12) <= found.upper)
    share = np.mean(held)
    assert share >= 0.90
    assert share <= 0.99 or method in ("hoeffding", "empirical_bernstein")


@pytest.mark.parametrize("method", ["bootstrap", "bootstrap_t", "student_t"])
def test_coverage_of_ratios(method: Method) -> None:
    rng = np.random.default_rng(8)
    held = []
    for draw in range(300):
        weights = rng.gamma(4.0, 0.25, size=200)
        rewards = weights + rng.normal(size=200)  # E[w r] / E[w] = E[w²] = 1.25
        found = interval(ratio_of(weights * rewards, weights), method, replications=300, seed=draw)
        held.append(found.lower <= 1.25 <= found.upper)
    assert 0.90 <= np.mean(held) <= 0.99


def test_many_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(9)
    estimates = [mean_of(rng.normal(size=60)), ratio_of(rng.normal(size=60), rng.exponential(size=60))]
    for method in ("bootstrap", "bootstrap_t"):
        together = bootstrap_intervals(estimates, method, seed=3)
        alone = [interval(estimate, method, seed=3) for estimate in estimates]
        for first, second in zip(together, alone, strict=True):
            assert (first.lower, first.upper) == pytest.approx((second.lower, second.upper))


def test_degenerate_estimates() -> None:
    constant = mean_of(np.ones(50))
    for method in ("bootstrap", "bootstrap_t", "student_t"):
        found = interval(constant, method)
        assert (found.lower, found.upper) == (1.0, 1.0)
    one = interval(mean_of([2.0]), "student_t")
    assert np.isnan(one.lower)
    assert not one.reliable
    nothing = ratio_of(np.zeros(40), np.zeros(40))
    for method in ("bootstrap", "student_t"):
        assert not interval(nothing, method).reliable  # type: ignore[arg-type]
    rare = ratio_of(np.r_[1.0, np.zeros(39)], np.r_[1.0, np.zeros(39)])
    assert "undefined_replications" in {warning.code for warning in interval(rare, "bootstrap").warnings}


def test_refusals() -> None:
    ratio, mean = ratio_of(np.ones(5), np.ones(5)), mean_of(np.arange(5))
    for method in ("hoeffding", "empirical_bernstein"):
        with pytest.raises(InputError, match="ratio"):
            interval(ratio, method, term_range=(0.0, 9.0))
        with pytest.raises(InputError, match="term_range"):
            interval(mean, method)
        with pytest.raises(InputError, match="term_range"):
            interval(mean, method, term_range=(0.0, 3.0))
        with pytest.raises(InputError, match="groups"):
            interval(mean_of(np.arange(5), np.array([0, 0, 1, 1, 1])), method, term_range=(0.0, 9.0))
    with pytest.raises(InputError, match="student_t"):
        interval(mean, "studentt")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="resample"):
        bootstrap_intervals([mean], "student_t")
    with pytest.raises(InputError, match="confidence"):
        interval(mean, "bootstrap", 1.0)
    with pytest.raises(InputError, match="replications"):
        interval(mean, "bootstrap", replications=1)
    with pytest.raises(InputError, match="other units"):
        bootstrap_intervals([mean, mean_of(np.arange(6))])
    with pytest.raises(InputError, match="estimates"):
        bootstrap_intervals([])
