"""Advantages against the recursion written out for one user at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.simulation.classic.interest_evolution import InterestEvolution
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.training.returns.gae import GAERows, advantages
from rec_platform.types import Feedback, Observation


def one_user(
    rewards: Any, values: Any, next_values: Any, terminated: Any, finished: Any, gamma: float, lam: float
) -> list[float]:
    """A_t = δ_t + γλ A_{t+1}, the sum ending where the session does."""
    out = []
    for t in range(len(rewards)):
        total, weight = 0.0, 1.0
        for later in range(t, len(rewards)):
            future = 0.0 if terminated[later] else gamma * next_values[later]
            total += weight * (rewards[later] + future - values[later])
            weight *= gamma * lam
            if finished[later]:
                break
        out.append(total)
    return out


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 12),
    users=st.integers(1, 5),
    gamma=st.floats(0, 1),
    lam=st.floats(0, 1),
    ending=st.floats(0, 1),
)
def test_recursion(seed: int, steps: int, users: int, gamma: float, lam: float, ending: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(size=(3, steps, users)).astype(np.float32)
    terminated = rng.random((steps, users)) < ending / 2
    finished = terminated | (rng.random((steps, users)) < ending / 2)
    got = advantages(rewards, values, next_values, terminated, finished, gamma, lam)
    assert got.dtype == np.float32
    for user in range(users):
        columns = (a[:, user] for a in (rewards, values, next_values, terminated, finished))
        np.testing.assert_allclose(got[:, user], one_user(*columns, gamma, lam), rtol=1e-4, atol=1e-4)


def test_what_follows_a_termination_is_ignored() -> None:
    column = np.array([[1.0], [2.0]], dtype=np.float32)
    huge = np.full((2, 1), 1e6, dtype=np.float32)
    yes = np.ones((2, 1), dtype=bool)
    np.testing.assert_array_equal(advantages(column, 0 * column, huge, yes, yes, 1.0, 1.0), column)


class _Valuer:
    """V of an observation is its first user feature."""

    def values(self, observation: Observation) -> np.ndarray:
        return observation.user_features[:, 0]


def observation_of(values: list[float]) -> Observation:
    users = len(values)
    return Observation(
        user_features=np.array(values, dtype=np.float32)[:, None],
        history=np.zeros((users, 0), np.int32),
        history_feedback=np.zeros((users, 0), np.float32),
        context=np.zeros((users, 1), np.float32),
        candidates=np.tile(np.arange(4, dtype=np.int32), (users, 1)),
    )


def test_the_truncated_are_bootstrapped_from_their_own_last_observation() -> None:
    """User 0 is truncated at step 0 and replaced; user 1 is terminated at step 0; both lanes go on with others."""
    trajectory = Trajectory()
    seen = [[10.0, 20.0], [1.0, 2.0]]
    true_next = [[7.0, 8.0], [3.0, 4.0]]
    ends = [([False, True], [True, False]), ([False, False], [False, False])]
    for values, following, (terminated, truncated) in zip(seen, true_next, ends, strict=True):
        trajectory.observations.append(observation_of(values))
        trajectory.following.append(observation_of(following))
        trajectory.actions.append(
            {
                "actions": np.array([[0, 1], [1, 2]], dtype=np.int32),
                "action_logp": np.zeros((2, 2), dtype=np.float32),
                "vf_preds": np.array(values, dtype=np.float32),
            }
        )
        trajectory.feedback.append(
            Feedback(
                chosen=np.array([0, -1], dtype=np.int32),
                responses=np.zeros((2, 2, 1), np.float32),
                reward=np.ones(2, np.float32),
                terminated=np.array(terminated),
                truncated=np.array(truncated),
            )
        )
    columns = GAERows(gamma=0.5, lam=1.0)(trajectory, _Valuer(), False)
    # rows: (step 0, user 0), (step 0, user 1), (step 1, user 0), (step 1, user 1)
    expected = [1 + 0.5 * 7 - 10, 1 - 20, 1 + 0.5 * 3 - 1, 1 + 0.5 * 4 - 2]
    np.testing.assert_allclose(columns["advantages"], expected)
    np.testing.assert_allclose(columns["value_targets"], np.add(expected, [10, 20, 1, 2]))
    np.testing.assert_array_equal(columns["user_features"][:, 0], [10, 20, 1, 2])
    np.testing.assert_array_equal(columns["chosen"], [0, -1, 0, -1])
    assert len(trajectory) == 0
    assert not trajectory.observations


@pytest.mark.parametrize("full", [True, False])
def test_rows_of_real_users(full: bool) -> None:
    """All columns have one row a step and user."""
    users = InterestEvolution().users(6, seed=0)
    trajectory, rng = Trajectory(), np.random.default_rng(0)
    for _ in range(5):
        trajectory.observations.append(users.observation)
        slate = rng.permuted(np.tile(np.arange(10), (6, 1)), axis=1)[:, :3].astype(np.int32)
        trajectory.actions.append(
            {"actions": slate, "action_logp": np.zeros((6, 3), np.float32), "vf_preds": np.zeros(6, np.float32)}
        )
        trajectory.feedback.append(users.step(slate))
        trajectory.following.append(users.observation)
    columns = GAERows(1.0, 0.95)(trajectory, _Valuer(), full)
    assert {len(column) for column in columns.values()} == {30}
    assert ("available" in columns) == full
