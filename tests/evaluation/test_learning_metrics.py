"""How a learner learns, by hand."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.learning import cumulative_reward, exploration_rate, settled_share, value_change


def test_cumulative_reward_counts_what_is_known() -> None:
    rewards = np.array([[1.0, 2.0], [np.nan, -1.0], [0.5, 0.5]])
    assert cumulative_reward(rewards).tolist() == [3.0, 2.0, 3.0]
    assert cumulative_reward(np.array([1.0, 1.0])).tolist() == [1.0, 2.0]


def test_exploration_is_what_the_greedy_slate_does_not_hold() -> None:
    greedy = np.array([[0, 1, 2], [0, 1, 2]], np.int32)
    shown = np.array([[2, 1, 0], [0, 5, 6]], np.int32)
    assert exploration_rate(shown, greedy) == 1 - 4 / 6
    assert exploration_rate(greedy, greedy) == 0.0
    assert np.isnan(exploration_rate(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.int32)))


def test_convergence_looks_at_available_candidates_and_whole_slates() -> None:
    before = np.array([[1.0, 2.0, 9.0]], np.float32)
    after = np.array([[1.5, 1.0, -9.0]], np.float32)
    assert value_change(before, after, np.array([[True, True, False]])) == 0.75
    assert np.isnan(value_change(before, after, np.zeros((1, 3), bool)))
    slates = np.array([[1, 0], [2, 0], [1, 2]], np.int32)
    assert settled_share(slates, np.array([[1, 0], [0, 2], [1, 2]], np.int32)) == 2 / 3
