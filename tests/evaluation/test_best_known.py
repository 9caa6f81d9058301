"""The oracle of interest evolution reaches what is known of it, and looks at nothing it should not."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rec_platform.evaluation.best_known import RATE, best_known
from rec_platform.evaluation.rollout import rollout
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExploration


def test_return_of_the_ratio_optimal_slate() -> None:
    simulator = InterestEvolution(InterestEvolutionConfig(slate_size=3, num_candidates=10))
    (policy,) = best_known(simulator)
    returns = rollout(policy, simulator, users=5_000, seed=12_345).returns
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - 279.6) < 3 * np.hypot(error, 0.3)


def test_the_slate_is_the_best_of_all() -> None:
    simulator = InterestEvolution(InterestEvolutionConfig(slate_size=2, num_candidates=6))
    observation = simulator.users(50, seed=1).observation
    (policy,) = best_known(simulator)
    slates = policy.decide(observation, 2, np.random.default_rng(0)).items
    quality = simulator.topic_quality
    values = 4 - RATE * (4 - 4 * 0.9 / 3.4 * quality) + 0.5 * RATE
    for user, slate in enumerate(slates):
        interests, offered = observation.user_features[user], observation.candidates[user]

        def worth(items: tuple[int, ...], interests: np.ndarray = interests) -> float:
            masses = interests[list(items)] + 1.0
            return float((masses * values[list(items)]).sum() / (masses.sum() + 2.0))

        best = max(worth(tuple(pair)) for pair in combinations(offered, 2))
        assert worth(tuple(slate)) >= best - 1e-5


def test_none_is_known() -> None:
    assert best_known(InterestExploration()) == []
