"""Explore whole slates: with probability ε a uniformly random one, else the one a deterministic sampler picks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.policy import Sampler, Scores
from rec_platform.policies.samplers.greedy import Greedy, follows
from rec_platform.policies.samplers.plackett_luce import sample_plackett_luce
from rec_platform.types import Float64, Int32, Observation, PropensityKind


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """A mixture over slates, so the probability of a slot depends on whether the earlier slots agree with the base.

    With U_j the probability of the first j slots under uniform draws without replacement and G_j in {0, 1} whether
    they agree with the base's slate:   P(slot j | earlier) = [ε U_j + (1-ε) G_j] / [ε U_{j-1} + (1-ε) G_{j-1}].

    Attributes:
        epsilon: ε in [0, 1].
        base: a deterministic sampler.
    """

    epsilon: float
    base: Sampler = field(default_factory=Greedy)
    propensity_kind: PropensityKind = "plackett_luce_step"

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise InputError("sampler.epsilon", f"{self.epsilon} is not a probability", "choose 0 to 1")
        if self.base.propensity_kind != "deterministic":
            raise InputError("sampler.base", f"{self.base.spec()['kind']} is not deterministic", "use greedy")

    def spec(self) -> dict[str, Any]:
        return {"kind": "epsilon_greedy", "epsilon": self.epsilon, "base": self.base.spec()}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        positions = self.base.sample(scores, observation, slate_size, rng)
        explore = np.nonzero(rng.random(len(positions)) < self.epsilon)[0]
        if len(explore):
            available = observation.available[explore]
            flat = np.zeros(available.shape, dtype=np.float32)
            positions = positions.copy()
            positions[explore] = sample_plackett_luce(flat, available, slate_size, rng)
        return positions

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        slate_size = positions.shape[1]
        base = self.base.sample(scores, observation, slate_size, np.random.default_rng(0))
        left = observation.available.sum(axis=1)[:, None] - np.arange(slate_size)
        possible = np.take_along_axis(observation.available, positions, axis=1)
        uniform = np.cumprod(np.where(possible, 1.0 / np.maximum(left, 1), 0.0), axis=1)
        prefix = self.epsilon * uniform + (1.0 - self.epsilon) * follows(base, positions)
        before = np.concatenate([np.ones((len(prefix), 1)), prefix[:, :-1]], axis=1)
        return np.divide(prefix, before, out=np.zeros_like(prefix), where=before > 0)
