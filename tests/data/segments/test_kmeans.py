"""Exact clusters of one dimension against every labelling, every cut, and SciPy from many starts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from rec_platform.data.segments import Rfm, segment_users
from rec_platform.data.segments.kmeans import SEGMENT_OF_SCORE, clusters, kmeans_scores


def squares(values: NDArray[Any], labels: NDArray[Any]) -> float:
    return sum(float(((values[labels == k] - values[labels == k].mean()) ** 2).sum()) for k in np.unique(labels))


def least_of_all_cuts(values: NDArray[Any], count: int) -> float:
    """Over all ways to cut the sorted values into ``count`` runs."""
    values = np.sort(values)
    cuts = combinations(range(1, len(values)), count - 1)
    return min(squares(values, np.searchsorted(cut, np.arange(len(values)), side="right")) for cut in cuts)


def check(values: NDArray[Any], labels: NDArray[Any], count: int) -> None:
    """What holds whatever the values: numbered from 0 by mean, equal values together."""
    distinct = np.unique(values)
    assert set(labels.tolist()) == set(range(min(count, len(distinct))))
    order = np.argsort(values, kind="stable")
    assert (np.diff(labels[order]) >= 0).all()
    assert all(len(set(labels[values == value].tolist())) == 1 for value in distinct)


def test_no_labelling_at_all_is_better() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        values = rng.lognormal(0, 2, 7)
        least = min(squares(values, np.array(labels)) for labels in product(range(3), repeat=7))
        assert squares(values, clusters(values, 3)) == pytest.approx(least)


@pytest.mark.parametrize("size", [4, 5, 8, 9, 16, 17, 23])
def test_no_cut_is_better(size: int) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        values = rng.lognormal(0, 1 + seed, size)
        labels = clusters(values, 4)
        check(values, labels, 4)
        assert squares(values, labels) == pytest.approx(least_of_all_cuts(values, 4), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-8, 8), min_size=1, max_size=12), st.integers(1, 5))
def test_numbers_with_ties(numbers: list[int], count: int) -> None:
    values = np.array(numbers)
    labels = clusters(values, count)
    check(values, labels, count)
    if len(set(numbers)) >= count:
        assert squares(values, labels) == pytest.approx(least_of_all_cuts(values, count), abs=1e-9)


def test_many_values_beat_many_starts_of_another_library() -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(3, 1.5, 3_000)
    ours = squares(values, clusters(values, 4))
    theirs = [squares(values, kmeans2(values, 4, minit="++", rng=rng, iter=100)[1]) for _ in range(20)]
    assert ours <= min(theirs) * (1 + 1e-9)
    assert ours == pytest.approx(min(theirs), rel=0.01)


def test_values_far_from_zero_lose_no_digits() -> None:
    near = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 30.0, 31.0, 32.0, 70.0])
    np.testing.assert_array_equal(clusters(near + 1e9, 4), clusters(near, 4))
    assert clusters(near, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 3]


def test_the_order_of_users_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(0, 30, 100)
    turned = rng.permutation(100)
    np.testing.assert_array_equal(clusters(values, 4)[turned], clusters(values[turned], 4))


@pytest.mark.parametrize(
    ("values", "labels"),
    [([7.0], [0]), ([3.0, 3.0, 3.0], [0, 0, 0]), ([5.0, 1.0, 5.0], [1, 0, 1]), ([2.0, 1.0, 9.0, 1.0], [1, 0, 2, 0])],
)
def test_fewer_distinct_values_than_clusters(values: list[float], labels: list[int]) -> None:
    assert clusters(np.array(values), 4).tolist() == labels


def users(recency: list[float], frequency: list[int], monetary: list[float]) -> Rfm:
    return Rfm(
        user_ids=tuple(f"u{n}" for n in range(len(recency))),
        recency=np.array(recency),
        frequency=np.array(frequency),
        monetary=np.array(monetary),
        as_of=datetime(2020, 1, 1, tzinfo=UTC),
        frequency_is="days",
        monetary_is="sum_of_values",
    )


def test_scores_and_segments_by_hand() -> None:
    """Four values each, so every value is a cluster: the most recent, most frequent and highest get 3."""
    found = users([400.0, 300.0, 200.0, 1.0, 400.0, 200.0], [1, 2, 3, 4, 1, 1], [5.0, 10.0, 20.0, 90.0, 10.0, 10.0])
    assert kmeans_scores(found).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3], [0, 0, 1], [2, 0, 1]]
    segmentation = segment_users(found, "kmeans")
    assert [segmentation.names[code] for code in segmentation.codes] == ["q2", "q1", "q4", "q1", "q2", "q1"]


def test_segment_of_every_score() -> None:
    """0–1 → Q2, 2 → Q3, 4–6 → Q4, else Q1."""
    expected = ["q2" if s <= 1 else "q3" if s == 2 else "q4" if 4 <= s <= 6 else "q1" for s in range(10)]
    assert list(SEGMENT_OF_SCORE) == expected


def test_users_all_alike() -> None:
    found = segment_users(users([3.0, 3.0], [1, 1], [1.0, 1.0]), "kmeans")
    assert [part.name for part in found.summary()] == ["q2"]
