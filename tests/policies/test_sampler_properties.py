"""What every sampler promises, on scores of any kind: probabilities sum to one and come up as often as they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from observations import observation
from scipy import stats

from rec_platform.policies import samplers
from rec_platform.policies.policy import Sampler, Scores
from rec_platform.policies.samplers import EpsilonGreedy, Greedy, PerSlot, PlackettLuce, RatioOptimal, Thompson
from rec_platform.types import Observation

DRAWS = 3000

SAMPLERS: dict[str, Sampler] = {
    "greedy": Greedy(),
    "plackett_luce": PlackettLuce(0.6),
    "epsilon_greedy": EpsilonGreedy(0.3),
    "epsilon_greedy_ratio": EpsilonGreedy(0.2, RatioOptimal()),
    "ratio_optimal": RatioOptimal(),
    "per_slot_greedy": PerSlot(0.0),
    "per_slot_epsilon": PerSlot(0.25),
    "per_slot_softmax": PerSlot(0.1, temperature=0.5),
    "thompson_gaussian": Thompson(),
    "thompson_beta": Thompson("beta"),
    "thompson_loadings": Thompson(draws=100),
    "thompson_many": Thompson(draws=150, exact_up_to=2),
}


def test_no_sampler_is_left_out() -> None:
    assert {sampler.spec()["kind"] for sampler in SAMPLERS.values()} == set(samplers.CONSTRUCTORS)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_specs_build_them_again(name: str) -> None:
    assert samplers.build(SAMPLERS[name].spec()) == SAMPLERS[name]


def make_scores(name: str, rng: np.random.Generator, items: int) -> Scores:
    values = rng.normal(size=(1, items)).round(1)  # rounded: ties happen
    spread = rng.choice([0.05, 0.3, 1.0], size=(1, items))
    if name == "thompson_beta":
        values, spread = rng.uniform(0.05, 0.95, (1, items)), rng.uniform(0.02, 0.2, (1, items))
    loadings = rng.normal(size=(1, items, 2)).astype(np.float32) if name == "thompson_loadings" else None
    return Scores(
        values.astype(np.float32),
        masses=rng.gamma(1.0, 1.0, (1, items)).astype(np.float32),
        null_value=np.zeros(1, np.float32),
        null_mass=np.ones(1, np.float32),
        spread=spread.astype(np.float32),
        loadings=loadings,
        per_slot=rng.normal(size=(1, 2, items)).astype(np.float32) if name.startswith("per_slot") else None,
    )


def slot_probabilities(sampler: Sampler, scores: Scores, one: Observation, size: int) -> np.ndarray:
    """P(item in slot) float64 [k, M], by adding up over all slates where propensities are steps."""
    left = np.flatnonzero(one.available[0])
    slates = np.array(list(itertools.permutations(left, size)), np.int32)
    same = np.zeros(len(slates), np.int64)
    steps = sampler.propensity(scores.take(same), one.take(same), slates)
    assert ((steps >= 0) & (steps <= 1 + 1e-12)).all()
    table = np.zeros((size, one.candidates.shape[1]))
    if sampler.propensity_kind == "slot_marginal":
        for slot in range(size):
            table[slot, slates[:, slot]] = steps[:, slot]
        return table
    for slot in range(size):
        np.add.at(table[slot], slates[:, slot], steps.prod(axis=1))
        for prefix in {tuple(slate[:slot]) for slate in slates.tolist()}:  # each step is a distribution of its own
            within = (slates[:, :slot] == np.array(prefix, np.int32)).all(axis=1)
            if steps[within, :slot].prod(axis=1)[0] > 0:
                _, first = np.unique(slates[within, slot], return_index=True)
                assert steps[within, slot][first].sum() == pytest.approx(1.0, abs=1e-9)
    return table


@pytest.mark.parametrize("name", sorted(SAMPLERS))
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), items=st.integers(2, 5), size=st.integers(1, 3), missing=st.integers(0, 2))
def test_probabilities_sum_to_one_and_come_up_as_often(
    name: str, seed: int, items: int, size: int, missing: int
) -> None:
    sampler, rng = SAMPLERS[name], np.random.default_rng(seed)
    candidates = np.arange(items)[None].repeat(1, axis=0)
    candidates[0, rng.permutation(items)[: min(missing, items - 1)]] = -1
    one = observation(candidates)
    size = min(size, int(one.available.sum()))
    scores = make_scores(name, rng, items)
    table = slot_probabilities(sampler, scores, one, size)
    assert table.sum(axis=1) == pytest.approx(1.0, abs=1e-7)
    assert (table[:, ~one.available[0]] == 0).all()

    many = np.zeros(DRAWS, np.int64)
    slates = sampler.sample(scores.take(many), one.take(many), size, rng)
    for slot in range(size):
        counts, expected = np.bincount(slates[:, slot], minlength=items), np.clip(table[slot], 0.0, 1.0)
        # a tail of 5 standard errors has a probability of 3e-7; of small counts the tails are the binomial's own
        assert (stats.binom.cdf(counts, DRAWS, expected) > 3e-7).all()
        assert (stats.binom.sf(counts - 1, DRAWS, expected) > 3e-7).all()
    assert (sampler.propensity(scores.take(many), one.take(many), slates) > 0).all()
