"""The columns that rankings are made of."""

from __future__ import annotations

import numpy as np
import pytest
from honesty_toys import personal, rigged

from rec_platform.evaluation.honesty.item_columns import FEATURE_COLUMNS, item_columns, standardised
from rec_platform.evaluation.honesty.random_play import RandomPlay, shrunk_means, watch_random_play
from rec_platform.types import Float64


def seen(items: int, **changes: Float64) -> RandomPlay:
    """Random play of which nothing was to be learned, but for ``changes``."""
    flat = np.zeros(items)
    columns = {"reward_after": flat, "return_after": flat, "mean_immediate_value": flat, **changes}
    return RandomPlay(**columns, immediate_scale=1.0, similarity_scale=np.nan, mean_value=0.0, value_range=(0.0, 0.0))


def test_standardised() -> None:
    np.testing.assert_allclose(standardised(np.array([1.0, 3.0])), [-1.0, 1.0])
    np.testing.assert_allclose(standardised(np.array([1.0, np.nan, 3.0])), np.array([-1.0, 0.0, 1.0]) * 1.5**0.5)
    assert not standardised(np.full(4, 0.1)).any()
    assert not standardised(np.full(4, np.nan)).any()


def test_features_squares_and_flat_columns() -> None:
    features = np.array([[0, 1, 5], [1, 2, 5], [0, 3, 5], [1, 4, 5]], dtype=np.float32)
    columns = item_columns(features, seen(4))
    assert columns.names == ("feature 0", "feature 1", "feature 1 squared")  # a square of 0 and 1 tells nothing new
    np.testing.assert_allclose(columns.values.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(columns.values.std(axis=0), 1.0)
    middle = columns.values[:, 2]
    assert middle[0] == middle[3] > middle[1] == middle[2]


def test_popularity_is_logarithmic_and_nothing_stands_below_all() -> None:
    popularity = np.array([0.0, 1.0, 2.0, 4.0])
    columns = item_columns(np.zeros((4, 1), dtype=np.float32), seen(4), popularity)
    assert columns.names == ("log popularity",)
    np.testing.assert_allclose(np.diff(columns.values[:, 0]), np.diff(columns.values[:, 0])[0])  # 1/2, 1, 2, 4
    assert item_columns(np.zeros((4, 1), dtype=np.float32), seen(4), np.zeros(4)).names == ()


def test_many_features_become_components() -> None:
    features = np.random.default_rng(0).random((100, 60)).astype(np.float32)
    columns = item_columns(features, seen(100, reward_after=np.arange(100.0)))
    assert len(columns.names) == 1 + FEATURE_COLUMNS
    assert columns.names[0] == "reward after"
    assert columns.names[1] == "feature component 0"
    products = columns.values[:, 1:].T @ columns.values[:, 1:] / 100
    np.testing.assert_allclose(products, np.eye(FEATURE_COLUMNS), atol=1e-6)


def test_shrunk_means_by_hand() -> None:
    """Items 0 and 1 with two exposures each, item 2 with none; one item a slate."""
    items = np.array([[0], [0], [1], [1]], dtype=np.int32)
    residuals = np.array([3.0, 1.0, -1.0, -3.0])
    # means 2 and -2; variance of a residual 5; between = (4 + 4)/2 - 5 (1/2 + 1/2)/2 = 1.5; 2/(2 + 5/1.5) = 0.375
    np.testing.assert_allclose(shrunk_means(items, residuals, 3), [0.75, -0.75, 0.0])


def test_shrunk_means_of_nothing_but_noise() -> None:
    items = np.array([[0], [0], [1], [1]], dtype=np.int32)
    shrunk = shrunk_means(items, np.array([3.0, -2.9, 3.0, -3.1]), 2)
    assert np.abs(shrunk).max() < 0.01
    assert shrunk[0] > shrunk[1]


def test_random_play_finds_what_is_liked() -> None:
    simulator = rigged(50)
    play = watch_random_play(simulator, users=400, seed=3)
    best = set(np.flatnonzero(simulator.liked[0]))
    assert set(np.argsort(-play.reward_after)[:5]) == best
    assert set(np.argsort(-play.return_after)[:5]) == best
    np.testing.assert_allclose(play.mean_immediate_value, simulator.liked[0] / 5, rtol=1e-6)
    assert play.mean_value == pytest.approx(0.02)
    assert play.immediate_scale == pytest.approx(0.2 * (0.1 * 0.9) ** 0.5)
    assert np.isnan(play.similarity_scale)
    assert play.value_range == pytest.approx((0.0, 0.2))


def test_columns_by_name() -> None:
    simulator = personal(12)
    columns = item_columns(simulator.item_features, watch_random_play(simulator, users=50, seed=0))
    kept = columns.named(("feature 1", "reward after", "unknown"))
    assert kept.names == ("reward after", "feature 1")
    assert kept.values.shape == (12, 2)
