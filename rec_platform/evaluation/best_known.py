"""The best that is known in an environment without learning: what a learned policy has to be measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.policies.policy import Policy, Scores
from rec_platform.policies.samplers import RatioOptimal
from rec_platform.simulation.classic.interest_evolution import InterestEvolution
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Observation

RATE = 1.4
"""Reward a unit of time budget; 1.2 to 1.8 give returns within 2 of each other."""


@dataclass(frozen=True, slots=True)
class BudgetOracle:
    """What each topic brings less what it costs, by one who knows the topics' qualities and the choice model.

        v_i = w - ρ (drain_i - drain_⊥),   drain_i = w - β w μ_i

    with watch time w, budget return β, mean quality μ and a price ρ of time. It looks one step ahead: what interests
    become is not in it.
    """

    simulator: InterestEvolution
    rate: float = RATE

    def score(self, observation: Observation) -> Scores:
        config = self.simulator.config
        watch = config.document_length
        drain = watch - config.budget_return * watch * self.simulator.topic_quality
        values = (watch - self.rate * (drain - config.no_click_penalty)).astype(np.float32)
        topics = np.maximum(observation.candidates, 0)
        masses = np.take_along_axis(observation.user_features, topics, axis=1) - np.float32(config.min_normalizer)
        rows = observation.batch_size
        null = np.full(rows, config.null_mass - config.min_normalizer, dtype=np.float32)
        return Scores(values[topics], masses, np.zeros(rows, dtype=np.float32), null)


def best_known(simulator: Simulator) -> list[Policy]:
    """Policies that know what a recommender is not told; empty where none is known."""
    if isinstance(simulator, InterestEvolution):
        return [Policy("ratio_optimal", BudgetOracle(simulator), RatioOptimal())]
    return []
