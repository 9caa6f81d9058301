"""Learners at play with simulated users."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rec_platform.evaluation.rollout import Estimate, Rollout, rollout
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.online import LearnerSpace, OnlineLearner, OnlineSettings
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.simulation.classic.interest_exploration import InterestExploration
from rec_platform.simulation.moments import InMoments
from rec_platform.training.play import LearningPoint, play

CLICKS = {"events": {"click": 1.0}, "ignored": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "thompson_gaussian": {"noise": 0.5},
    "softmax": {"temperature": 0.05},
    "ucb1": {"exploration": 0.2},
    "lin_ucb": {"model": "per_item"},
    "lin_ts": {"model": "per_item", "scale": 0.3},
}
SIMULATOR = InMoments(InterestExploration(), ("weekday",), np.arange(7) * 86_400_000_000)


def started(kind: str, **options: Any) -> tuple[OnlineSettings, OnlineLearner]:
    settings = FITTED[kind](**{"rewards": CLICKS, **OPTIONS.get(kind, {}), **options})
    assert isinstance(settings, OnlineSettings)
    spec = SIMULATOR.spec
    space = LearnerSpace(spec.num_items, spec.slate_size, (), ("weekday",), SIMULATOR.item_features)
    return settings, settings.start(space)


def played(kind: str, steps: int = 4000, **options: Any) -> tuple[Policy, list[LearningPoint]]:
    settings, learner = started(kind, **options)
    curve = play(learner, settings, SIMULATOR, env_steps=steps, users=100, seed=1)
    return Policy(kind, learner.scorer(), settings.greedy_sampler()), curve


def judged(policy: Policy) -> Rollout:
    return rollout(policy, SIMULATOR, users=400, seed=5, rewards=FITTED["ucb1"](rewards=CLICKS).rewards)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", sorted(kind for kind, settings in FITTED.items() if settings.online))
def test_what_was_learned_is_far_above_random(kind: str) -> None:
    policy, curve = played(kind)
    own, random = judged(policy), judged(Policy("random", UniformScorer(), PlackettLuce()))
    assert own.item_rewards is not None
    assert random.item_rewards is not None
    gain = Estimate.of(own.item_rewards - random.item_rewards)
    assert gain.mean > 10 * gain.stderr
    assert [point.env_steps for point in curve][-1] == 4000
    assert curve[-1].cumulative_reward == pytest.approx(
        sum(point.item_reward for point in curve) / len(curve) * 4000 * SIMULATOR.spec.slate_size, rel=1e-6
    )


def test_its_curve_tells_of_exploration_and_rest() -> None:
    _, curve = played("epsilon_greedy", steps=8000, epsilon=0.2)
    first, last = curve[1:5], curve[-5:]
    assert np.mean([point.item_reward for point in last]) > np.mean([point.item_reward for point in first])
    size, items = SIMULATOR.spec.slate_size, SIMULATOR.spec.num_candidates
    explored = np.mean([point.exploration_rate for point in curve])
    assert explored == pytest.approx(0.2 * (1 - size / items), abs=0.02)
    assert np.mean([p.value_change for p in last]) < np.mean([p.value_change for p in first])
    _, still = played("ucb1", steps=300)
    assert all(point.exploration_rate == 0.0 for point in still)  # it plays its own best, bonus and all


def test_the_same_seed_gives_the_same_play() -> None:
    one, other = played("thompson_beta", steps=500)[1], played("thompson_beta", steps=500)[1]
    assert [point.item_reward for point in one] == [point.item_reward for point in other]


def test_noise_of_rewards_has_the_size_asked_for() -> None:
    rewards = {"events": {"click": 0.0}, "ignored": 0.0, "noise": 1.0}
    settings, learner = started("thompson_gaussian", rewards=rewards)
    curve = play(learner, settings, SIMULATOR, env_steps=2000, users=100, seed=1)
    count = 2000 * SIMULATOR.spec.slate_size
    assert abs(curve[-1].cumulative_reward) < 4 * np.sqrt(count)
    squares = learner.statistics.squares.sum()  # type: ignore[attr-defined]
    assert squares / count == pytest.approx(1.0, abs=0.05)
