"""Quintile scores against `pandas.qcut`, and the grid of names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from rec_platform.data.segments import METHODS, Rfm, segment_users
from rec_platform.data.segments.quintiles import GRID, QUINTILE_SEGMENTS, quintile_scores
from rec_platform.errors import InputError


def users(recency: NDArray[Any], frequency: NDArray[Any], monetary: NDArray[Any]) -> Rfm:
    return Rfm(
        user_ids=tuple(f"u{n:05d}" for n in range(len(recency))),
        recency=np.asarray(recency, dtype=np.float64),
        frequency=np.asarray(frequency, dtype=np.int64),
        monetary=np.asarray(monetary, dtype=np.float64),
        as_of=datetime(2020, 1, 1, tzinfo=UTC),
        frequency_is="days",
        monetary_is="sum_of_values",
    )


def some(count: int, seed: int = 0) -> Rfm:
    """Many ties in frequency, some in the others."""
    rng = np.random.default_rng(seed)
    return users(rng.integers(1, 200, count) / 2, rng.geometric(0.5, count), rng.integers(0, 50, count))


@pytest.mark.parametrize("count", [5, 10, 85, 1000])
def test_scores_are_those_of_pandas(count: int) -> None:
    """Where 5 divides the number of users there is only one way to cut it."""
    found = some(count)
    for column, values in enumerate((-found.recency, found.frequency, found.monetary)):
        ranks = pd.Series(values).rank(method="first")
        expected = pd.qcut(ranks, 5, labels=range(1, 6)).astype(int)
        np.testing.assert_array_equal(quintile_scores(found)[:, column], expected)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 7, 99, 1003])
def test_fifths_are_equal_and_ordered(count: int) -> None:
    found = some(count, seed=count)
    scores = quintile_scores(found)
    for column, values in enumerate((-found.recency, found.frequency, found.monetary)):
        sizes = np.bincount(scores[:, column], minlength=6)[1:]
        assert sizes.sum() == count
        assert sizes.max() - sizes.min() <= 1
        order = np.argsort(scores[:, column], kind="stable")
        assert (np.diff(values[order])[np.diff(scores[order, column]) > 0] >= 0).all()
    assert len(segment_users(found).codes) == count


def test_of_equal_users_the_later_id_scores_higher() -> None:
    equal = users(np.ones(10), np.ones(10), np.ones(10))
    assert quintile_scores(equal).tolist() == [[1 + n // 2] * 3 for n in range(10)]


def test_the_grid_names_every_pair() -> None:
    assert [len(row) for row in GRID] == [5] * 5
    assert {name for row in GRID for name in row} == set(QUINTILE_SEGMENTS)
    assert len(set(QUINTILE_SEGMENTS)) == len(QUINTILE_SEGMENTS) == 11
    assert all(name == name.lower() and name.replace("_", "").isalpha() for name in QUINTILE_SEGMENTS)


@pytest.mark.parametrize(
    ("recency", "frequency", "name"),
    [
        (1, 1, "lost"), (1, 2, "hibernating"), (2, 1, "hibernating"), (2, 2, "hibernating"),
        (1, 3, "at_risk"), (2, 4, "at_risk"), (1, 5, "cannot_lose_them"), (2, 5, "cannot_lose_them"),
        (3, 1, "about_to_sleep"), (3, 2, "about_to_sleep"), (3, 3, "need_attention"), (3, 4, "loyal"), (4, 5, "loyal"),
        (4, 1, "promising"), (5, 1, "new_customers"), (4, 2, "potential_loyalist"), (5, 3, "potential_loyalist"),
        (5, 4, "champions"), (5, 5, "champions"),
    ],
)  # fmt: skip
def test_users_of_given_scores(recency: int, frequency: int, name: str) -> None:
    """Of five users with every score once, the one of these two."""
    days, visits = np.arange(5, 0, -1) * 10, np.arange(1, 6)  # user n has scores n + 1 in both …
    visits = np.roll(visits, recency - frequency)  # … until the visits are turned
    found = segment_users(users(days, visits, visits))
    assert quintile_scores(found.rfm)[recency - 1, :2].tolist() == [recency, frequency]
    assert found.names[found.codes[recency - 1]] == name


def test_summary_by_hand() -> None:
    found = segment_users(users(np.array([50, 40, 30, 20, 10]), np.array([1, 2, 3, 4, 5]), np.array([1, 2, 3, 4, 6])))
    names = [found.names[code] for code in found.codes]
    assert names == ["lost", "hibernating", "need_attention", "loyal", "champions"]
    first = found.summary()[0]
    assert (first.name, first.users, first.share) == ("champions", 1, 0.2)
    assert (first.recency, first.frequency, first.monetary) == (10, 5, 6)
    assert len(found.summary()) == 5


def test_unknown_method() -> None:
    with pytest.raises(InputError, match="did you mean 'kmeans'"):
        segment_users(some(5), "kmean")  # type: ignore[arg-type]
    assert set(METHODS) == {"quintiles", "kmeans"}
