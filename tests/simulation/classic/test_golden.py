"""The classic environments against RecSim: mean returns of fixed policies over 20,000 users.

The references are a vectorised restatement of RecSim's rules over 20,000 users and RecSim itself over 2,000 episodes,
each with its standard error. Ours is compared with each of them by the standard error of the difference, at most 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from rec_platform.evaluation.rollout import Estimate, rollout
from rec_platform.policies.policy import Policy, Scorer
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import AffinityScorer, StaticScorer, UniformScorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExploration
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction
from rec_platform.simulation.simulator import Simulator

USERS = 20_000
SEED = 2019

EVOLUTION = InterestEvolution()
SMALL_EVOLUTION = InterestEvolution(InterestEvolutionConfig(slate_size=2, num_candidates=5))
EXPLORATION = InterestExploration()
SATISFACTION = LongTermSatisfaction()
CLICKBAIT = SATISFACTION.item_features[:, 0]


@dataclass(frozen=True)
class Reference:
    """Return ± standard error of RecSim and of the restatement; session length and click-through where known."""

    recsim: tuple[float, float]
    restated: tuple[float, float]
    length: float
    click_rate: float | None = None


ROWS: dict[str, tuple[Simulator, Scorer | None, Reference]] = {
    "evolution random": (EVOLUTION, None, Reference((160.49, 0.26), (160.46, 0.08), 71.0, 0.572)),
    "evolution affinity": (
        EVOLUTION,
        AffinityScorer(EVOLUTION.item_features),
        Reference((168.08, 0.49), (168.13, 0.16), 60.1, 0.709),
    ),
    "evolution topic quality": (
        EVOLUTION,
        StaticScorer(EVOLUTION.topic_quality),
        Reference((264.04, 0.81), (264.39, 0.25), 123.1, 0.548),
    ),
    "evolution k2 m5 random": (SMALL_EVOLUTION, None, Reference((154.57, 0.26), (154.33, 0.08), math.nan)),
    "exploration random": (EXPLORATION, None, Reference((23.05, 0.12), (22.84, 0.04), 100.0)),
    "exploration prior": (
        EXPLORATION,
        StaticScorer(EXPLORATION.prior_scores),
        Reference((30.99, 0.13), (31.07, 0.04), 100.0),
    ),
    "satisfaction random": (SATISFACTION, None, Reference((942.4, 3.5), (946.5, 1.1), 60.0)),
    "satisfaction clickbait": (
        SATISFACTION,
        StaticScorer(CLICKBAIT),
        Reference((1080.1, 4.1), (1084.0, 1.3), 60.0),
    ),
    "satisfaction kale": (SATISFACTION, StaticScorer(-CLICKBAIT), Reference((813.6, 3.1), (814.5, 1.0), 60.0)),
}


@pytest.mark.parametrize("name", ROWS)
def test_returns_match_recsim(name: str) -> None:
    simulator, scorer, reference = ROWS[name]
    policy = Policy("random", UniformScorer(), PlackettLuce()) if scorer is None else Policy("top", scorer, Greedy())
    result = rollout(policy, simulator, users=USERS, seed=SEED)
    ours = Estimate.of(result.returns)
    print(f"{name}: {ours.mean:.2f} ± {ours.stderr:.2f}, {result.lengths.mean():.1f} slates", end=", ")
    print(f"click rate {result.clicks.sum() / result.lengths.sum():.4f}")
    for mean, stderr in (reference.recsim, reference.restated):
        assert abs(ours.mean - mean) < 3 * math.hypot(ours.stderr, stderr)
    if not math.isnan(reference.length):
        # the reference's own error of the mean is as large as ours, and it is rounded to 0.1
        error = 3 * math.sqrt(2) * result.lengths.std() / USERS**0.5 + 0.05
        assert result.lengths.mean() == pytest.approx(reference.length, abs=error)
    if reference.click_rate is not None:
        # by users as clusters, both sides alike, and the reference is rounded to 0.001
        rate = result.clicks.sum() / result.lengths.sum()
        residuals = (result.clicks - rate * result.lengths) / result.lengths.mean()
        error = 3 * math.sqrt(2) * residuals.std() / USERS**0.5 + 0.0005
        assert rate == pytest.approx(reference.click_rate, abs=error)


def test_knowing_the_affinities_of_exploration_is_worth_little_more() -> None:
    """The oracle ranks by the user's own affinity plus quality: 31.36 ± 0.04."""
    users = EXPLORATION.users(USERS, seed=SEED)
    quality, rows = EXPLORATION.item_features[:, 0], np.arange(USERS)[:, None]
    returns = np.zeros(USERS)
    for _ in range(100):
        candidates = users.observation.candidates
        scores = quality[candidates] + users._affinity[EXPLORATION.item_topics[candidates], rows]
        feedback = users.step(np.argsort(-scores, axis=1, kind="stable")[:, :2].astype(np.int32))
        returns += feedback.reward
    ours = Estimate.of(returns)
    print(f"exploration oracle: {ours.mean:.2f} ± {ours.stderr:.2f}")
    assert feedback.truncated.all()
    assert abs(ours.mean - 31.36) < 3 * math.hypot(ours.stderr, 0.04)
