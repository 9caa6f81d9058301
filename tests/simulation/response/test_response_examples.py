"""What response models are fitted on, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_log import ITEMS, synthetic_log

from rec_platform.data.event_channels import EventChannels
from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.simulation.response.examples import (
    LARGEST_WEIGHT,
    ResponseExamples,
    propensity_weights,
    smoothed_means,
    split_examples,
)


def test_propensity_weights_by_hand() -> None:
    """1/p are 2, 10, 4 and unknown, which weighs as their mean of 16/3."""
    mean = 16 / 3
    weights = propensity_weights(np.array([0.5, 0.1, 0.25, np.nan]), 4)
    np.testing.assert_allclose(weights, np.array([2, 10, 4, mean]) / mean, rtol=1e-6)
    assert weights.mean() == pytest.approx(1.0)
    assert propensity_weights(None, 3).tolist() == [1, 1, 1]
    assert propensity_weights(np.array([np.nan, np.nan]), 2).tolist() == [1, 1]
    assert propensity_weights(np.full(3, 0.2), 3).tolist() == [1, 1, 1]


def test_propensity_weights_are_cut() -> None:
    weights = propensity_weights(np.array([1e-6] + [0.5] * 99), 100)
    assert weights[0] == LARGEST_WEIGHT
    assert (weights[1:] < 1e-3).all()


def test_smoothed_means_by_hand() -> None:
    """Overall (2 + 1) / 6 of the weight; item 0 has 3 of weight, item 2 none."""
    items, weights = np.array([0, 0, 1, 1], dtype=np.int32), np.array([2, 1, 1, 2], dtype=np.float32)
    means = smoothed_means(items, np.array([1, 0, 1, 0], dtype=np.float32), weights, 3, prior_weight=2.0)
    np.testing.assert_allclose(means, [(2 + 1) / 5, (1 + 1) / 5, 0.5], rtol=1e-6)


HISTORIES = Histories(
    user_ids=("u", "v"),
    offsets=np.array([0, 6, 11]),
    items=np.array([0, 1, 2, 0, 3, 1, 4, 0, 1, 2, 3], dtype=np.int32),
    feedback=np.array([1, -1, 1, 1, 1, -1, 1, 1, 1, 1, -1], dtype=np.float32),
    timestamps=np.arange(11),
    propensities=np.array([0.5, 0.25, *[0.5] * 9]),
)
HAPPENED = np.array([[True], [False], [False], [True], [False], [False], *[[True]] * 5])
EXPOSURES = Exposures(
    users=np.array([0, 0, 0, 0, 0, 1]),
    ends=np.array([0, 1, 2, 3, 6, 0]),
    sessions=np.zeros(6, dtype=np.int64),
    items=np.array([[0, 1], [3, -1], [2, 4], [0, 1], [2, 3], [1, 4]], dtype=np.int32),
    chosen=np.array([0, -1, 0, 0, 1, 1], dtype=np.int32),
    propensities=np.array([[0.5, 0.5], [0.25, np.nan], *[[0.5, 0.5]] * 4]),
    timestamps=np.arange(6),
    channels=("click", "purchase"),
    rewards=np.zeros((6, 2, 2), dtype=np.float32),
)
EXPOSURES.rewards[0, 0] = [1, 0]
EXPOSURES.rewards[2, 0] = [1, 1]
EXPOSURES.rewards[4, 1] = [1, 1]


def split(**more: object) -> tuple[ResponseExamples, ResponseExamples]:
    return split_examples(HISTORIES, num_items=5, rng=np.random.default_rng(0), **more)  # type: ignore[arg-type]


def test_responses_by_hand() -> None:
    train, holdout = split(channels=EventChannels(("purchase",), HAPPENED))
    assert train.users.tolist() == [0] * 4 + [1] * 4  # floor(6 · .8) and floor(5 · .8)
    assert train.positions.tolist() == [0, 1, 2, 3] * 2
    assert train.items.tolist() == [0, 1, 2, 0, 4, 0, 1, 2]
    assert train.outcomes.tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert train.channels[:, 0].tolist() == [True, False, False, True, True, True, True, True]
    assert holdout.positions.tolist() == [4, 5, 4]
    assert holdout.outcomes.tolist() == [1, 0, 0]
    np.testing.assert_allclose(train.weights[:2], np.array([2, 4]) / (24 / 11), rtol=1e-6)


def test_exposures_by_hand() -> None:
    train, holdout = split(exposures=EXPOSURES, channels=EventChannels(("purchase",), HAPPENED))
    assert train.users.tolist() == [0] * 7
    assert train.positions.tolist() == [0, 0, 1, 2, 2, 3, 3]  # the empty slot is none
    assert train.items.tolist() == [0, 1, 3, 2, 4, 0, 1]
    assert train.outcomes.tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert train.channels[:, 0].tolist() == [False, False, False, True, False, False, False]
    assert holdout.users.tolist() == [0, 0, 1, 1]  # the last of five decisions, and the only one of v
    assert holdout.positions.tolist() == [6, 6, 0, 0]
    assert holdout.items.tolist() == [2, 3, 1, 4]
    assert holdout.outcomes.tolist() == [0, 1, 0, 1]
    assert holdout.channels[:, 0].tolist() == [False, True, False, False]
    mean = (2 * 10 + 4) / 11
    np.testing.assert_allclose(train.weights, np.array([2, 2, 4, 2, 2, 2, 2]) / mean, rtol=1e-6)


def test_a_channel_that_decisions_do_not_log_is_that_of_the_event_they_led_to() -> None:
    """Decision 0 consumes item 0 at position 0 (True), 2 item 2 at 2 (False), 3 item 0 at 3 (True), 4 nothing known."""
    channels = EventChannels(("rating>=5",), HAPPENED)
    train, holdout = split(exposures=EXPOSURES, channels=channels)
    assert train.channels[:, 0].tolist() == [True, False, False, False, False, True, False]
    assert holdout.channels[:, 0].tolist() == [False, False, False, True]


def test_the_later_events_of_each_user_are_held_out() -> None:
    train, holdout = split_examples(synthetic_log().histories, num_items=ITEMS, rng=np.random.default_rng(0))
    for user in range(3):
        assert train.positions[train.users == user].max() == 31
        assert holdout.positions[holdout.users == user].min() == 32


@pytest.mark.parametrize("each", [1, 3])
def test_a_log_without_negatives_gets_items_that_were_not_met(each: int) -> None:
    histories = synthetic_log(positive_only=True).histories
    rng = np.random.default_rng(0)
    train, holdout = split_examples(histories, num_items=ITEMS, negatives_per_positive=each, rng=rng)
    assert train.outcomes.mean() == holdout.outcomes.mean() == pytest.approx(1 / (1 + each))
    assert len(train) + len(holdout) == (1 + each) * len(histories.items)
    met = set(zip(histories.user_of_event.tolist(), histories.items.tolist(), strict=True))
    for part in (train, holdout):
        negative = part.outcomes == 0
        assert not met & set(zip(part.users[negative].tolist(), part.items[negative].tolist(), strict=True))
        positive = sorted(zip(part.users[~negative], part.positions[~negative], strict=True))
        assert sorted(zip(part.users[negative], part.positions[negative], strict=True)) == sorted(positive * each)


def test_logs_that_nothing_can_be_learned_from() -> None:
    rng = np.random.default_rng(0)
    log = synthetic_log()
    negative = replace(log.histories, feedback=-np.abs(log.histories.feedback))
    with pytest.raises(InputError, match="every response is negative"):
        split_examples(negative, num_items=ITEMS, rng=rng)
    with pytest.raises(InputError, match="histories: 6 responses"):
        split_examples(HISTORIES.select(np.array([0])), num_items=5, rng=rng)
    single = Histories(
        user_ids=tuple(f"u{n:02d}" for n in range(20)),
        offsets=np.arange(21),
        items=np.arange(20, dtype=np.int32) % 5,
        feedback=np.where(np.arange(20) % 2, 1, -1).astype(np.float32),
        timestamps=np.arange(20),
    )
    with pytest.raises(InputError, match="every response is held out"):
        split_examples(single, num_items=5, rng=rng)
