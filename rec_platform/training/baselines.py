"""What a learned policy has to be held against, in the same table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy, Scorer
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import AffinityScorer, DiverseScorer, StaticScorer, UniformScorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution
from rec_platform.simulation.classic.interest_exploration import InterestExploration
from rec_platform.simulation.classic.kinds import Classic
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction
from rec_platform.training.selection import surely_above
from rec_platform.training.world import World
from rec_platform.types import Float64

DIVERSITY_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
TUNING_USERS = 500


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the diversity weight was found.

    Attributes:
        weights: those tried.
        returns: mean return of each with the users who judge (`World.judges`).
        best: the weight that is used; 0 where no other is surely better.
    """

    weights: tuple[float, ...]
    returns: tuple[float, ...]
    best: float


def baselines(world: World, relevance: Scorer | None, tuning: Tuning | None) -> list[Policy]:
    """Random, popular, myopic and, where there is a relevance, greedy with one tuned diversity weight.

    In a classic environment there is no popularity, and myopic is the ranking by the simulator's immediate value.
    Beside it stand rankings by what pays in the long run: the mean quality of topics, and the least clickbait.

    Args:
        relevance: log-odds of a positive response fitted to the log; None where the experiment fits none.
        tuning: the diversity weight found with it (never in the evaluation simulator).
    """
    policies = [Policy("random", UniformScorer(), PlackettLuce())]
    if isinstance(world.train, Classic):
        return policies + [Policy(name, scorer, Greedy()) for name, scorer in _classic(world.train).items()]
    policies.append(Policy("popularity", StaticScorer(world.catalog.popularity), Greedy()))
    if relevance is not None and tuning is not None:
        policies.append(Policy("myopic", relevance, Greedy()))
        policies.append(Policy("diverse", _diverse(world, relevance, tuning.best), Greedy()))
    return policies


def _classic(simulator: Classic) -> dict[str, Scorer]:
    """Rankings by name; all of them can be exported and served."""
    match simulator:
        case InterestEvolution():
            quality = StaticScorer(simulator.topic_quality)
            return {"myopic": AffinityScorer(simulator.item_features), "topic_quality": quality}
        case InterestExploration():
            return {"myopic": StaticScorer(simulator.prior_scores)}
        case LongTermSatisfaction():
            kale = StaticScorer(-simulator.item_features[:, 0])
            return {"myopic": StaticScorer(simulator.neutral_engagement), "most_kale": kale}


def tune_diversity(world: World, relevance: Scorer, *, seed: int) -> Tuning:
    """The best weight of `DIVERSITY_WEIGHTS`, then of two between it and its neighbours, on the same users.

    Where none is better than 0 by more than chance it is 0.
    """
    returns: dict[float, Float64] = {}

    def measure(weight: float) -> None:
        policy = Policy("diverse", _diverse(world, relevance, weight), Greedy())
        returns[weight] = rollout(policy, world.judges, users=TUNING_USERS, seed=seed).returns

    def best() -> float:
        return max(returns, key=lambda weight: float(returns[weight].mean()))

    for weight in DIVERSITY_WEIGHTS:
        measure(weight)
    first = best()
    at = DIVERSITY_WEIGHTS.index(first)
    for neighbour in DIVERSITY_WEIGHTS[max(at - 1, 0) : at + 2]:
        if neighbour != first:
            measure((first + neighbour) / 2)
    weights = tuple(sorted(returns))
    found = best() if surely_above(returns[best()], returns[0.0]) else 0.0
    return Tuning(weights, tuple(float(returns[weight].mean()) for weight in weights), found)


def _diverse(world: World, relevance: Scorer, weight: float) -> Scorer:
    return DiverseScorer(relevance, np.ascontiguousarray(world.catalog.features), weight)
