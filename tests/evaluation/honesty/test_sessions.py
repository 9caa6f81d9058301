"""Quick sessions are the sessions of `evaluation.rollout`."""

from __future__ import annotations

import numpy as np
import pytest
from honesty_toys import personal, rigged

from rec_platform.errors import InputError
from rec_platform.evaluation.honesty.long_term import myopic_policy
from rec_platform.evaluation.honesty.random_play import RANDOM
from rec_platform.evaluation.honesty.sessions import from_the_top, play
from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import Greedy
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.policies.scorers import StaticScorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.types import Observation

SHORT = InterestEvolution(InterestEvolutionConfig(budget=20.0))


def static(scores: np.ndarray) -> Policy:
    return Policy("static", StaticScorer(scores.astype(np.float32)), Greedy())


@pytest.mark.parametrize(
    "policy", [static(SHORT.config.topic_quality()), myopic_policy(SHORT)], ids=["static", "myopic"]
)
def test_as_rolled_out(policy: Policy) -> None:
    quick, slow = play(policy, SHORT, users=200, seed=4), rollout(policy, SHORT, users=200, seed=4)
    np.testing.assert_array_equal(quick.rollout.returns, slow.returns)
    np.testing.assert_array_equal(quick.rollout.lengths, slow.lengths)
    np.testing.assert_array_equal(quick.rollout.clicks, slow.clicks)
    assert quick.rollout.coverage == slow.coverage
    assert quick.exposures.sum() == 3 * slow.lengths.sum()
    assert quick.mean == pytest.approx(slow.returns.mean())


def test_one_ranking_in_a_full_catalogue() -> None:
    simulator = personal(40)
    policy = static(np.random.default_rng(0).random(40))
    np.testing.assert_array_equal(
        play(policy, simulator, users=50, seed=1).rollout.returns, rollout(policy, simulator, users=50, seed=1).returns
    )


def test_exposures() -> None:
    simulator = rigged(10, slate_size=2)
    exposures = play(static(np.arange(10.0)), simulator, users=7, seed=0).exposures
    np.testing.assert_array_equal(exposures, [0] * 8 + [7 * 8] * 2)
    assert play(RANDOM, simulator, users=50, seed=0).exposures.min() > 0


@pytest.mark.parametrize("unavailable", [0.0, 0.2, 0.9])
def test_from_the_top_is_top_k(unavailable: float) -> None:
    """Also where the head of the ranking does not hold enough available items."""
    rng = np.random.default_rng(5)
    candidates = np.tile(np.arange(200, dtype=np.int32), (30, 1))
    candidates[rng.random((30, 200)) < unavailable] = -1
    candidates[:, :4] = np.arange(4)
    none = np.empty((30, 0), dtype=np.float32)
    observation = Observation(none, none.astype(np.int32), none, none, candidates)
    scores = np.round(rng.random(200), 1).astype(np.float32)  # with ties
    ranking = np.argsort(-scores, kind="stable")
    expected = top_k(np.where(candidates >= 0, scores, -np.inf), 4)
    np.testing.assert_array_equal(from_the_top(ranking, observation, 4), expected)


def test_endless_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rec_platform.evaluation.honesty.sessions.LONGEST", 3)
    with pytest.raises(InputError, match="did not end within 3"):
        play(RANDOM, rigged(10), users=5, seed=0)
