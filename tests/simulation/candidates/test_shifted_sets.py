"""Random sets outside the history: distinct, allowed, and every one as likely as every other."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from rec_platform.simulation.candidates.sets import ShiftedSets, full_catalogue


def history_of(*items: int) -> np.ndarray:
    return np.array(items, dtype=np.int32)


@pytest.mark.parametrize(
    ("num_items", "count", "history"),
    [
        (7, 2, (0, 3, 5)),
        (7, 2, (3, 3, 5)),
        (7, 2, (-1, -1, 6)),
        (7, 2, (-1, -1, -1)),
        (6, 3, (1, 4, 0)),  # count + L = N: nothing to choose but the order
        (6, 3, (2, 2, 2)),
        (5, 1, (4, 0, 1, 1)),
    ],
    ids=str,
)
def test_every_ordered_set_outside_the_history_is_equally_likely(
    num_items: int, count: int, history: tuple[int, ...]
) -> None:
    """Counted over places of one draw and over draws; ``history`` hits candidates and spares alike."""
    size, rounds = 50, 400
    sets = ShiftedSets(num_items, count, len(history), size)
    rng = np.random.default_rng(1)
    given = np.tile(history_of(*history), (size, 1))
    allowed = sorted(set(range(num_items)) - set(history))
    expected = {ordered: 0 for ordered in permutations(allowed, count)}
    row = 0
    for _ in range(rounds):
        sets.draw(rng)
        drawn = sets.take(slice(None), given)
        assert drawn.shape == (size, count)
        for ordered in map(tuple, drawn.tolist()):
            assert ordered in expected
        expected[tuple(drawn[row].tolist())] += 1  # one place a draw: the draws are independent, places are not
        row = (row + 1) % size
    assert chisquare(list(expected.values())).pvalue > 1e-4


def test_unordered_sets_over_many_draws() -> None:
    """A finer count, with one place that changes its history from draw to draw."""
    rng, counts = np.random.default_rng(2), np.zeros((8, 8))
    sets = ShiftedSets(8, 3, 4, 1)
    for _ in range(6_000):
        sets.draw(rng)
        history = rng.choice(np.array([-1, 1, 2, 6, 7], dtype=np.int32), 4)[None]
        history[0, 0] = 2
        drawn = sets.take(slice(None), history)[0]
        assert len(set(drawn.tolist())) == 3
        assert not set(drawn.tolist()) & set(history[0].tolist())
        if set(history[0].tolist()) == {2, 7, -1}:
            for a in drawn:
                for b in drawn:
                    counts[a, b] += a < b
    free = [0, 1, 3, 4, 5, 6]
    pairs = [counts[a, b] for a in free for b in free if a < b]
    assert sum(pairs) > 500
    assert chisquare(pairs).pvalue > 1e-4
    assert counts.sum() == sum(pairs)


@pytest.mark.parametrize(
    ("num_items", "count", "length"), [(1, 1, 0), (12, 12, 0), (62, 12, 50), (3_000, 100, 50), (2_000_000, 100, 50)]
)
def test_sets_are_distinct_and_without_the_history(num_items: int, count: int, length: int) -> None:
    rng = np.random.default_rng(0)
    sets = ShiftedSets(num_items, count, length, 300)
    for _ in range(3):
        sets.draw(rng)
        history = rng.integers(-1, num_items, (300, length)).astype(np.int32)
        drawn = sets.take(slice(None), history)
        assert drawn.dtype == np.int32
        assert drawn.min() >= 0
        assert drawn.max() < num_items
        assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
        assert not (drawn[:, :, None] == history[:, None, :]).any()


def test_some_rows_are_the_rows_of_all() -> None:
    rng = np.random.default_rng(0)
    sets = ShiftedSets(40, 10, 20, 30)
    sets.draw(rng)
    history = rng.integers(-1, 40, (30, 20)).astype(np.int32)
    rows = np.array([2, 3, 11, 29])
    np.testing.assert_array_equal(sets.take(rows, history[rows]), sets.take(slice(None), history)[rows])


def test_the_places_of_one_draw_differ() -> None:
    sets = ShiftedSets(500, 10, 5, 100)
    sets.draw(np.random.default_rng(0))
    drawn = sets.take(slice(None), np.full((100, 5), -1, dtype=np.int32))
    assert len(np.unique(drawn, axis=0)) > 80
    sets.draw(np.random.default_rng(1))
    assert (drawn != sets.take(slice(None), np.full((100, 5), -1, dtype=np.int32))).any(axis=1).mean() > 0.9


def test_full_catalogue_by_hand() -> None:
    history = np.array([[-1, 0, 3], [-1, -1, -1], [2, 2, 1]], dtype=np.int32)
    candidates = full_catalogue(history, 4)
    assert candidates.tolist() == [[-1, 1, 2, -1], [0, 1, 2, 3], [0, -1, -1, 3]]
    assert candidates.dtype == np.int32
