"""Draws from beliefs: what is logged is what is done, alone and in a batch, exact or of finitely many draws."""

from __future__ import annotations

import numpy as np
import pytest
from observations import observation
from scipy.special import ndtr

from rec_platform.errors import InputError
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import Thompson
from rec_platform.policies.samplers.thompson import beta_counts


def test_one_slot_of_two_gaussians_is_the_normal_integral() -> None:
    scores = Scores(np.array([[0.5, 0.2]], np.float32), spread=np.array([[0.3, 0.4]], np.float32))
    got = Thompson().propensity(scores, observation(np.array([[0, 1]])), np.array([[0]], np.int32))[0, 0]
    assert got == pytest.approx(ndtr(0.3 / 0.5), abs=1e-7)


def test_one_slot_of_two_betas_is_their_integral() -> None:
    """P(X > Y) for X ~ Beta(2, 1) and Y uniform is 2/3; two Gaussians of those moments would say 0.673."""
    scores = Scores(
        np.array([[2 / 3, 1 / 2]], np.float32), spread=np.array([[(1 / 18) ** 0.5, (1 / 12) ** 0.5]], np.float32)
    )
    got = Thompson("beta").propensity(scores, observation(np.array([[0, 1]])), np.array([[0]], np.int32))[0, 0]
    assert got == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize("draws", [300, 3000])
def test_correlated_beliefs_are_as_far_from_the_whole_posterior_as_is_said(draws: int) -> None:
    """Two items: the difference of their scores is normal, whatever hangs together."""
    rng = np.random.default_rng(0)
    users, dimensions = 400, 3
    values = rng.normal(0, 0.5, (users, 2)).astype(np.float32)
    loadings = rng.normal(size=(users, 2, dimensions)).astype(np.float32)
    difference = loadings[:, 0] - loadings[:, 1]
    exact = ndtr((values[:, 0] - values[:, 1]) / np.linalg.norm(difference, axis=1))
    obs = observation(np.tile([0, 1], (users, 1)))
    first = np.zeros((users, 1), np.int32)
    got = Thompson(draws=draws).propensity(Scores(values, loadings=loadings), obs, first)[:, 0]
    error = np.sqrt(exact * (1 - exact) / draws)
    assert (np.abs(got - exact) <= 5 * error + 1 / (draws + 1)).all()
    assert np.std((got - exact) / np.maximum(error, 1e-9)) == pytest.approx(1.0, abs=0.15)


def test_many_candidates_are_drawn_finitely_and_near_the_integral() -> None:
    rng = np.random.default_rng(1)
    scores = Scores(
        rng.normal(size=(5, 12)).astype(np.float32), spread=rng.uniform(0.2, 1.0, (5, 12)).astype(np.float32)
    )
    obs = observation(np.tile(np.arange(12), (5, 1)))
    positions = np.argsort(-scores.values, axis=1)[:, :3].astype(np.int32)
    exact = Thompson().propensity(scores, obs, positions)
    finite = Thompson(draws=4000, exact_up_to=11).propensity(scores, obs, positions)
    assert (np.abs(finite - exact) <= 5 * np.sqrt(exact * (1 - exact) / 4000) + 1 / 4000).all()
    assert not np.array_equal(finite, exact)


@pytest.mark.parametrize("correlated", [True, False])
def test_a_row_is_drawn_alike_alone_and_in_a_batch(correlated: bool) -> None:
    rng = np.random.default_rng(2)
    scores = Scores(
        rng.normal(size=(6, 9)).astype(np.float32),
        spread=None if correlated else np.full((6, 9), 0.5, np.float32),
        loadings=rng.normal(size=(6, 9, 4)).astype(np.float32) if correlated else None,
    )
    obs = observation(np.tile(np.arange(9), (6, 1)))
    sampler = Thompson(draws=200)
    positions = sampler.sample(scores, obs, 3, rng)
    together = sampler.propensity(scores, obs, positions)
    for row in range(6):
        one = np.array([row])
        alone = sampler.propensity(scores.take(one), obs.take(one), positions[one])
        assert alone[0] == pytest.approx(together[row], abs=1e-12)


def test_what_is_shown_is_never_logged_as_impossible() -> None:
    """Even items that no draw prefers: one slate in R + 1 is uniformly random, and is logged as such."""
    values = np.array([[100.0, 0.0, -50.0, -90.0]], np.float32)
    scores = Scores(values, loadings=np.full((1, 4, 2), 1e-3, np.float32))
    rows = np.zeros(4000, np.int64)
    obs = observation(np.tile(np.arange(4), (1, 1)))
    sampler = Thompson(draws=9)
    slates = sampler.sample(scores.take(rows), obs.take(rows), 1, np.random.default_rng(3))
    propensities = sampler.propensity(scores.take(rows), obs.take(rows), slates)
    assert np.unique(slates).tolist() == [0, 1, 2, 3]
    assert propensities[slates == 3] == pytest.approx(0.25 / 10)
    assert (slates == 3).mean() == pytest.approx(0.025, abs=5 * np.sqrt(0.025 / 4000))


def test_equal_scores_without_spread_are_shown_alike() -> None:
    scores = Scores(np.zeros((1, 4), np.float32), spread=np.zeros((1, 4), np.float32))
    got = Thompson().propensity(scores, observation(np.arange(4)[None]), np.array([[0, 3]], np.int32))
    assert got == pytest.approx(0.25, abs=1e-9)


def test_an_unavailable_item_has_probability_zero() -> None:
    obs = observation(np.array([[0, -1, 2]]))
    flat = np.zeros((1, 3), np.float32)
    for scores in (Scores(flat, spread=flat + 1), Scores(flat, loadings=np.ones((1, 3, 1), np.float32))):
        got = Thompson(draws=50).propensity(scores, obs, np.array([[1, 0]], np.int32))
        assert got[0, 0] == 0.0


def test_counts_survive_float32() -> None:
    rng = np.random.default_rng(4)
    alpha, beta = np.exp(rng.uniform(-1, 9, 5000)), np.exp(rng.uniform(-1, 9, 5000))
    mean = alpha / (alpha + beta)
    spread = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
    got_alpha, got_beta = beta_counts(mean.astype(np.float32), spread.astype(np.float32))
    allowed = 1e-6 * (alpha + beta) / np.minimum(alpha, beta)
    assert (np.abs(got_alpha / alpha - 1) < allowed).all()
    assert (np.abs(got_beta / beta - 1) < allowed).all()


def test_bad_use_names_what_is_wrong() -> None:
    with pytest.raises(InputError, match="did you mean 'beta'"):
        Thompson("betta")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="draws"):
        Thompson(draws=0)
    with pytest.raises(InputError, match="what it believes"):
        Thompson().sample(Scores(np.zeros((1, 2), np.float32)), observation(np.arange(2)[None]), 1, None)  # type: ignore[arg-type]
