"""Plackett–Luce against the definition: sums over all slates, sampled frequencies, and masks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from observations import observation
from scipy import stats

from rec_platform.errors import InputError
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, slate_log_prob
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.samplers.plackett_luce import log_propensity, sample_plackett_luce, top_k


def by_definition(logits: np.ndarray, available: np.ndarray, slate: tuple[int, ...]) -> np.ndarray:
    mass = np.where(available, np.exp(logits.astype(np.longdouble) - logits.max()), 0.0)
    steps = []
    for item in slate:
        steps.append(mass[item] / mass.sum())
        mass[item] = 0.0
    return np.array(steps, dtype=float)


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(st.floats(-30, 30), min_size=4, max_size=7),
    size=st.integers(1, 4),
    masked=st.integers(0, 3),
)
def test_step_probabilities_match_the_definition_and_sum_to_one(logits, size, masked):
    values = np.array(logits, dtype=np.float32)
    available = np.ones(len(values), dtype=bool)
    available[:masked] = False
    if available.sum() < size:
        return
    total = 0.0
    for slate in itertools.permutations(np.nonzero(available)[0], size):
        steps = np.exp(log_propensity(values[None], available[None], np.array([slate], np.int32)))[0]
        np.testing.assert_allclose(steps, by_definition(values, available, slate), rtol=1e-9, atol=1e-300)
        total += steps.prod()
    assert total == pytest.approx(1.0, abs=1e-9)


def test_an_unavailable_item_has_probability_zero():
    sampler = PlackettLuce(0.5)
    obs = observation(np.array([[0, -1, 2, 3]]))
    scores = Scores(np.array([[1.0, 9.0, 0.0, -1.0]], np.float32))
    assert sampler.propensity(scores, obs, np.array([[1, 0]], np.int32))[0, 0] == 0.0
    assert np.isfinite(sampler.propensity(scores, obs, np.array([[0, 2, 3]], np.int32))).all()


@pytest.mark.parametrize("peaked", [1.0, 12.0])
@pytest.mark.parametrize("candidates", [6, 200])
def test_samples_follow_the_distribution(peaked, candidates):
    """Chi-square over the ordered pairs of the six likeliest items; the long path runs above 64 candidates."""
    rng = np.random.default_rng(3)
    logits = np.full(candidates, -9.0, dtype=np.float32)
    logits[:6] = np.linspace(0.0, 1.0, 6) * peaked
    available = np.ones(candidates, dtype=bool)
    available[candidates - 1] = candidates == 6
    draws = 40_000
    slates = sample_plackett_luce(np.tile(logits, (draws, 1)), np.tile(available, (draws, 1)), 2, rng)
    assert (slates[:, 0] != slates[:, 1]).all()
    pairs = list(itertools.permutations(range(6), 2))
    expected = np.array([by_definition(logits, available, pair).prod() for pair in pairs]) * draws
    codes = slates[:, 0].astype(np.int64) * candidates + slates[:, 1]
    observed = np.array([(codes == a * candidates + b).sum() for a, b in pairs], dtype=float)
    keep = expected > 8
    observed = np.append(observed[keep], draws - observed[keep].sum())
    expected = np.append(expected[keep], draws - expected[keep].sum())
    if expected[-1] < 8:
        observed, expected = observed[:-1], expected[:-1]
        expected *= observed.sum() / expected.sum()
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_long_path_never_shows_an_unavailable_item():
    rng = np.random.default_rng(0)
    available = rng.random((300, 100)) < 0.1
    available[:, :5] = True
    slates = sample_plackett_luce(rng.normal(size=(300, 100)).astype(np.float32) * 5, available, 5, rng)
    assert np.take_along_axis(available, slates, axis=1).all()
    assert all(len(set(row)) == 5 for row in slates)


def test_torch_log_probability_is_the_same():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(50, 20)).astype(np.float32) * 3
    available = rng.random((50, 20)) < 0.7
    available[:, :4] = True
    slates = sample_plackett_luce(logits, available, 4, rng)
    masked = torch.from_numpy(np.where(available, logits, np.float32(UNAVAILABLE)))
    ours = slate_log_prob(masked, torch.from_numpy(slates).long()).numpy()
    np.testing.assert_allclose(ours, log_propensity(logits, available, slates), atol=2e-5)


def test_torch_slate_of_all_candidates_is_finite_with_a_gradient():
    logits = torch.tensor([[2.0, 0.0, 1.0]], requires_grad=True)
    result = slate_log_prob(logits, torch.tensor([[0, 2, 1]]))
    assert result[0, 2].item() == pytest.approx(0.0, abs=1e-6)
    result.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_top_k_agrees_with_a_stable_sort_and_breaks_ties_by_position():
    rng = np.random.default_rng(2)
    values = rng.integers(0, 20, size=(30, 300)).astype(np.float32)
    np.testing.assert_array_equal(top_k(values, 7), np.argsort(-values, axis=1, kind="stable")[:, :7])


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(InputError, match="temperature"):
        PlackettLuce(temperature)
