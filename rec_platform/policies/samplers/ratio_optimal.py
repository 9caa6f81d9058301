"""SlateQ's best slate: the one whose expected long-term value under the choice model is largest.

maximise over slates A of k:   [Σ_{i∈A} s_i Q_i + s_⊥ Q_⊥] / [Σ_{i∈A} s_i + s_⊥]

Ie et al. 2019 (SlateQ), section 5.2, solve a linear program after Charnes and Cooper. Dinkelbach's rounds are exact
too and need only a top-k each: for the ratio λ of the current slate take the k largest s_i (Q_i - λ); the ratio rises
until it is the maximum, in practice within a few rounds. Unlike the published code the null item has a learned value.

The paper's two heuristics are here for comparison: the k largest s_i Q_i, and adding one item after another, each time
the one with the largest (N + s_i Q_i)/(D + s_i), where N and D start from the null item's s_⊥ Q_⊥ and s_⊥.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers.greedy import follows
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.types import Float64, Int32, Observation, PropensityKind

SHORTLIST = 64
"""Candidates among which the rounds after the first look; what they find is checked against all."""

SlateMethod = Literal["optimal", "greedy", "top_k"]
"""How a slate is looked for: exactly, by adding the best item k times, or by the k largest s_i Q_i."""

METHODS: tuple[str, ...] = get_args(SlateMethod)


@dataclass(frozen=True, slots=True)
class RatioOptimal:
    """The slate with the largest ratio, or with little less of it; of equal candidates the earlier one wins.

    The slots are ordered by s_i (Q_i - λ) at the slate's own ratio λ (``optimal``), in the order of adding
    (``greedy``), or by s_i Q_i (``top_k``).

    Attributes:
        rounds: Dinkelbach rounds of ``optimal``.
        method: see `SlateMethod`.
    """

    rounds: int = 6
    method: SlateMethod = "optimal"
    propensity_kind: PropensityKind = "deterministic"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError("sampler.method", f"'{self.method}' is unknown", did_you_mean(str(self.method), METHODS))

    def spec(self) -> dict[str, Any]:
        return {"kind": "ratio_optimal", "rounds": self.rounds, "method": self.method}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        if scores.masses is None or scores.null_mass is None or scores.null_value is None:
            raise InputError("sampler", "ratio_optimal needs a scorer with choice masses and a null item", "use greedy")
        values, masses = scores.values, np.where(observation.available, scores.masses, np.float32(-1.0))
        null_value, null_mass = scores.null_value[:, None], scores.null_mass[:, None]
        if self.method == "top_k":
            return top_k(_gain(values, masses, np.zeros_like(null_value)), slate_size)
        if self.method == "greedy":
            return _add_one_by_one(values, masses, null_value, null_mass, slate_size)
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


def _add_one_by_one(
    values: np.ndarray, masses: np.ndarray, null_value: np.ndarray, null_mass: np.ndarray, slate_size: int
) -> Int32:
    """Slates int32 [B, k] by adding what raises the ratio λ = N/D most; a negative mass is not available.

    (N + s_i Q_i)/(D + s_i) = λ + s_i (Q_i - λ)/(D + s_i): the same item is the best of both, and the second sum does
    not lose small gains to a large value.
    """
    slate = np.zeros((len(values), slate_size), dtype=np.int32)
    ratio, total, masses = null_value, null_mass, masses.copy()
    tiny = np.finfo(masses.dtype).tiny
    for slot in range(slate_size):
        # -inf where not available, and the divisor is above 0
        gain = _gain(values, masses, ratio) / np.maximum(total + masses, tiny)
        best = gain.argmax(axis=1)[:, None]
        mass, value = np.take_along_axis(masses, best, axis=1), np.take_along_axis(values, best, axis=1)
        total = total + mass
        ratio = ratio + mass * (value - ratio) / np.maximum(total, tiny)
        slate[:, slot] = best[:, 0]
        np.put_along_axis(masses, best, -1.0, axis=1)
    return slate
