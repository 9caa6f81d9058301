"""n-step returns against their sum written out, and the rows that SlateQ trains on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN, NStepRows, n_step_returns


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    extra=st.integers(0, 8),
    users=st.integers(1, 4),
    gamma=st.floats(0, 1),
    ending=st.floats(0, 1),
)
def test_sum(seed: int, n: int, extra: int, users: int, gamma: float, ending: float) -> None:
    rng = np.random.default_rng(seed)
    steps = n + extra
    rewards = rng.normal(size=(steps, users)).astype(np.float32)
    terminated = rng.random((steps, users)) < ending / 2
    finished = terminated | (rng.random((steps, users)) < ending / 2)
    returns, discount, last = n_step_returns(rewards, terminated, finished, n, gamma)
    assert returns.shape == discount.shape == last.shape == (extra + 1, users)
    for t in range(extra + 1):
        for user in range(users):
            total, end = 0.0, t
            for i in range(n):
                end = t + i
                total += gamma**i * rewards[end, user]
                if finished[end, user]:
                    break
            assert returns[t, user] == pytest.approx(total, rel=1e-4, abs=1e-5)
            assert last[t, user] == end
            expected = 0.0 if terminated[end, user] else gamma ** (end - t + 1)
            assert discount[t, user] == pytest.approx(expected, rel=1e-4, abs=1e-6)


class _Course:
    """Users stepped with random slates; keeps what happened for comparison."""

    def __init__(self, users: int, budget: float) -> None:
        self.users = InterestEvolution(InterestEvolutionConfig(budget=budget)).users(users, seed=3)
        self.rng = np.random.default_rng(4)
        self.trajectory = Trajectory()
        self.seen: list[np.ndarray] = []
        self.after: list[np.ndarray] = []
        self.slates: list[np.ndarray] = []
        self.chosen: list[np.ndarray] = []
        self.rewards: list[np.ndarray] = []
        self.finished: list[np.ndarray] = []

    def go(self, steps: int) -> None:
        for _ in range(steps):
            before = self.users.observation
            slate = self.rng.permuted(np.tile(np.arange(10), (before.batch_size, 1)), axis=1)[:, :3].astype(np.int32)
            feedback = self.users.step(slate)
            after = self.users.observation
            self.users.restart(feedback.finished)
            self.trajectory.observations.append(before)
            self.trajectory.actions.append({"actions": slate})
            self.trajectory.feedback.append(feedback)
            self.trajectory.following.append(after)
            self.seen.append(before.user_features)
            self.after.append(after.context)
            self.slates.append(slate)
            self.chosen.append(feedback.chosen)
            self.rewards.append(feedback.reward)
            self.finished.append(feedback.finished)


def test_unfinished_steps_wait_for_the_next_sample() -> None:
    course, n, gamma, users = _Course(7, budget=12.0), 4, 0.9, 7
    assemble = NStepRows(n, gamma)
    course.go(3)
    assert assemble(course.trajectory, None, False) == {}
    assert len(course.trajectory) == 3
    parts = []
    for steps in (2, 5, 1, 9):
        course.go(steps)
        parts.append(assemble(course.trajectory, None, False))
        assert len(course.trajectory) == n - 1
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = (3 + 2 + 5 + 1 + 9) - n + 1
    assert {len(column) for column in columns.values()} == {rows * users}

    np.testing.assert_array_equal(columns["user_features"], np.concatenate(course.seen[:rows]))
    np.testing.assert_array_equal(columns["actions"], np.concatenate(course.slates[:rows]))
    np.testing.assert_array_equal(columns[CHOSEN], np.concatenate(course.chosen[:rows]))
    finished, rewards = np.stack(course.finished), np.stack(course.rewards)
    assert finished[:rows].any()
    returns, discount, last = n_step_returns(rewards, finished, finished, n, gamma)
    np.testing.assert_allclose(columns[RETURN], returns.ravel(), rtol=1e-6)
    np.testing.assert_allclose(columns[DISCOUNT], discount.ravel(), rtol=1e-6)
    # the observation after: of the same user, also where he left and the lane holds another by then
    after = np.stack(course.after)[last, np.arange(users)].reshape(rows * users, -1)
    np.testing.assert_array_equal(columns["next_context"], after)
    left = finished[last, np.arange(users)].ravel()
    assert left.any()
    assert (columns["next_context"][left, 3] > 0).all()  # a new user's count of slates would be 0


def test_one_step_needs_no_waiting() -> None:
    course = _Course(5, budget=200.0)
    course.go(1)
    columns = NStepRows(1, 1.0)(course.trajectory, None, False)
    assert len(columns[RETURN]) == 5
    assert len(course.trajectory) == 0
    np.testing.assert_array_equal(columns[RETURN], course.rewards[0])
