"""Simulators learned from real logs: each kind of log gets users that predict it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from slates import random_slates

from rec_platform.data.dataset import Dataset
from rec_platform.data.ingest import ingest
from rec_platform.data.user_log import UserLog
from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig
from rec_platform.simulation.response.fit import ResponseFitConfig
from rec_platform.simulation.response.report import SelectionBias

SHARED_DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def read(name: str, format_: str, folder: Path) -> Dataset:
    source = SHARED_DATA / name
    if not source.is_dir():
        pytest.skip(f"there is no {source}")
    ingest(source, format_, folder / "dataset")
    return Dataset.open(folder / "dataset")


def test_ratings(tmp_path: Path) -> None:
    """MovieLens-100K: better than item mean and user residual on later ratings, and calibrated."""
    log = UserLog.read(read("ml-100k", "movielens-100k", tmp_path))
    simulator, report = LearnedSimulator.fit(log, LearnedSimulatorConfig(num_candidates=100), members=2)
    response = report.response
    assert response.holdout.auc >= 0.76
    assert response.holdout.auc > response.item_and_user.auc + 0.01
    assert response.item_and_user.auc > response.item_mean.auc
    assert response.holdout.log_loss < response.item_and_user.log_loss
    assert response.holdout.calibration_error < 0.02
    users, rng = simulator.users(50, seed=0), np.random.default_rng(0)
    for _ in range(5):
        feedback = users.step(random_slates(users.observation, 5, rng))
        users.restart(feedback.finished)


def test_ratings_with_propensities(tmp_path: Path) -> None:
    """Coat: weighted by propensity the log speaks for random items, of which it has ratings too."""
    dataset = read("coat", "coat", tmp_path)
    bias = SelectionBias.of(dataset)
    assert bias is not None
    assert bias.random_mean == pytest.approx(2.229, abs=5e-4)
    assert bias.naive_mean == pytest.approx(2.611, abs=5e-4)
    assert abs(bias.weighted_mean - 2.229) < 0.5 * abs(bias.naive_mean - 2.229)
    log = UserLog.read(dataset)
    assert log.random_ratings is not None
    errors = {}
    for weighted in (True, False):
        config = LearnedSimulatorConfig(response=ResponseFitConfig(propensity_weighting=weighted))
        _, report = LearnedSimulator.fit(log, config, members=2)
        assert report.response.random_items is not None
        assert report.response.random_items.auc > 0.65
        errors[weighted] = report.response.random_items.calibration_error
    assert errors[True] < errors[False]


def test_purchases_alone(tmp_path: Path) -> None:
    """Online Retail: no negatives and baskets instead of sessions; both are said."""
    log = UserLog.read(read("online-retail", "online-retail", tmp_path), min_events=6)
    log = log.select(np.arange(0, len(log), 3))
    simulator, report = LearnedSimulator.fit(log, LearnedSimulatorConfig(), members=1)
    assert report.response.holdout.auc > 0.7
    assert report.response.sampled_negatives
    assert any("no negative responses" in note for note in report.response.notes)
    assert any("only what was consumed" in note for note in report.response.notes)
    assert simulator.leave.kind == "patience"
