"""All that a dataset says of its users, aligned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_dataset import decision, event, tiny_dataset

from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError


@pytest.fixture
def log(tmp_path: Path) -> UserLog:
    events = [
        event("u", "a", 0),
        event("u", "a", 5, "purchase"),
        event("u", "b", 6),
        event("v", "b", 1),
        event("w", "c", 2),
        event("w", "d", 3, "skip"),
        event("w", "e", 4, "random_rating", value=5.0),
        event("u", "e", 4, "random_rating", value=2.0),
        event("u", "d", 4, "random_rating", value=3.0),
        event("u", "c", 4, "random_rating"),  # no value
        event("nobody", "c", 4, "random_rating", value=3.0),  # a user without a history
    ]
    decisions = [decision("1", "w", 1, ["c", "d"], 0), decision("2", "u", 5.5, ["b", "a"], 0)]
    dataset = tiny_dataset(tmp_path, events, decisions, feedback=FeedbackRule(rating_threshold=3.0))
    return UserLog.read(dataset, channels=["purchase"])


def test_read(log: UserLog) -> None:
    assert log.histories.user_ids == ("u", "v", "w")
    assert len(log) == 3
    assert log.user_features.shape == (3, len(log.user_feature_names))
    assert log.exposures is not None
    assert log.exposures.users.tolist() == [0, 2]
    assert log.exposures.ends.tolist() == [2, 0]
    assert log.channels is not None
    assert log.channels.happened[:, 0].tolist() == [True, True, False, False, False, False]
    ratings = log.random_ratings
    assert ratings is not None
    rows = sorted(zip(ratings.users.tolist(), ratings.items.tolist(), ratings.positive.tolist(), strict=True))
    assert rows == [(0, 3, True), (0, 4, False), (2, 4, True)]


def test_select_keeps_the_parts_aligned(log: UserLog) -> None:
    some = log.select(np.array([2, 0]))
    assert some.histories.user_ids == ("w", "u")
    np.testing.assert_array_equal(some.user_features, log.user_features[[2, 0]])
    assert some.exposures is not None
    assert some.exposures.users.tolist() == [0, 1]
    assert some.exposures.timestamps.tolist() == [1_000_000, 5_500_000]
    assert some.channels is not None
    assert some.channels.happened[:, 0].tolist() == [False, False, True, True, False]
    assert some.random_ratings is not None
    assert sorted(zip(some.random_ratings.users.tolist(), some.random_ratings.items.tolist(), strict=True)) == [
        (0, 4),
        (1, 3),
        (1, 4),
    ]


def test_users_without_exposures_or_ratings_have_none(log: UserLog) -> None:
    alone = log.select(np.array([False, True, False]))
    assert alone.exposures is None
    assert alone.random_ratings is None
    assert alone.channels is not None
    assert alone.channels.happened.tolist() == [[False]]


def test_users_with_few_events_are_left_out_everywhere(tmp_path: Path) -> None:
    events = [event("u", "a", 0), event("v", "a", 0), event("v", "b", 1)]
    decisions = [decision("1", "u", 3, ["a"], 0), decision("2", "v", 4, ["b"], 0)]
    log = UserLog.read(tiny_dataset(tmp_path, events, decisions), min_events=2)
    assert log.histories.user_ids == ("v",)
    assert log.exposures is not None
    assert log.exposures.ends.tolist() == [2]
    assert log.random_ratings is None
    assert log.channels is not None
    assert log.channels.names == ()


def test_an_unknown_channel(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'click'"):
        UserLog.read(tiny_dataset(tmp_path, [event("u", "a", 0)]), channels=["clik"])
