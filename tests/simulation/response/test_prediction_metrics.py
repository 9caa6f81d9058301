"""Log-loss, AUC, calibration error and curve."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.simulation.response.metrics import CALIBRATION_BINS, CalibrationCurve, PredictionMetrics


def test_metrics_by_hand() -> None:
    metrics = PredictionMetrics.of(np.array([0.0, 2.0, -1.0, 2.0]), np.array([True, True, False, False]))
    losses = [np.log(2), np.log1p(np.exp(-2)), np.log1p(np.exp(-1)), np.log1p(np.exp(2))]
    assert metrics.log_loss == pytest.approx(np.mean(losses))
    assert metrics.auc == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert np.isnan(PredictionMetrics.of(np.array([0.0]), np.array([True])).auc)
    assert np.isnan(PredictionMetrics.of(np.zeros(0), np.zeros(0, dtype=bool)).log_loss)


def test_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000)
    logits = np.log(probability / (1 - probability))
    outcome = rng.random(50_000) < probability
    assert PredictionMetrics.of(logits, outcome).calibration_error < 0.01
    assert PredictionMetrics.of(logits, np.ones(50_000, dtype=bool)).calibration_error == pytest.approx(0.5, abs=0.01)


def test_curve_by_hand() -> None:
    """Thirty predictions in fifteen bins of two, whatever order they come in."""
    probability = (np.arange(30) + 0.5) / 30
    outcome = np.arange(30) % 4 == 0
    order = np.random.default_rng(0).permutation(30)
    curve = CalibrationCurve.of(np.log(probability / (1 - probability))[order], outcome[order])
    np.testing.assert_allclose(curve.predicted, probability.reshape(15, 2).mean(axis=1))
    np.testing.assert_allclose(curve.observed, outcome.reshape(15, 2).mean(axis=1))
    assert curve.examples == (2,) * CALIBRATION_BINS
    assert set(curve.to_dict()) == {"predicted", "observed", "examples"}


def test_bins_without_examples_are_left_out() -> None:
    assert CalibrationCurve.of(np.zeros(3), np.ones(3)).examples == (1, 1, 1)
    assert CalibrationCurve.of(np.zeros(0), np.zeros(0)).examples == ()
