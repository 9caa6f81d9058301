"""The response model: what it learns, what it refuses, and that its parts agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_log import ITEMS, synthetic_log

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.simulation.learned import LearnedSimulator, unit_rows
from rec_platform.simulation.prediction_metrics import PredictionMetrics
from rec_platform.simulation.response_examples import split_examples
from rec_platform.simulation.response_fit import FitReport, ResponseFitConfig, fit_response_model
from rec_platform.simulation.response_model import ResponseModel, history_statistics

ML_100K = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ml-100k"


def test_it_learns_from_the_history_what_the_item_mean_cannot(fitted: tuple[LearnedSimulator, FitReport]) -> None:
    report = fitted[1]
    assert report.item_mean.auc < 0.6
    assert report.holdout.auc > 0.78
    assert report.holdout.log_loss < report.item_mean.log_loss - 0.1
    assert set(report.to_dict()) == {"train", "holdout", "item_mean"}


def test_slate_logits_are_the_catalogue_logits_of_these_items(simulator: LearnedSimulator) -> None:
    observation = simulator.users(20, seed=0).observation
    given = (observation.user_features, observation.history, observation.history_feedback)
    items = np.random.default_rng(0).integers(0, ITEMS, (20, 3)).astype(np.int32)
    every = simulator.model.logits(*given)
    assert every.shape == (20, ITEMS)
    assert every.dtype == np.float32
    np.testing.assert_allclose(
        simulator.model.slate_logits(*given, items), np.take_along_axis(every, items, axis=1), rtol=1e-4, atol=1e-5
    )


def test_padding_has_no_influence(simulator: LearnedSimulator) -> None:
    """The formula of the module, written out for one user."""
    model, length = simulator.model, simulator.spec.history_length
    history = np.full((1, length), -1, dtype=np.int32)
    feedback = np.zeros((1, length), dtype=np.float32)
    history[0, -2:], feedback[0, -2:] = [7, 3], [1.0, -1.0]
    features = np.array([[0.3, -0.2]], dtype=np.float32)
    pools = []
    for item, weights, age in ((7, model.positive_age_weights, -2), (3, model.negative_age_weights, -1)):
        pools.append(weights[age] * model.item_vectors[item] / (1 + weights[age]))
    residual = (1 - model.item_mean[7]) + (0 - model.item_mean[3])
    statistics = [residual / 7, residual / 7, np.log(2) / 4, np.log(2) / 4]
    hidden = np.tanh(np.concatenate([*pools, statistics, features[0]]) @ model.hidden_weights + model.hidden_bias)
    output = hidden @ model.output_weights + model.output_bias
    expected = model.item_bias + output[-1] + model.item_vectors @ output[:-1]
    np.testing.assert_allclose(model.logits(features, history, feedback)[0], expected, rtol=1e-4, atol=1e-5)


def test_statistics_by_hand() -> None:
    mean = np.array([0.5, 0.75], dtype=np.float32)
    history, feedback = np.array([[-1, 0, 1]], dtype=np.int32), np.array([[0, 1, -1]], dtype=np.float32)
    expected = [(0.5 - 0.75) / 7, (0.5 - 0.75) / 7, np.log(2) / 4, np.log(2) / 4]
    np.testing.assert_allclose(history_statistics(history, feedback, mean)[0], expected, rtol=1e-6)


def test_one_seed_one_model(simulator: LearnedSimulator) -> None:
    catalog, histories, user_features = synthetic_log()
    content = unit_rows(catalog.features)
    config = ResponseFitConfig(epochs=1)
    models = [
        fit_response_model(
            content=content,
            histories=histories,
            user_features=user_features,
            history_length=12,
            config=config,
            seed=seed,
        )[0]
        for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(models[0].item_vectors, models[1].item_vectors)
    assert (models[0].item_vectors != models[2].item_vectors).any()


def test_saved_and_loaded_it_is_the_same(simulator: LearnedSimulator, tmp_path: Path) -> None:
    simulator.model.save(tmp_path)
    loaded = ResponseModel.load(tmp_path)
    observation = simulator.users(5, seed=1).observation
    given = (observation.user_features, observation.history, observation.history_feedback)
    np.testing.assert_array_equal(loaded.logits(*given), simulator.model.logits(*given))


def test_loading_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable response model"):
        ResponseModel.load(tmp_path)


def test_another_history_length_is_refused(simulator: LearnedSimulator) -> None:
    with pytest.raises(InputError, match="the model wants"):
        simulator.model.logits(
            np.zeros((1, 2), dtype=np.float32), np.zeros((1, 5), dtype=np.int32), np.zeros((1, 5), dtype=np.float32)
        )


def test_a_log_without_negatives_gets_unmet_items(simulator: LearnedSimulator) -> None:
    catalog, histories, user_features = synthetic_log(positive_only=True)
    train, holdout = split_examples(histories, num_items=ITEMS, rng=np.random.default_rng(0))
    assert train.outcomes.mean() == pytest.approx(0.5, abs=0.01)
    assert len(train) + len(holdout) == 2 * len(histories.items)
    met = {(u, i) for u, i in zip(histories.user_of_event, histories.items, strict=True)}
    negative = train.outcomes == 0
    assert not any((u, i) in met for u, i in zip(train.users[negative], train.items[negative], strict=True))
    _, report = fit_response_model(
        content=unit_rows(catalog.features),
        histories=histories,
        user_features=user_features,
        history_length=12,
        config=ResponseFitConfig(epochs=10),
    )
    assert report.holdout.auc > 0.65


def test_the_later_events_of_each_user_are_held_out() -> None:
    _, histories, _ = synthetic_log()
    train, holdout = split_examples(histories, num_items=ITEMS, rng=np.random.default_rng(0))
    for user in range(3):
        assert train.positions[train.users == user].max() == 31
        assert holdout.positions[holdout.users == user].min() == 32


def test_a_log_of_negatives_alone_is_refused() -> None:
    catalog, histories, user_features = synthetic_log()
    negative = Histories(
        histories.user_ids, histories.offsets, histories.items, -np.abs(histories.feedback), histories.timestamps
    )
    with pytest.raises(InputError, match="every response is negative"):
        fit_response_model(
            content=unit_rows(catalog.features), histories=negative, user_features=user_features, history_length=12
        )


def test_features_that_are_no_numbers_are_refused() -> None:
    catalog, histories, user_features = synthetic_log()
    user_features[3, 1] = np.nan
    with pytest.raises(InputError, match="not a finite number"):
        fit_response_model(
            content=unit_rows(catalog.features), histories=histories, user_features=user_features, history_length=12
        )


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


@pytest.mark.skipif(not ML_100K.is_dir(), reason=f"no MovieLens-100K in {ML_100K}")
def test_movielens() -> None:
    ratings = np.loadtxt(ML_100K / "u.data", dtype=np.int64)
    lines = (ML_100K / "u.item").read_text(encoding="latin-1").splitlines()
    genres = np.array([line.split("|")[5:] for line in lines], dtype=np.float32)
    order = np.lexsort((ratings[:, 1], ratings[:, 3], ratings[:, 0]))
    user, item, rating, time = ratings[order].T
    histories = Histories(
        user_ids=tuple(str(u) for u in range(1, 944)),
        offsets=np.concatenate(([0], np.cumsum(np.bincount(user - 1, minlength=943)))).astype(np.int64),
        items=(item - 1).astype(np.int32),
        feedback=np.where(rating >= 4, 1, -1).astype(np.float32),
        timestamps=time,
    )
    _, report = fit_response_model(
        content=unit_rows(genres),
        histories=histories,
        user_features=np.zeros((943, 0), dtype=np.float32),
        history_length=50,
        config=ResponseFitConfig(epochs=2),
    )
    assert report.holdout.auc >= 0.74
    assert report.holdout.auc > report.item_mean.auc + 0.03
    assert report.holdout.calibration_error < 0.05
