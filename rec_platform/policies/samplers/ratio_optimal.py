"""SlateQ's best slate: the one whose expected long-term value under the choice model is largest.

maximise over slates A of k:   [Σ_{i∈A} s_i Q_i + s_⊥ Q_⊥] / [Σ_{i∈A} s_i + s_⊥]

Ie et al. 2019 (SlateQ), section 5.2, solve a linear program after Charnes and Cooper. Dinkelbach's rounds are exact
too and need only a top-k each: for the ratio λ of the current slate take the k largest s_i (Q_i - λ); the ratio rises
until it is the maximum, in practice within a few rounds. Unlike the published code the null item has a learned value.
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

SHORTLIST = 64
"""Candidates among which the rounds after the first look; what they find is checked against all."""


@dataclass(frozen=True, slots=True)
class RatioOptimal:
    """The ratio-optimal slate, ordered by s_i (Q_i - λ) at its own ratio λ.

    Attributes:
        rounds: Dinkelbach rounds.
    """

    rounds: int = 6
    propensity_kind: PropensityKind = "deterministic"

    def spec(self) -> dict[str, Any]:
        return {"kind": "ratio_optimal", "rounds": self.rounds}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        if scores.masses is None or scores.null_mass is None or scores.null_value is None:
            raise InputError("sampler", "ratio_optimal needs a scorer with choice masses and a null item", "use greedy")
        values, masses = scores.values, np.where(observation.available, scores.masses, np.float32(-1.0))
        null_value, null_mass = scores.null_value[:, None], scores.null_mass[:, None]
        if values.shape[1] <= 2 * SHORTLIST or slate_size * 4 > SHORTLIST:
            return self._optimise(values, masses, null_value, null_mass, slate_size)[0]
        # Optimise among the best of the first round, then prove it: no other candidate may beat the slate's last one.
        pool = np.argpartition(-_gain(values, masses, null_value), SHORTLIST, axis=1)[:, :SHORTLIST]
        pool.sort(axis=1)
        within, ratio = self._optimise(
            np.take_along_axis(values, pool, axis=1),
            np.take_along_axis(masses, pool, axis=1),
            null_value,
            null_mass,
            slate_size,
        )
        slate = np.take_along_axis(pool, within, axis=1).astype(np.int32)
        gain = _gain(values, masses, ratio)
        last = np.take_along_axis(gain, slate, axis=1).min(axis=1, keepdims=True)
        unproven = np.nonzero((gain > last).sum(axis=1) >= slate_size)[0]
        if len(unproven):
            rows = (values[unproven], masses[unproven], null_value[unproven], null_mass[unproven])
            slate[unproven] = self._optimise(*rows, slate_size)[0]
        return slate

    def _optimise(
        self, values: np.ndarray, masses: np.ndarray, null_value: np.ndarray, null_mass: np.ndarray, slate_size: int
    ) -> tuple[Int32, np.ndarray]:
        """Slates int32 [B, k] and the ratios [B, 1] at which they were chosen; a negative mass is not available."""
        ratio = null_value
        for _ in range(self.rounds):
            at = ratio
            slate = top_k(_gain(values, masses, at), slate_size)
            mass = np.take_along_axis(masses, slate, axis=1)
            value = np.take_along_axis(values, slate, axis=1)
            total = mass.sum(axis=1, keepdims=True) + null_mass
            ratio = ((mass * value).sum(axis=1, keepdims=True) + null_mass * null_value) / total
        return slate, at

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        return follows(self.sample(scores, observation, positions.shape[1], np.random.default_rng(0)), positions)


def _gain(values: np.ndarray, masses: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """s_i (Q_i - λ), -inf where not available."""
    return np.where(masses >= 0, masses * (values - ratio), np.float32(-np.inf))
