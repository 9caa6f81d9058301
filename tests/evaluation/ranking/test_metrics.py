"""Ranking metrics against `ranx`, and by hand where it has none."""

from __future__ import annotations

import numpy as np
import pytest
import ranx
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.evaluation.ranking.metrics import OVERALL, PER_USER
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings

SHARED = ("ndcg", "hit_rate", "precision", "recall", "map", "mrr")
"""With ranx, under the same names."""


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, list[tuple[list[int], list[int]]]]:
    """k, and for each user a list of k distinct items and what he took."""
    k = draw(st.integers(1, 8))
    users = draw(st.integers(1, 6))
    lists = st.lists(st.integers(0, 19), min_size=k, max_size=k, unique=True)
    taken = st.lists(st.integers(0, 19), min_size=1, max_size=12, unique=True)
    return k, [(draw(lists), draw(taken)) for _ in range(users)]


def rankings_of(pairs: list[tuple[list[int], list[int]]]) -> Rankings:
    items = np.array([shown for shown, _ in pairs], dtype=np.int32)
    hits = np.array([[item in taken for item in shown] for shown, taken in pairs])
    return Rankings(items, hits, np.array([len(taken) for _, taken in pairs]))


FACTS = ItemFacts(counts=np.arange(20)[::-1], features=np.eye(20, dtype=np.float32))


@given(cases())
@settings(max_examples=60, deadline=None)
def test_equal_to_ranx(case):
    k, pairs = case
    qrels = ranx.Qrels({f"u{u}": {f"i{i}": 1 for i in taken} for u, (_, taken) in enumerate(pairs)})
    run = ranx.Run(
        {f"u{u}": {f"i{i}": float(k - rank) for rank, i in enumerate(shown)} for u, (shown, _) in enumerate(pairs)}
    )
    expected = ranx.evaluate(qrels, run, [f"{name}@{k}" for name in SHARED], return_mean=False)
    for name in SHARED:
        ours = PER_USER[name](rankings_of(pairs), FACTS)
        np.testing.assert_allclose(ours, np.atleast_1d(expected[f"{name}@{k}"]), rtol=0, atol=1e-12, err_msg=name)


def facts(counts: list[int], features: list[list[float]] | None = None) -> ItemFacts:
    content = np.array(features if features is not None else [[1.0]] * len(counts), dtype=np.float32)
    return ItemFacts(counts=np.array(counts), features=content)


def lists_of(items: list[list[int]], hits: list[list[int]] | None = None) -> Rankings:
    shown = np.array(items, dtype=np.int32)
    taken = np.zeros(shown.shape, dtype=bool) if hits is None else np.array(hits, dtype=bool)
    return Rankings(shown, taken, np.ones(len(shown), dtype=np.int64))


def test_diversity_by_hand():
    features = [[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    lists = lists_of([[0, 1, 2], [0, 3, -1], [4, 0, -1], [2, -1, -1]])
    expected = [1 - (0 + 1 + 0) / 3, 1 - np.sqrt(0.5), 1.0, 0.0]
    np.testing.assert_allclose(PER_USER["intra_list_diversity"](lists, facts([1] * 5, features)), expected, atol=1e-6)


def test_novelty_by_hand():
    lists = lists_of([[0, 1], [2, 3], [0, -1]])
    expected = [(1 + 2) / 2, (3 + 3) / 2, 1]  # shares ½, ¼, ⅛; an item without events counts as one with one
    np.testing.assert_allclose(PER_USER["novelty"](lists, facts([4, 2, 1, 1])), expected)
    np.testing.assert_allclose(PER_USER["novelty"](lists_of([[3]]), facts([4, 2, 2, 0])), [3])


def test_serendipity_by_hand():
    lists = lists_of([[0, 2], [2, 3], [1, -1]], [[1, 1], [1, 1], [1, 0]])
    np.testing.assert_allclose(PER_USER["serendipity"](lists, facts([9, 8, 2, 1])), [0.5, 1.0, 0.0])


def test_popularity_bias_by_hand():
    lists = lists_of([[0, 1], [3, -1]])
    np.testing.assert_allclose(PER_USER["popularity_bias"](lists, facts([5, 3, 1, 1])), [0.4 * 4, 0.1 * 4])
    even = PER_USER["popularity_bias"](lists_of([[1, 2, 0]]), facts([2, 2, 2]))
    np.testing.assert_allclose(even, [1.0])


def test_coverage_and_gini_by_hand():
    lists = lists_of([[0, 1], [0, 2], [0, -1]])
    assert OVERALL["coverage"](lists, facts([1, 1, 1, 1, 0])) == pytest.approx(3 / 4)
    # shown 0 (item 3), 1, 1, 3: mean absolute difference over twice the mean
    shown = np.array([0, 1, 1, 3])
    expected = np.abs(shown[:, None] - shown).mean() / (2 * shown.mean())
    assert OVERALL["gini"](lists, facts([1, 1, 1, 1, 0])) == pytest.approx(expected)
    assert OVERALL["gini"](lists_of([[0, 1], [2, 3]]), facts([1, 1, 1, 1])) == pytest.approx(0.0)
