"""Learners at play: bandits and tables that learn from what simulated users answer to what they show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rec_platform.evaluation.learning import cumulative_reward, exploration_rate, settled_share, value_change
from rec_platform.policies.experience import Experience
from rec_platform.policies.online import OnlineLearner, OnlineSettings
from rec_platform.policies.policy import Sampler, Scorer
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Bool, Float64, Int32, Observation

POINTS = 100
"""Of a curve, at most."""

PROBES = 128
"""Requests whose slates and scores are looked at again and again."""


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """Some rounds of play.

    Attributes:
        env_steps: slates shown so far.
        episode_return: mean simulated return of the sessions that ended in these rounds; NaN before any did.
        item_reward: mean reward of a shown item.
        cumulative_reward: of all items shown so far.
        exploration_rate: see `evaluation.learning`.
        settled_share: share of `PROBES` requests whose greedy slate is as it was at the point before.
        value_change: mean |change| of their scores since then.
    """

    env_steps: int
    episode_return: float
    item_reward: float
    cumulative_reward: float
    exploration_rate: float
    settled_share: float
    value_change: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def play(
    learner: OnlineLearner,
    settings: OnlineSettings,
    simulator: Simulator,
    *,
    env_steps: int,
    users: int,
    seed: int,
    on_point: Callable[[LearningPoint], None] = lambda _: None,
) -> list[LearningPoint]:
    """Show ``env_steps`` slates to ``users`` users at once and learn from each round.

    Args:
        learner: of ``settings``; it learns in place.
        simulator: its context columns must be those that ``learner`` knows (`simulation.moments`).
        seed: of users, slates and noise of rewards.

    Raises:
        InputError: no reward is known for what the users answer.
    """
    batch = simulator.users(users, seed=seed, staggered=True)
    probe = _Probe(simulator.users(PROBES, seed=seed + 1).observation, simulator.spec.slate_size)
    rng = np.random.default_rng([seed, 3])
    rounds = -(-env_steps // users)
    every = max(1, -(-rounds // POINTS))
    returns = np.zeros(users)
    curve: list[LearningPoint] = []
    seen, pending = _Seen(), None
    probe.look(learner.scorer(), settings.greedy_sampler())
    for number in range(1, rounds + 1):
        observation = batch.observation
        scorer = learner.scorer()
        scores = scorer.score(observation)
        positions = learner.sampler().sample(scores, observation, simulator.spec.slate_size, rng)
        greedy = settings.greedy_sampler().sample(scores, observation, simulator.spec.slate_size, rng)
        items = np.take_along_axis(observation.candidates, positions, axis=1)
        if pending is not None:
            learner.learn(pending.followed_by(items))
        feedback = batch.step(positions)
        rewards = settings.rewards.of_responses(feedback.responses, simulator.spec.response_channels)
        if settings.rewards.noise:
            rewards = rewards + settings.rewards.noise * rng.standard_normal(rewards.shape)
        played = _Played(observation, items, rewards, feedback.terminated, feedback.finished)
        if settings.looks_ahead:
            played.next_observation = batch.observation
        if settings.on_policy:
            pending = played
        else:
            learner.learn(played.experience(simulator.spec.num_items))
        returns += feedback.reward
        seen.add(rewards, exploration_rate(positions, greedy), returns[feedback.finished])
        returns[feedback.finished] = 0.0
        if feedback.finished.any():
            batch.restart(feedback.finished)
        if number % every == 0 or number == rounds:
            settled, change = probe.look(learner.scorer(), settings.greedy_sampler())
            curve.append(seen.point(number * users, settled, change))
            on_point(curve[-1])
    return curve


@dataclass
class _Played:
    """A round that may still wait for what is shown next."""

    observation: Observation
    items: Int32
    rewards: Float64
    terminated: Bool
    finished: Bool
    next_observation: Observation | None = None

    def experience(self, num_items: int) -> Experience:
        """For those who learn from what could be shown next, or from nothing of it."""
        after, available = self.next_observation, None
        if after is not None:
            available = np.zeros((after.batch_size, num_items), dtype=np.bool_)
            row, column = np.nonzero(after.available)
            available[row, after.candidates[row, column]] = True
        return self._experience(next_available=available)

    def followed_by(self, items: Int32) -> Experience:
        """For those who learn from what was shown next; to users who have left that is nothing."""
        return self._experience(next_items=np.where(self.finished[:, None], np.int32(-1), items))

    def _experience(self, **following: Any) -> Experience:
        return Experience(
            observation=self.observation,
            items=self.items,
            rewards=self.rewards,
            next_observation=self.next_observation,
            terminated=self.terminated,
            **following,
        )


@dataclass
class _Seen:
    """What happened since the last point, and the sum of all rewards."""

    rewards: list[Float64] = field(default_factory=list)
    explored: list[float] = field(default_factory=list)
    returns: list[Float64] = field(default_factory=list)
    total: float = 0.0

    def add(self, rewards: Float64, explored: float, returns: Float64) -> None:
        self.rewards.append(rewards)
        self.explored.append(explored)
        self.returns.append(returns)

    def point(self, env_steps: int, settled: float, change: float) -> LearningPoint:
        ended = np.concatenate(self.returns)
        self.total += float(cumulative_reward(np.stack(self.rewards))[-1])
        point = LearningPoint(
            env_steps=env_steps,
            episode_return=float(ended.mean()) if len(ended) else float("nan"),
            item_reward=float(np.mean(self.rewards)),
            cumulative_reward=self.total,
            exploration_rate=float(np.mean(self.explored)),
            settled_share=settled,
            value_change=change,
        )
        self.rewards, self.explored, self.returns = [], [], []
        return point


class _Probe:
    """The same requests at every look."""

    def __init__(self, observation: Observation, slate_size: int) -> None:
        self._observation, self._slate_size = observation, slate_size
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def look(self, scorer: Scorer, greedy: Sampler) -> tuple[float, float]:
        """(settled share, value change) since the last look; NaN at the first."""
        scores = scorer.score(self._observation)
        slates = greedy.sample(scores, self._observation, self._slate_size, np.random.default_rng(0))
        before, self._last = self._last, (scores.values, slates)
        if before is None:
            return float("nan"), float("nan")
        change = value_change(before[0], scores.values, self._observation.available)
        return settled_share(before[1], slates), change
