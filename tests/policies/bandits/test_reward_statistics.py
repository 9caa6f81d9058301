"""Counts and sums by definition: over all events, by their ages, and over the last ones."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.policies.bandits.statistics import RewardStatistics

EVENTS = 500


def by_definition(
    rows: np.ndarray, items: np.ndarray, rewards: np.ndarray, discount: float, window: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ages = np.arange(len(rows))[::-1]
    weights = discount**ages * (ages < (window or len(rows)))
    tables = [np.zeros((4, 3)) for _ in range(3)]
    for row, item, reward, weight in zip(rows, items, rewards, weights, strict=True):
        for table, value in zip(tables, (1.0, reward, reward**2), strict=True):
            table[row, item] += weight * value
    return tables[0], tables[1], tables[2]


@pytest.mark.parametrize(("discount", "window"), [(1.0, None), (0.98, None), (0.2, None), (1.0, 60), (1.0, 3)])
@pytest.mark.parametrize("batch", [1, 7, 130])
def test_statistics_are_those_of_the_definition(discount: float, window: int | None, batch: int) -> None:
    rng = np.random.default_rng(0)
    rows, items, rewards = rng.integers(4, size=EVENTS), rng.integers(3, size=EVENTS), rng.normal(size=EVENTS)
    statistics = RewardStatistics((4, 3), discount, window)
    for start in range(0, EVENTS, batch):
        part = slice(start, start + batch)
        statistics.add(rows[part], items[part], rewards[part])
        count, total, squares = by_definition(
            rows[: part.stop], items[: part.stop], rewards[: part.stop], discount, window
        )
        assert statistics.count == pytest.approx(count, abs=1e-10)
        assert statistics.total == pytest.approx(total, abs=1e-10)
        assert statistics.squares == pytest.approx(squares, abs=1e-10)


def test_the_far_past_is_forgotten_without_overflow() -> None:
    statistics = RewardStatistics((1, 2), discount=0.5)
    for _ in range(40):
        statistics.add(np.zeros(100, np.int64), np.zeros(100, np.int64), np.ones(100))
    assert statistics.count.tolist() == [[pytest.approx(2.0), 0.0]]
    statistics.add(np.zeros(5000, np.int64), np.ones(5000, np.int64), np.ones(5000))
    assert statistics.count.tolist() == [[0.0, pytest.approx(2.0)]]


def test_means_start_from_initial_values() -> None:
    statistics = RewardStatistics((1, 3))
    statistics.add(np.zeros(3, np.int64), np.array([0, 0, 1]), np.array([1.0, 2.0, 7.0]))
    assert statistics.mean(4.0).tolist() == [[1.5, 7.0, 4.0]]
    assert statistics.mean(4.0, prior_count=2.0).tolist() == [[11 / 4, 5.0, 4.0]]
    assert statistics.mean(np.array([[1.0, 2.0, 3.0]])).tolist() == [[1.5, 7.0, 3.0]]


@pytest.mark.parametrize(("discount", "window"), [(1.0, None), (0.9, None), (1.0, 5)])
def test_a_state_goes_on_to_the_last_bit(discount: float, window: int | None) -> None:
    rng = np.random.default_rng(1)
    one, other = RewardStatistics((2, 2), discount, window), RewardStatistics((2, 2), discount, window)
    one.add(rng.integers(2, size=9), rng.integers(2, size=9), rng.normal(size=9))
    other.set_state(one.state())
    rows, items, rewards = rng.integers(2, size=9), rng.integers(2, size=9), rng.normal(size=9)
    for statistics in (one, other):
        statistics.add(rows, items, rewards)
    for name, array in one.state().items():
        assert np.array_equal(array, other.state()[name])


def test_bad_states_and_sizes_are_refused() -> None:
    statistics = RewardStatistics((2, 2))
    with pytest.raises(InputError, match="count"):
        statistics.set_state({})
    with pytest.raises(InputError, match="shape"):
        statistics.set_state(RewardStatistics((2, 3)).state())
    with pytest.raises(InputError, match="more than"):
        RewardStatistics((1_000_000, 1_000))
