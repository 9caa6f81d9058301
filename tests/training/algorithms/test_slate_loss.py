"""What the two losses are made of, against sums over all slates."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, first_slot_entropy, slate_log_prob
from rec_platform.policies.networks.slate_value import SHORTLIST, slate_value
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import RatioOptimal
from rec_platform.training.algorithms.ppo import slot_credit
from rec_platform.training.engine.off_policy import exploration
from rec_platform.types import Observation


def test_credit() -> None:
    chosen = torch.tensor([1, -1, 0, 2])
    expected = torch.tensor([[0.0, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]])
    assert torch.equal(slot_credit(chosen, 3, "consumed"), expected)
    assert torch.equal(slot_credit(chosen, 3, "slate"), torch.ones(4, 3))


def brute_force(values: np.ndarray, masses: np.ndarray, null_value: float, null_mass: float, k: int) -> float:
    """The largest expected value under the choice model over all slates of available (mass > 0) candidates."""
    available = np.flatnonzero(masses > 0)
    best = -np.inf
    for slate in combinations(available, min(k, len(available))):
        chosen = list(slate)
        total = masses[chosen].sum() + null_mass
        best = max(best, ((masses * values)[chosen].sum() + null_mass * null_value) / total)
    return best


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 4),
    candidates=st.integers(4, 8),
    missing=st.floats(0, 0.7),
    offset=st.floats(-50, 50),
)
def test_best_slate(seed: int, k: int, candidates: int, missing: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    users = 5
    values = (offset + rng.normal(size=(users, candidates)) * 3).astype(np.float32)
    masses = np.exp(rng.normal(size=(users, candidates))).astype(np.float32)
    masses[rng.random(masses.shape) < missing] = 0.0
    values[masses == 0] = 0.0  # what `gather` fills in
    null_value = (offset + rng.normal(size=users) * 3).astype(np.float32)
    null_mass = np.exp(rng.normal(size=users)).astype(np.float32)
    tensors = [torch.from_numpy(a) for a in (values, masses, null_value, null_mass)]
    got = slate_value(*tensors, slate_size=k, rounds=8)
    for user in range(users):
        expected = brute_force(values[user], masses[user], null_value[user], null_mass[user], k)
        assert got[user].item() == pytest.approx(expected, rel=1e-4, abs=1e-3)

    if (masses > 0).sum(1).min() >= k:  # the sampler that is served finds the same slate
        positions = np.where(masses > 0, np.arange(candidates), -1).astype(np.int32)
        empty = np.zeros((users, 0), np.float32)
        observation = Observation(empty, empty.astype(np.int32), empty, empty, positions)
        scores = Scores(values, masses, null_value, null_mass)
        slate = RatioOptimal(8).sample(scores, observation, k, np.random.default_rng(0))
        mass, value = np.take_along_axis(masses, slate, 1), np.take_along_axis(values, slate, 1)
        served = ((mass * value).sum(1) + null_mass * null_value) / (mass.sum(1) + null_mass)
        np.testing.assert_allclose(served, got.numpy(), rtol=1e-4, atol=1e-3)


def test_few_rounds_are_enough() -> None:
    torch.manual_seed(0)
    values, masses = 100 + 5 * torch.randn(500, 50), torch.exp(torch.randn(500, 50))
    rest = 100 + torch.randn(500), torch.ones(500)
    three, four, ten = (slate_value(values, masses, *rest, slate_size=5, rounds=r) for r in (3, 4, 10))
    assert (ten - three).mean() < 0.05  # of values that spread by 5
    assert (ten - four).mean() < 0.01
    assert torch.minimum(ten - three, ten - four).min() > -1e-3  # rounds only raise it


def dinkelbach(values: np.ndarray, masses: np.ndarray, null_value: float, null_mass: float, k: int) -> float:
    """The optimum over all of one user's candidates: rounds until nothing changes, without a shortlist."""
    ratio, before = null_value, -np.inf
    while ratio > before:
        before = ratio
        slate = np.argsort(-np.where(masses > 0, masses * (values - ratio), -np.inf))[:k]
        ratio = (masses[slate] @ values[slate] + null_mass * null_value) / (masses[slate].sum() + null_mass)
    return before


@pytest.mark.parametrize(
    ("candidates", "offset", "spread", "null_mass"),
    [
        *[(n, 100.0, 5.0, 1.0) for n in (SHORTLIST + 1, 300, 3_000)],
        *[(n, 10.0, 3.0, 20.0) for n in (SHORTLIST + 1, 300, 3_000)],
        *[(n, 10.0, 3.0, 1.0) for n in (SHORTLIST + 1, 300, 3_000)],
        # next to no null mass: the first round's ratio is then far from the optimum
        *[(n, 10.0, 3.0, 0.05) for n in (300, 3_000)],
    ],
)
def test_a_shortlist_is_within_a_hundredth(candidates: int, offset: float, spread: float, null_mass: float) -> None:
    rng = np.random.default_rng(candidates)
    users, k = 50, 5
    values = offset + spread * rng.normal(size=(users, candidates))
    masses = np.exp(rng.normal(size=(users, candidates))) * (rng.random((users, candidates)) < 0.8)
    null_value, null_masses = offset + rng.normal(size=users), np.full(users, null_mass)
    tensors = [torch.from_numpy(a.astype(np.float32)) for a in (values, masses, null_value, null_masses)]
    got = slate_value(*tensors, slate_size=k, rounds=6).numpy()
    best = np.array([dinkelbach(*user, k) for user in zip(values, masses, null_value, null_masses, strict=True)])
    np.testing.assert_allclose(got, best, rtol=0.01)
    assert (got <= best * (1 + 1e-5)).all()


def test_log_probabilities_sum_to_one() -> None:
    torch.manual_seed(1)
    logits = torch.randn(1, 5) * 3
    logits[0, 3] = UNAVAILABLE
    slates = torch.tensor(list(permutations(range(5), 3)))
    total = slate_log_prob(logits.expand(len(slates), -1), slates).sum(1).exp()
    assert total.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert total[(slates == 3).any(1)].max() == 0.0


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(("candidates", "k", "available"), [(10, 3, 10), (10, 3, 4), (10, 3, 3), (4, 4, 4), (1, 1, 1)])
def test_gradients_are_finite(scale: float, candidates: int, k: int, available: int) -> None:
    torch.manual_seed(0)
    raw = (torch.randn(6, candidates) * scale).requires_grad_()
    shown = torch.stack([torch.randperm(available)[:k] for _ in range(6)])
    logits = torch.where(torch.arange(candidates) < available, raw, UNAVAILABLE)
    log_prob = slate_log_prob(logits, shown)
    assert torch.isfinite(log_prob).all()
    (log_prob.sum() + first_slot_entropy(logits).sum()).backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert not raw.grad[:, available:].any()


def test_gradient_against_finite_differences() -> None:
    torch.manual_seed(2)
    logits = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    slate = torch.stack([torch.randperm(6)[:3] for _ in range(3)])
    assert torch.autograd.gradcheck(lambda x: slate_log_prob(x, slate), (logits,))


def test_exploration_falls_linearly() -> None:
    assert [exploration(progress, 0.1, 0.5) for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
        [1.0, 0.55, 0.1, 0.1]
    )
    assert exploration(0.0, 0.05, 0.4) == 1.0
