"""Slot after slot, each by its own scores: for recommenders that value an item differently by its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.policy import Scores
from rec_platform.types import Float64, Int32, Observation, PropensityKind


@dataclass(frozen=True, slots=True)
class PerSlot:
    """Fills slot j from what is left, by ``Scores.per_slot[:, j]``; slots beyond the last use the last.

    P(slot j = i | earlier) = ε / (number left) + (1 - ε) π_j(i), with π_j the best item left, or a softmax over those
    left. Scorers without per-slot scores are asked their one score for every slot: ε-greedy by the slot, where
    `EpsilonGreedy` is by the slate.

    Attributes:
        epsilon: ε in [0, 1], drawn anew for each slot.
        temperature: τ of the softmax; None for the best item, of equal ones the earlier candidate.
    """

    epsilon: float = 0.1
    temperature: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise InputError("sampler.epsilon", f"{self.epsilon} is not a probability", "choose 0 to 1")
        if self.temperature is not None and not (np.isfinite(self.temperature) and self.temperature > 0):
            raise InputError("sampler.temperature", f"{self.temperature} is not above 0", "for the best item leave it")

    @property
    def propensity_kind(self) -> PropensityKind:
        return "deterministic" if self.epsilon == 0.0 and self.temperature is None else "plackett_luce_step"

    def spec(self) -> dict[str, Any]:
        return {"kind": "per_slot", "epsilon": self.epsilon, "temperature": self.temperature}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        left = observation.available.copy()
        positions = np.zeros((len(left), slate_size), dtype=np.int32)
        rows = np.arange(len(left))
        for slot in range(slate_size):
            cumulative = np.cumsum(self.probabilities(scores, left, slot), axis=1)
            if self.propensity_kind == "deterministic":
                chosen = np.argmax(cumulative, axis=1)
            else:  # a point in (0, total] never falls on a probability of 0
                points = (1.0 - rng.random(len(left))) * cumulative[:, -1]
                chosen = np.argmax(cumulative >= points[:, None], axis=1)
            positions[:, slot] = chosen
            left[rows, chosen] = False
        return positions

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        left = observation.available.copy()
        steps = np.zeros(positions.shape)
        rows = np.arange(len(left))
        for slot in range(positions.shape[1]):
            steps[:, slot] = self.probabilities(scores, left, slot)[rows, positions[:, slot]]
            left[rows, positions[:, slot]] = False
        if self.propensity_kind == "deterministic":
            return np.logical_and.accumulate(steps == 1.0, axis=1).astype(np.float64)
        return steps

    def probabilities(self, scores: Scores, left: np.ndarray, slot: int) -> Float64:
        """Float64 [B, M] of the slot, 0 where ``left`` bool [B, M] is not."""
        block = (
            scores.values if scores.per_slot is None else scores.per_slot[:, min(slot, scores.per_slot.shape[1] - 1)]
        )
        masked = np.where(left, block.astype(np.float64), -np.inf)
        if self.temperature is None:
            main = np.zeros(masked.shape)
            main[np.arange(len(main)), np.argmax(masked, axis=1)] = 1.0
        else:
            main = np.exp((masked - masked.max(axis=1, keepdims=True)) / self.temperature)
            main /= main.sum(axis=1, keepdims=True)
        uniform = left / np.maximum(left.sum(axis=1, keepdims=True), 1)
        return self.epsilon * uniform + (1.0 - self.epsilon) * main
