"""Interest evolution: its rules by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.types import Int32, Observation


def top(scores: np.ndarray, k: int = 3) -> Int32:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)


def affinity(observation: Observation) -> np.ndarray:
    return np.take_along_axis(observation.user_features, observation.candidates, axis=1)


@pytest.fixture(scope="module")
def simulator() -> InterestEvolution:
    return InterestEvolution()


def test_transition_by_hand(simulator: InterestEvolution) -> None:
    users = simulator.users(3000, seed=1)
    before = users.observation
    positions = top(affinity(before))
    feedback = users.step(positions)
    after = users.observation
    rows = np.flatnonzero(feedback.chosen >= 0)
    slots = feedback.chosen[rows]
    topics = before.candidates[rows, positions[rows, slots]]
    x, moved = before.user_features[rows, topics], after.user_features[rows, topics]
    step = 0.3 * (1 - np.abs(x)) * (1 - x)
    up = np.isclose(moved, x + step, atol=1e-6)
    down = np.isclose(moved, x - step, atol=1e-6)
    assert (up | down).all()
    assert up.mean() == pytest.approx(((x + 1) / 2).mean(), abs=0.05)
    untouched = after.user_features.copy()
    untouched[rows, topics] = x
    np.testing.assert_array_equal(untouched, before.user_features)

    np.testing.assert_array_equal(feedback.reward[rows], 4.0)
    assert not feedback.reward[feedback.chosen < 0].any()
    quality = feedback.responses[rows, slots, 1]
    spread = quality - simulator.topic_quality[topics]
    assert spread.std() == pytest.approx(0.1, rel=0.1)
    assert np.count_nonzero(feedback.responses[:, :, 0]) == len(rows)
    expected = np.zeros((3000, 4), dtype=np.float32)
    expected[rows, 0] = 4 / 200
    expected[rows, 1] = 4 * quality / 200
    expected[feedback.chosen < 0, 2] = 1 / 200
    expected[:, 3] = 1 / 200
    np.testing.assert_allclose(after.context, expected, atol=1e-7)


def test_the_context_tells_the_budget_and_the_end() -> None:
    """budget = 200 - watch + 0.2647 watch x quality - 0.5 no-clicks; the session ends when it is used up."""
    users = InterestEvolution().users(500, seed=2, staggered=True)
    for _ in range(120):
        feedback = users.step(top(affinity(users.observation)))
        watch, watch_quality, no_clicks, _ = (users.observation.context * 200.0).T
        budget = 200.0 - watch + 0.264706 * watch_quality - 0.5 * no_clicks
        clear = np.abs(budget) > 1e-3
        np.testing.assert_array_equal((budget <= 0)[clear], feedback.terminated[clear])
        users.restart(feedback.finished)


def test_last_document_pays_only_what_budget_is_left() -> None:
    users = InterestEvolution(InterestEvolutionConfig(budget=2.5, null_mass=-1.0)).users(50, seed=0)
    feedback = users.step(top(affinity(users.observation)))
    np.testing.assert_array_equal(feedback.reward, 2.5)


def test_staggered_first_sessions_end_at_different_times() -> None:
    users = InterestEvolution().users(1000, seed=4, staggered=True)
    assert users.observation.context[:, 3].std() > 0.05
    ended = sum(users.step(top(affinity(users.observation))).finished.sum() for _ in range(3))
    assert 10 < ended < 200


def test_restart_replaces_only_the_finished(simulator: InterestEvolution) -> None:
    users = simulator.users(6, seed=3)
    users.step(top(affinity(users.observation)))
    before = users.observation
    finished = np.array([True, False, False, True, False, False])
    users.restart(finished)
    after = users.observation
    np.testing.assert_array_equal(after.user_features[~finished], before.user_features[~finished])
    np.testing.assert_array_equal(after.candidates[~finished], before.candidates[~finished])
    assert (after.user_features[finished] != before.user_features[finished]).any(axis=1).all()
    assert not after.context[finished].any()


def test_a_slate_larger_than_the_candidates_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"(?s)num_candidates.*slate_size 11 is more than the 10 candidates: .*at most 10"
    ):
        InterestEvolutionConfig(slate_size=11)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((2, 2), dtype=np.int32), "shape"),
        (np.array([[0, 1, 1], [0, 1, 2]]), "repeated in row 0"),
        (np.array([[0, 1, 2], [0, 1, 10]]), "out of range in row 1"),
        (np.array([[0, 1, 2], [0, 1, -1]]), "out of range in row 1"),
        (np.zeros((2, 3)), "whole numbers"),
    ],
)
def test_bad_positions(simulator: InterestEvolution, positions: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulator.users(2, seed=0).step(positions)


def test_no_users_is_refused(simulator: InterestEvolution) -> None:
    with pytest.raises(InputError, match="count"):
        simulator.users(0, seed=0)


def test_immediate_value_is_the_interest_in_the_topic(simulator: InterestEvolution) -> None:
    observation = simulator.users(5, seed=0).observation
    np.testing.assert_array_equal(simulator.immediate_value(observation), affinity(observation))


def test_without_return_to_the_budget_quality_is_worth_nothing(simulator: InterestEvolution) -> None:
    """A click costs 4 and no click 0.5 whatever the quality: 200 of budget is spent in sum."""
    users = simulator.variants()["null"].users(200, seed=0)
    assert simulator.config.budget_return > 0
    for _ in range(40):
        users.step(top(affinity(users.observation)))
    watch, _, no_clicks, _ = (users.observation.context * 200).T
    np.testing.assert_allclose(users._budget, 200 - watch - 0.5 * no_clicks, atol=1e-3)
