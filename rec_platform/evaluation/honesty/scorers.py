"""The scorers that the checks search over: greed by the simulator's own knowledge, and greed traded off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rec_platform.policies.policy import Scores
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Float32, Int32, Observation


@runtime_checkable
class KnowsSimilarity(Protocol):
    """A simulator that can say how like each item is to what a user lately consumed."""

    def similarity(self, history: Int32, history_feedback: Float32, *, items: Int32 | None = None) -> Float32:
        """Float32 [B, N] of every item, or [B, M] of ``items`` int32 [B, M]."""
        ...


def candidate_similarity(simulator: KnowsSimilarity, observation: Observation, *, full_catalogue: bool) -> Float32:
    """Of each candidate, float32 [B, M]; what costs is M, not the catalogue."""
    items = None if full_catalogue else observation.candidates
    return simulator.similarity(observation.history, observation.history_feedback, items=items)


@dataclass(frozen=True)
class ImmediateScorer:
    """What the simulator itself expects each candidate to earn now: ranked by it, the myopic policy.

    Attributes:
        simulator: whose knowledge is used, also when the policy is played in another simulator.
    """

    simulator: Simulator

    def score(self, observation: Observation) -> Scores:
        return Scores(self.simulator.immediate_value(observation))


@dataclass(frozen=True)
class TradeOffScorer:
    """A small class: immediate value · item factor + item score + likeness · similarity to what was lately consumed.

    Attributes:
        simulator: gives immediate value and similarity.
        item_factors: float32 [N] weight of the immediate value, by item.
        item_scores: float32 [N] the part that is the same for everyone.
        likeness: weight of the similarity; not 0 only where the simulator `KnowsSimilarity`.
    """

    simulator: Simulator
    item_factors: Float32
    item_scores: Float32
    likeness: float = 0.0

    def score(self, observation: Observation) -> Scores:
        values = self.item_scores[observation.candidates]
        if self.item_factors.any():
            values = values + self.item_factors[observation.candidates] * self.simulator.immediate_value(observation)
        if self.likeness:
            assert isinstance(self.simulator, KnowsSimilarity)
            full = self.simulator.spec.full_catalogue
            similarity = candidate_similarity(self.simulator, observation, full_catalogue=full)
            values = values + np.float32(self.likeness) * similarity
        return Scores(values)
