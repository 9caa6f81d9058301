"""Drift against hand computation, and against streams that do and do not drift."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.serving.observability.drift import Drift


def test_psi_is_the_sum_over_bins() -> None:
    drift = Drift(reference=4, window=2, bins=2)
    drift.add(np.array([0.0, 0.0, 1.0, 1.0]))  # the median is 0: bins below it, and from it on
    assert drift.psi == pytest.approx(0.0)
    drift.add(np.array([-1.0]))
    p = np.array([0.0 + 0.5, 2.0 + 0.5]) / 3  # weights of a window of 2, and half a value in each bin
    q = np.array([0.5 * 0 + 1 + 0.5, 0.5 * 2 + 0.5]) / 3
    assert drift.psi == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_mean_and_deviation_are_weighted() -> None:
    rng = np.random.default_rng(0)
    first, later = rng.normal(5, 2, 50), rng.normal(7, 1, 30)
    drift = Drift(reference=50, window=20)
    drift.add(np.concatenate([first, later]))
    keep = 1 - 1 / 20
    weights = np.concatenate([np.full(50, 20 / 50 * keep**30), keep ** np.arange(29, -1, -1.0)])
    assert weights.sum() == pytest.approx(20)
    values = np.concatenate([first, later])
    mean = np.average(values, weights=weights)
    assert drift.mean == pytest.approx(mean)
    assert drift.std == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def test_chunks_do_not_matter() -> None:
    values = np.random.default_rng(1).normal(size=500)
    whole, parts = Drift(100, 50), Drift(100, 50)
    whole.add(values)
    for part in np.array_split(values, 37):
        parts.add(part)
    assert whole.psi is not None
    assert (whole.psi, whole.mean, whole.std) == pytest.approx((parts.psi, parts.mean, parts.std))


def test_drift_is_told_and_none_is_not() -> None:
    rng = np.random.default_rng(2)
    same, shifted = Drift(), Drift()
    first = rng.normal(size=2_000)
    same.add(np.concatenate([first, rng.normal(size=10_000)]))
    shifted.add(np.concatenate([first, rng.normal(0.7, 1.0, size=10_000)]))
    assert same.psi is not None
    assert shifted.psi is not None
    assert same.psi < 0.03 < 0.25 < shifted.psi
    assert shifted.psi == pytest.approx(0.7**2, rel=0.3)  # the symmetrised divergence of two normals, less the binning


@pytest.mark.parametrize("later", [-1.0, 1.5, 4.0])
def test_what_never_varied_drifts_either_way(later: float) -> None:
    drift = Drift(reference=20, window=20)
    drift.add(np.full(40, 1.0))
    assert drift.psi == pytest.approx(0.0, abs=1e-9)
    drift.add(np.full(40, later))
    assert drift.psi is not None
    assert drift.psi > 1


def test_before_the_reference() -> None:
    drift = Drift(reference=10)
    assert (drift.psi, drift.mean, drift.std) == (None, None, None)
    drift.add(np.array([1.0, np.nan, 3.0, np.inf]))
    assert (drift.psi, drift.mean, drift.std) == (None, 2.0, 1.0)
