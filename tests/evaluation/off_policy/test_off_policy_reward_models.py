"""Reward models by hand and against least squares; cross-fitting keeps a row's reward from its own model."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import BanditFeedback, RidgeByAction, ShrunkMeans, cross_fit


def log(n: int = 200, seed: int = 0, *, groups: bool = False, positions: bool = False) -> BanditFeedback:
    rng = np.random.default_rng(seed)
    return BanditFeedback(
        actions=rng.integers(3, size=n),
        rewards=rng.normal(size=n),
        behaviour=np.full(n, 1 / 3),
        target=np.full(n, 1 / 3),
        contexts=rng.normal(size=(n, 2)),
        target_all=np.full(3, 1 / 3),
        groups=np.arange(n) // 4 if groups else None,
        positions=np.arange(n) % 4 if positions else None,
        action_count=3,
    )


def test_shrunk_means_by_hand() -> None:
    train = BanditFeedback(
        actions=np.array([0, 0, 1]),
        rewards=np.array([1.0, 1.0, 4.0]),
        behaviour=np.full(3, 0.5),
        target=np.full(3, 0.5),
        action_count=3,
    )
    # mean 2; residuals -1, -1, 2; strength 2
    expected = [2 - 2 / 4, 2 + 2 / 3, 2.0]
    assert ShrunkMeans(2.0).predict(train, train) == pytest.approx(np.tile(expected, (3, 1)))


def test_shrunk_means_know_positions() -> None:
    train = log(positions=True)
    assert train.positions is not None
    predicted = ShrunkMeans(1e12).predict(train, train)
    for position in range(4):
        rows = train.positions == position
        assert predicted[rows] == pytest.approx(train.rewards[rows].mean(), abs=1e-9)


def test_ridge_by_action_tends_to_least_squares_of_each_action() -> None:
    train = log(positions=True)
    assert train.contexts is not None
    assert train.positions is not None
    design = np.column_stack([np.ones(200), train.contexts, np.eye(4)[train.positions][:, 1:]])
    predicted = RidgeByAction(1e-9).predict(train, train)
    for action in range(3):
        rows = train.actions == action
        coefficients = np.linalg.lstsq(design[rows], train.rewards[rows], rcond=None)[0]
        assert predicted[:, action] == pytest.approx(design @ coefficients, abs=1e-6)


def test_ridge_by_action_with_a_large_penalty_is_the_mean_even_of_unseen_actions() -> None:
    train = log()
    unseen = BanditFeedback(
        actions=train.actions,
        rewards=train.rewards,
        behaviour=train.behaviour,
        target=train.target,
        contexts=train.contexts,
        action_count=5,
    )
    predicted = RidgeByAction(1e12).predict(unseen, unseen)
    assert predicted.shape == (200, 5)
    assert predicted == pytest.approx(np.full((200, 5), train.rewards.mean()), abs=1e-6)


@pytest.mark.parametrize("groups", [False, True])
def test_a_rows_own_reward_does_not_move_its_model(groups: bool) -> None:
    before = log(groups=groups)
    changed = before.rewards.copy()
    changed[7] += 100.0
    after = BanditFeedback(
        actions=before.actions,
        rewards=changed,
        behaviour=before.behaviour,
        target=before.target,
        contexts=before.contexts,
        target_all=before.target_all,
        groups=before.groups,
        action_count=3,
    )
    first, second = cross_fit(before).q_hat, cross_fit(after).q_hat
    assert first is not None
    assert second is not None
    same = np.asarray(np.isclose(first, second).all(axis=1))
    assert same[[4, 5, 6, 7]].all() if groups else same[7]
    assert 0.2 < same.mean() < 0.5  # its fold, a third


def test_bad_settings() -> None:
    with pytest.raises(InputError, match="strength"):
        ShrunkMeans(0.0)
    with pytest.raises(InputError, match="penalty"):
        RidgeByAction(float("nan"))
    with pytest.raises(InputError, match="folds"):
        cross_fit(log(), folds=1)
    with pytest.raises(InputError, match="folds"):
        cross_fit(log(8, groups=True), folds=3)
