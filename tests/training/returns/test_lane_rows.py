"""Rows of whole users, and returns to the end of a session: each against the steps as they happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.training.returns.lanes import (
    CUT_VALUES,
    EMITTED,
    FINISHED,
    RETURN_TO_GO,
    REWARDS,
    TERMINATED,
    LaneRows,
    ReturnRows,
    returns_to_go,
)
from rec_platform.types import Feedback, Observation


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 9),
    users=st.integers(1, 4),
    gamma=st.floats(0, 1),
    ending=st.floats(0, 1),
)
def test_returns_written_out(seed: int, steps: int, users: int, gamma: float, ending: float) -> None:
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(steps, users)).astype(np.float32)
    finished = rng.random((steps, users)) < ending
    returns, complete = returns_to_go(rewards, finished, gamma)
    for user in range(users):
        for t in range(steps):
            total, end, discount = 0.0, False, 1.0
            for later in range(t, steps):
                total += discount * rewards[later, user]
                discount *= gamma
                if finished[later, user]:
                    end = True
                    break
            assert returns[t, user] == pytest.approx(total, rel=1e-4, abs=1e-5)
            assert complete[t, user] == end


class Valuer:
    """Values an observation at the slates behind it."""

    def values(self, observation: Observation) -> np.ndarray:
        return observation.context[:, 3].copy()


def walk(users: Any, trajectory: Trajectory, steps: int, rng: np.random.Generator) -> list[Feedback]:
    """Steps with random slates; what came of them."""
    seen = []
    for _ in range(steps):
        before = users.observation
        slate = rng.permuted(np.tile(np.arange(10), (before.batch_size, 1)), axis=1)[:, :3].astype(np.int32)
        feedback = users.step(slate)
        trajectory.observations.append(before)
        trajectory.actions.append({"actions": slate, "action_logp": np.zeros((before.batch_size, 3), np.float32)})
        trajectory.feedback.append(feedback)
        trajectory.following.append(users.observation)
        users.restart(feedback.finished)
        seen.append(feedback)
    return seen


@pytest.mark.parametrize("full", [True, False])
def test_a_row_is_a_user(full: bool) -> None:
    simulator = InterestEvolution(InterestEvolutionConfig(budget=12.0))
    users, trajectory = simulator.users(6, seed=0), Trajectory()
    seen = walk(users, trajectory, 5, np.random.default_rng(0))
    observations = [*trajectory.observations, trajectory.following[-1]]
    columns = LaneRows()(trajectory, Valuer(), full)
    assert {len(column) for column in columns.values()} == {6}
    assert columns["context"].shape[:2] == (6, 6)
    for t, observation in enumerate(observations):
        np.testing.assert_array_equal(columns["user_features"][:, t], observation.user_features)
    for t, feedback in enumerate(seen):
        np.testing.assert_array_equal(columns[REWARDS][:, t], feedback.reward)
        np.testing.assert_array_equal(columns[TERMINATED][:, t], feedback.terminated)
        np.testing.assert_array_equal(columns[FINISHED][:, t], feedback.finished)
    assert not columns[CUT_VALUES].any()
    assert len(trajectory) == 0


def test_a_truncated_user_is_valued_where_he_stood() -> None:
    simulator = InterestEvolution()
    users, trajectory = simulator.users(3, seed=0), Trajectory()
    walk(users, trajectory, 2, np.random.default_rng(0))
    cut = np.array([False, True, False])
    first = trajectory.feedback[0]
    trajectory.feedback[0] = Feedback(first.chosen, first.responses, first.reward, first.terminated, cut)
    expected = trajectory.following[0].context[1, 3]
    assert expected != 0
    columns = LaneRows()(trajectory, Valuer(), False)
    np.testing.assert_array_equal(columns[CUT_VALUES], [[0, 0], [expected, 0], [0, 0]])
    np.testing.assert_array_equal(columns[FINISHED][1], [True, False])


def test_rows_wait_for_the_end_of_their_session_and_come_once() -> None:
    simulator = InterestEvolution(InterestEvolutionConfig(budget=15.0))
    users, trajectory, rng = simulator.users(5, seed=2), Trajectory(), np.random.default_rng(1)
    assembler = ReturnRows(gamma=0.9)
    seen: list[Feedback] = []
    got: list[np.ndarray] = []
    for steps in (3, 4, 1, 20, 7):
        seen += walk(users, trajectory, steps, rng)
        columns = assembler(trajectory, Valuer(), False)
        if columns:
            assert len({len(column) for column in columns.values()}) == 1
            assert EMITTED not in columns
            got.append(np.column_stack([columns[RETURN_TO_GO], columns["actions"], columns["context"]]))
    rewards, finished = np.stack([f.reward for f in seen]), np.stack([f.finished for f in seen])
    returns, complete = returns_to_go(rewards, finished, 0.9)
    assert 0 < complete.sum() < complete.size
    np.testing.assert_allclose(np.sort(np.concatenate(got)[:, 0]), np.sort(returns[complete]), rtol=1e-5)
    waiting = sum(int((~action[EMITTED]).sum()) for action in trajectory.actions)
    assert waiting == complete.size - complete.sum()


def test_an_endless_session_is_not_waited_for() -> None:
    users, trajectory, rng = InterestEvolution().users(2, seed=2), Trajectory(), np.random.default_rng(1)
    assembler = ReturnRows(gamma=1.0, longest=4)
    walk(users, trajectory, 6, rng)
    columns = assembler(trajectory, Valuer(), False)
    assert len(columns[RETURN_TO_GO]) == 4  # the first two steps of two users
    assert len(trajectory) == 4
