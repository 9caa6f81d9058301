"""Interest exploration: its rules by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_exploration import InterestExploration, InterestExplorationConfig

USERS = 20_000


def slate(first: int, second: int, users: int = USERS) -> np.ndarray:
    return np.tile(np.array([first, second], dtype=np.int32), (users, 1))


def test_the_catalogue() -> None:
    """Topic shares, and the quantile mid-points of exp(N(mean, 0.1)): with two documents, at ±0.6745 sd."""
    simulator = InterestExploration()
    np.testing.assert_array_equal(np.bincount(simulator.item_topics), [400, 1600])
    np.testing.assert_array_equal(simulator.item_features[:, 1:].argmax(axis=1), simulator.item_topics)
    logs = np.log(simulator.item_features[:, 0].astype(np.float64))
    for topic, mean in enumerate((0.8, 0.2)):
        of_topic = logs[simulator.item_topics == topic]
        assert of_topic.mean() == pytest.approx(mean, abs=1e-6)
        assert of_topic.std() == pytest.approx(0.1, rel=0.003)
    small = InterestExploration(InterestExplorationConfig(num_documents=4, topic_probabilities=(0.5, 0.5)))
    expected = np.exp([0.8 - 0.067449, 0.8 + 0.067449, 0.2 - 0.067449, 0.2 + 0.067449])
    np.testing.assert_allclose(small.item_features[:, 0], expected, rtol=1e-5)


def test_candidates_have_the_topic_shares() -> None:
    simulator = InterestExploration()
    users = simulator.users(USERS, seed=0)
    for _ in range(2):  # the first are drawn with the users, later ones by the step
        shares = np.bincount(simulator.item_topics[users.observation.candidates].reshape(-1)) / (5 * USERS)
        assert shares[0] == pytest.approx(0.2, abs=4 * (0.16 / (5 * USERS)) ** 0.5)
        users.step(slate(0, 1))


def test_affinities_come_from_the_user_types() -> None:
    logs = np.log(InterestExploration().users(USERS, seed=0)._affinity.astype(np.float64)).T
    second_type = logs[:, 0] > logs[:, 1]
    assert second_type.mean() == pytest.approx(0.7, abs=4 * (0.21 / USERS) ** 0.5)
    for chosen, means in ((~second_type, (0.1, 0.7)), (second_type, (0.7, 0.1))):
        np.testing.assert_allclose(logs[chosen].mean(axis=0), means, atol=0.005)
        np.testing.assert_allclose(logs[chosen].std(axis=0), 0.1, rtol=0.04)


def test_clicks_follow_the_logit_of_affinity_plus_quality() -> None:
    """Without spread, type 0 only: logits e^0.1 + e^0.8 (topic 0) and e^0.7 + e^0.2 (topic 1), null 5."""
    config = InterestExplorationConfig(type_probabilities=(1.0, 0.0), log_affinity_spread=0, log_quality_spread=0)
    simulator = InterestExploration(config)
    users = simulator.users(USERS, seed=1)
    topics = simulator.item_topics[users.observation.candidates[:, :2]]
    mixed = topics[:, 0] != topics[:, 1]
    feedback = users.step(slate(0, 1))
    mass = np.exp([np.exp(0.1) + np.exp(0.8), np.exp(0.7) + np.exp(0.2)])
    expected = np.array([*mass, np.exp(5.0)]) / (mass.sum() + np.exp(5.0))
    taken = np.where(
        feedback.chosen >= 0, np.take_along_axis(topics, np.maximum(feedback.chosen, 0)[:, None], 1)[:, 0], 2
    )
    shares = np.bincount(taken[mixed], minlength=3) / mixed.sum()
    assert (abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / mixed.sum())).all()


def test_reward_response_and_context_by_hand() -> None:
    simulator = InterestExploration(InterestExplorationConfig(null_logit=3.0))
    users = simulator.users(300, seed=2)
    shown, clicks = np.zeros((300, 2)), np.zeros((300, 2))
    rows = np.arange(300)
    affinity = users._affinity.copy()
    for step in range(1, 6):
        topics = simulator.item_topics[users.observation.candidates[:, [3, 1]]]
        feedback = users.step(slate(3, 1, 300))
        clicked = feedback.chosen >= 0
        np.testing.assert_array_equal(feedback.reward, clicked)
        np.testing.assert_array_equal(feedback.responses.sum(axis=(1, 2)), clicked)
        assert (feedback.responses[rows[clicked], feedback.chosen[clicked], 0] == 1).all()
        for slot in (0, 1):
            shown[rows, topics[:, slot]] += 1
        clicks[rows[clicked], topics[rows[clicked], feedback.chosen[clicked]]] += 1
        expected = np.concatenate([np.full((300, 1), step / 100), shown / 200, clicks / (shown + 30)], axis=1)
        np.testing.assert_allclose(users.observation.context, expected, rtol=1e-5)
    assert clicks.sum() > 300
    np.testing.assert_array_equal(users._affinity, affinity)


def test_sessions_are_cut_not_terminated() -> None:
    users = InterestExploration(InterestExplorationConfig(max_steps=3)).users(10, seed=0)
    for step in (1, 2, 3):
        feedback = users.step(slate(0, 1, 10))
        assert feedback.truncated.all() == (step == 3)
        assert not feedback.terminated.any()
    users.restart(feedback.finished)
    assert not users.observation.context.any()


def test_staggered_first_sessions_have_a_plausible_past() -> None:
    users = InterestExploration().users(6000, seed=4, staggered=True)
    context = users.observation.context
    steps = np.rint(context[:, 0] * 100)
    assert set(steps) == set(range(100))
    np.testing.assert_allclose(context[:, 1:3], np.outer(context[:, 0], [0.2, 0.8]), rtol=1e-4)
    np.testing.assert_array_equal(users.step(slate(0, 1, 6000)).truncated, steps == 99)
    fresh = InterestExploration().users(6000, seed=5)
    rates = []
    for _ in range(99):
        fresh.step(slate(0, 1, 6000))
        rates.append(fresh.observation.context[:, 3:].mean(axis=0))
    np.testing.assert_allclose(context[steps > 0, 3:].mean(axis=0), np.mean(rates, axis=0), rtol=0.02)


def test_immediate_value_is_the_logit_of_the_mean_user() -> None:
    simulator = InterestExploration(InterestExplorationConfig(log_affinity_spread=0.0))
    mean = [0.3 * np.exp(0.1) + 0.7 * np.exp(0.7), 0.3 * np.exp(0.7) + 0.7 * np.exp(0.1)]
    observation = simulator.users(4, seed=0).observation
    features = simulator.item_features[observation.candidates]
    expected = features[..., 0] + features[..., 1:] @ mean
    np.testing.assert_allclose(simulator.immediate_value(observation), expected, rtol=1e-6)
    assert simulator.variants() == {}


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"slate_size": 6}, r"(?s)num_candidates.*slate_size 6 is more than the 5 candidates: .*at most 5"),
        ({"type_probabilities": (0.3, 0.6)}, r"(?s)type_probabilities.*sum to 0.9: give shares .* sum to 1"),
        ({"topic_probabilities": (1.2, -0.2)}, r"(?s)topic_probabilities.*1.2 is no probability"),
        ({"type_probabilities": ()}, "type_probabilities"),
        ({"type_probabilities": (1.0,)}, r"(?s)log_affinity_means.*give 1 rows"),
        ({"log_affinity_means": ((0.1,), (0.7,))}, r"(?s)log_affinity_means.*of 2 \(one each of topic_prob"),
        ({"log_quality_means": (0.8, 0.2, 0.1)}, r"(?s)log_quality_means.*give 2, one each"),
        ({"log_quality_means": (0.8, 30.0)}, r"(?s)log_quality_means.*30 is above 10"),
        ({"log_quality_spread": -0.1}, "log_quality_spread"),
        ({"num_documents": 2}, r"(?s)num_documents.*topic 0 gets no document of 2: give more"),
        ({"max_steps": 0}, "max_steps"),
        ({"null_logit": float("nan")}, "null_logit"),
    ],
)
def test_bad_constants(constants: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        InterestExplorationConfig(**constants)  # type: ignore[arg-type]


def test_no_users_is_refused() -> None:
    with pytest.raises(InputError, match="count"):
        InterestExploration().users(0, seed=0)
