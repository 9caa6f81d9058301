"""The other samplers: exact mixtures, exact optima, and clear refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from observations import observation

from rec_platform.errors import InputError
from rec_platform.policies.policy import Policy, Scores
from rec_platform.policies.samplers import EpsilonGreedy, Greedy, PlackettLuce, RatioOptimal, build
from rec_platform.policies.scorers import UniformScorer


def slateq_scores(rng: np.random.Generator, batch: int, candidates: int) -> Scores:
    return Scores(
        values=rng.normal(10, 3, (batch, candidates)).astype(np.float32),
        masses=rng.gamma(1.0, 1.0, (batch, candidates)).astype(np.float32),
        null_value=rng.normal(9, 1, batch).astype(np.float32),
        null_mass=np.ones(batch, np.float32),
    )


def test_epsilon_greedy_is_the_mixture_it_says():
    rng = np.random.default_rng(0)
    obs = observation(np.array([[0, 1, -1, 3, 4]]))
    scores = Scores(rng.normal(size=(1, 5)).astype(np.float32))
    sampler = EpsilonGreedy(0.3)
    greedy = tuple(Greedy().sample(scores, obs, 2, rng)[0])
    total = 0.0
    for slate in itertools.permutations([0, 1, 3, 4], 2):
        steps = sampler.propensity(scores, obs, np.array([slate], np.int32))[0]
        expected = 0.3 / 12 + 0.7 * (slate == greedy)
        assert steps.prod() == pytest.approx(expected)
        total += steps.prod()
    assert total == pytest.approx(1.0)
    draws = 20_000
    many = observation(np.tile(obs.candidates, (draws, 1)))
    slates = sampler.sample(Scores(np.tile(scores.values, (draws, 1))), many, 2, rng)
    share = (slates == np.array(greedy)).all(axis=1).mean()
    assert share == pytest.approx(0.7 + 0.3 / 12, abs=5 * np.sqrt(0.25 / draws))


def test_ratio_optimal_finds_the_best_of_all_slates():
    rng = np.random.default_rng(1)
    scores = slateq_scores(rng, 40, 8)
    candidates = np.tile(np.arange(8), (40, 1))
    candidates[:, 3] = -1
    obs = observation(candidates)
    chosen = RatioOptimal().sample(scores, obs, 3, rng)

    def value(row: int, slate) -> float:
        mass, q = scores.masses[row, list(slate)], scores.values[row, list(slate)]
        return (mass @ q + scores.null_mass[row] * scores.null_value[row]) / (mass.sum() + scores.null_mass[row])

    for row in range(40):
        best = max(value(row, slate) for slate in itertools.combinations([0, 1, 2, 4, 5, 6, 7], 3))
        assert value(row, chosen[row]) == pytest.approx(best, rel=1e-5)


def test_the_shortlist_of_large_catalogues_changes_nothing():
    rng = np.random.default_rng(5)
    scores = slateq_scores(rng, 200, 400)
    scores.values[:50] += rng.normal(0, 30, (50, 400)).astype(np.float32)
    obs = observation(np.where(rng.random((200, 400)) < 0.5, np.arange(400), -1))
    chosen = RatioOptimal().sample(scores, obs, 5, rng)
    masses = np.where(obs.available, scores.masses, np.float32(-1.0))
    null = (scores.null_value[:, None], scores.null_mass[:, None])
    np.testing.assert_array_equal(chosen, RatioOptimal()._optimise(scores.values, masses, *null, 5)[0])


def test_deterministic_samplers_give_one_or_zero():
    rng = np.random.default_rng(2)
    obs = observation(np.array([[0, 1, 2]]))
    scores = Scores(np.array([[0.0, 2.0, 1.0]], np.float32))
    assert Greedy().propensity(scores, obs, np.array([[1, 2]], np.int32)).tolist() == [[1.0, 1.0]]
    assert Greedy().propensity(scores, obs, np.array([[1, 0]], np.int32)).tolist() == [[1.0, 0.0]]
    assert Greedy().propensity(scores, obs, np.array([[2, 1]], np.int32)).tolist() == [[0.0, 0.0]]
    assert Greedy().sample(scores, obs, 2, rng).tolist() == [[1, 2]]


@pytest.mark.parametrize("sampler", [PlackettLuce(0.7), Greedy(), EpsilonGreedy(0.1, RatioOptimal()), RatioOptimal(3)])
def test_a_sampler_is_rebuilt_from_its_spec(sampler):
    assert build(sampler.spec()) == sampler


def test_bad_specs_name_what_is_wrong():
    with pytest.raises(InputError, match="did you mean 'greedy'"):
        build({"kind": "greedi"})
    with pytest.raises(InputError, match="temprature"):
        build({"kind": "plackett_luce", "temprature": 1.0})
    with pytest.raises(InputError, match="probability"):
        build({"kind": "epsilon_greedy", "epsilon": 1.5})
    with pytest.raises(InputError, match="choice masses"):
        RatioOptimal().sample(Scores(np.zeros((1, 3), np.float32)), observation(np.arange(3)[None]), 2, None)


def test_a_slate_larger_than_what_is_available_is_refused():
    policy = Policy("random", UniformScorer(), PlackettLuce())
    obs = observation(np.array([[0, 1, 2], [0, -1, -1]]))
    with pytest.raises(InputError, match="2 is larger than the 1 available"):
        policy.decide(obs, 2, np.random.default_rng(0))
    with pytest.raises(InputError, match="below 1"):
        policy.decide(obs, 0, np.random.default_rng(0))


def test_decision_carries_items_scores_and_propensities():
    policy = Policy("random", UniformScorer(), PlackettLuce())
    obs = observation(np.array([[7, 5, -1, 9]]))
    decision = policy.decide(obs, 3, np.random.default_rng(0))
    assert sorted(decision.items[0].tolist()) == [5, 7, 9]
    np.testing.assert_allclose(decision.propensities, [[1 / 3, 1 / 2, 1.0]])
    assert decision.propensities.dtype == np.float64
    np.testing.assert_allclose(policy.propensity(obs, decision.positions), decision.propensities)
