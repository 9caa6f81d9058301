"""Made-up worlds whose best items are known: what learners are held against.

A world shows B requests and answers what an item would earn on average; rewards are drawn around that. Regret is the
mean reward of the best item less that of the item shown, so that a curve of it is free of the noise of rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rec_platform.policies.bandits.learner import BanditLearner
from rec_platform.policies.online import LearnerSpace
from rec_platform.types import Float32, Float64, Observation


class BanditWorld(Protocol):
    """What `play` asks of a world."""

    @property
    def space(self) -> LearnerSpace: ...

    def observe(self, batch: int, rng: np.random.Generator) -> Observation:
        """B requests over the whole catalogue: candidate j is item j."""
        ...

    def mean_rewards(self, observation: Observation, time: int) -> Float64:
        """Float64 [B, N] what each item earns on average at round ``time``."""
        ...

    def rewards(self, means: Float64, rng: np.random.Generator) -> Float64:
        """Rewards float64 of the shape of ``means``, drawn around them."""
        ...


@dataclass(frozen=True)
class BernoulliWorld:
    """Contexts with success rates of their own, each with one best item. G contexts.

    Attributes:
        rates: float64 [epochs, G, N]; the rates change, all at once, every ``epoch`` rounds, and come round again.
        epoch: rounds; with one epoch nothing changes.
    """

    rates: Float64
    epoch: int = 1

    @staticmethod
    def generate(
        rng: np.random.Generator, *, contexts: int = 3, items: int = 10, epochs: int = 1, epoch: int = 1
    ) -> BernoulliWorld:
        """Rates 0.1 … 0.5, and 0.8 for one item of each context and epoch, another one than in the epoch before."""
        rates = rng.uniform(0.1, 0.5, (epochs, contexts, items))
        best = (rng.integers(items, size=contexts) + (1 + np.arange(epochs))[:, None] * (items // 3 + 1)) % items
        np.put_along_axis(rates, best[:, :, None], 0.8, axis=2)
        return BernoulliWorld(rates, epoch)

    @property
    def space(self) -> LearnerSpace:
        names = tuple(f"segment=s{number}" for number in range(self.rates.shape[1]))
        return LearnerSpace(self.rates.shape[2], user_feature_names=names)

    def observe(self, batch: int, rng: np.random.Generator) -> Observation:
        contexts = self.rates.shape[1]
        users = np.eye(contexts, dtype=np.float32)[rng.integers(contexts, size=batch)]
        return _observation(users, self.rates.shape[2])

    def mean_rewards(self, observation: Observation, time: int) -> Float64:
        return self.rates[time // self.epoch % len(self.rates)][observation.user_features.argmax(axis=1)]

    def rewards(self, means: Float64, rng: np.random.Generator) -> Float64:
        return (rng.random(means.shape) < means).astype(np.float64)


@dataclass(frozen=True)
class LinearWorld:
    """mean = uᵀ W y with users u ~ N(0, I), items y of length 1, and normal noise. F and D features.

    Attributes:
        weights: float64 [F, D].
        item_features: float32 [N, D].
        noise: standard deviation of rewards.
    """

    weights: Float64
    item_features: Float32
    noise: float

    @staticmethod
    def generate(rng: np.random.Generator, *, features: int = 3, items: int = 12, noise: float = 0.3) -> LinearWorld:
        item = rng.standard_normal((items, features))
        item /= np.linalg.norm(item, axis=1, keepdims=True)
        return LinearWorld(rng.standard_normal((features, features)), item.astype(np.float32), noise)

    @property
    def space(self) -> LearnerSpace:
        names = tuple(f"taste_{number}" for number in range(len(self.weights)))
        return LearnerSpace(len(self.item_features), user_feature_names=names, item_features=self.item_features)

    def observe(self, batch: int, rng: np.random.Generator) -> Observation:
        users = rng.standard_normal((batch, len(self.weights))).astype(np.float32)
        return _observation(users, len(self.item_features))

    def mean_rewards(self, observation: Observation, time: int) -> Float64:
        return observation.user_features.astype(np.float64) @ self.weights @ self.item_features.astype(np.float64).T

    def rewards(self, means: Float64, rng: np.random.Generator) -> Float64:
        return means + self.noise * rng.standard_normal(means.shape)


def _observation(users: Float32, items: int) -> Observation:
    batch = len(users)
    return Observation(
        user_features=users,
        history=np.full((batch, 0), -1, np.int32),
        history_feedback=np.zeros((batch, 0), np.float32),
        context=np.zeros((batch, 0), np.float32),
        candidates=np.tile(np.arange(items, dtype=np.int32), (batch, 1)),
    )


@dataclass(frozen=True)
class Play:
    """What came of a learner in a world, each float64 [rounds, B].

    Attributes:
        mean_rewards: of the items shown.
        regrets: of the best items less those.
        random_rewards: mean over all items, what a random recommender earns on average on the same requests.
    """

    mean_rewards: Float64
    regrets: Float64
    random_rewards: Float64

    def above_random(self) -> tuple[float, float]:
        """Mean reward less a random recommender's on the same requests, and its standard error."""
        gain = (self.mean_rewards - self.random_rewards).ravel()
        return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))

    def regret_of(self, first: float, last: float) -> float:
        """Mean regret of the rounds between two shares of the whole, e.g. 0.9 and 1.0."""
        rounds = len(self.regrets)
        return float(self.regrets[int(first * rounds) : int(last * rounds)].mean())


def play(
    learner: BanditLearner, world: BanditWorld, *, rounds: int, batch: int, seed: int,
    on_round: Callable[[int], None] | None = None,
) -> Play:  # fmt: skip
    """Let ``learner`` show one item to ``batch`` requests a round and learn of them after it."""
    rng = np.random.default_rng(seed)
    shown, best, random = (np.zeros((rounds, batch)) for _ in range(3))
    for time in range(rounds):
        observation = world.observe(batch, rng)
        policy = learner.policy("learner")
        positions = policy.sampler.sample(policy.scorer.score(observation), observation, 1, rng)
        means = world.mean_rewards(observation, time)
        own = np.take_along_axis(means, positions, axis=1)[:, 0]
        learner.partial_fit(observation, positions[:, 0], world.rewards(own, rng))
        shown[time], best[time], random[time] = own, means.max(axis=1), means.mean(axis=1)
        if on_round:
            on_round(time)
    return Play(shown, best - shown, random)
