"""SlateQ's best slate: the one whose expected long-term value under the choice model is largest.

maximise over slates A of k:   [Σ_{i∈A} s_i Q_i + s_⊥ Q_⊥] / [Σ_{i∈A} s_i + s_⊥]

Ie et al. 2019 (SlateQ), section 5.2, solve a linear program after Charnes and Cooper. Dinkelbach's rounds are exact
too and need only a top-k each: for the ratio λ of the current slate take the k largest s_i (Q_i - λ); the ratio rises
until it is the maximum, in practice within three rounds. Unlike the published code the null item has a learned value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers.greedy import follows
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.types import Float64, Int32, Observation, PropensityKind


@dataclass(frozen=True, slots=True)
class RatioOptimal:
    """The ratio-optimal slate, ordered by s_i (Q_i - λ) at its own ratio λ.

    Attributes:
        rounds: Dinkelbach rounds.
    """

    rounds: int = 4
    propensity_kind: PropensityKind = "deterministic"

    def spec(self) -> dict[str, Any]:
        return {"kind": "ratio_optimal", "rounds": self.rounds}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        if scores.masses is None or scores.null_mass is None or scores.null_value is None:
            raise InputError("sampler", "ratio_optimal needs a scorer with choice masses and a null item", "use greedy")
        available = observation.available
        values, masses = scores.values.astype(np.float64), scores.masses.astype(np.float64)
        null_mass = scores.null_mass.astype(np.float64)[:, None]
        null_value = scores.null_value.astype(np.float64)[:, None]
        ratio = null_value
        for _ in range(self.rounds):
            slate = top_k(np.where(available, masses * (values - ratio), -np.inf), slate_size)
            mass = np.take_along_axis(masses, slate, axis=1)
            value = np.take_along_axis(values, slate, axis=1)
            total = mass.sum(axis=1, keepdims=True) + null_mass
            ratio = ((mass * value).sum(axis=1, keepdims=True) + null_mass * null_value) / total
        return slate

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        return follows(self.sample(scores, observation, positions.shape[1], np.random.default_rng(0)), positions)
