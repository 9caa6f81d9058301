"""Slot probabilities of independent beliefs against closed forms and against draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from rec_platform.policies.samplers import slot_marginals as module
from rec_platform.policies.samplers.slot_marginals import Beliefs, Family, above_counts, clenshaw_curtis, slot_marginals


def beliefs(family: Family, first: list[float], second: list[float]) -> Beliefs:
    return Beliefs(family, np.array([first]), np.array([second]), np.ones((1, len(first)), bool))


def whole_table(of: Beliefs, size: int) -> np.ndarray:
    """P(item in slot) of every row: float64 [U, M, k]."""
    shape = (*of.first.shape, size)
    rows, items, slots = (part.ravel() for part in np.indices(shape))
    return slot_marginals(of, rows, items, slots).reshape(shape)


def test_quadrature_rule_is_exact_for_polynomials() -> None:
    nodes, weights = clenshaw_curtis(16)
    for power in range(17):
        assert weights @ nodes**power == pytest.approx((1 + (-1) ** power) / (power + 1), abs=1e-14)


@pytest.mark.parametrize(
    ("means", "deviations"),
    [([0.0, 0.3], [1.0, 0.5]), ([0.0, 7.0], [1.0, 0.5]), ([0.0, 1.0], [1.0, 1e-6]), ([0.2, 0.2], [1e-7, 3.0])],
)
def test_two_gaussians(means: list[float], deviations: list[float]) -> None:
    exact = ndtr((means[0] - means[1]) / np.hypot(deviations[0], deviations[1]))
    table = whole_table(beliefs("gaussian", means, deviations), 2)[0]
    assert table[0] == pytest.approx([exact, 1 - exact], rel=1e-6, abs=1e-14)
    assert table[1] == pytest.approx([1 - exact, exact], rel=1e-6, abs=1e-14)


def test_two_betas() -> None:
    """P(X > Y) for X ~ Beta(2, 1), Y uniform is E X = 2/3; for X ~ Beta(5, 3), Y ~ Beta(1, 4) it is 1 - E (1 - X)^4."""
    assert whole_table(beliefs("beta", [2.0, 1.0], [1.0, 1.0]), 1)[0, :, 0] == pytest.approx([2 / 3, 1 / 3], abs=1e-10)
    fourth = np.prod([(3 + j) / (8 + j) for j in range(4)])
    got = whole_table(beliefs("beta", [5.0, 1.0], [3.0, 4.0]), 1)[0, :, 0]
    assert got == pytest.approx([1 - fourth, fourth], abs=1e-10)


def test_items_that_are_alike_share_every_slot() -> None:
    assert whole_table(beliefs("gaussian", [0.7] * 6, [0.2] * 6), 4) == pytest.approx(1 / 6, abs=1e-10)
    assert whole_table(beliefs("beta", [3.0] * 5, [9.0] * 5), 5) == pytest.approx(1 / 5, abs=1e-10)


def test_a_spike_between_two_narrow_beliefs_is_found() -> None:
    """The wide item stands second exactly where it falls between the other two."""
    table = whole_table(beliefs("gaussian", [0.0, 0.3, 0.3001], [1.0, 1e-9, 1e-9]), 3)[0]
    between = ndtr(0.3001) - ndtr(0.3)
    assert table[0] == pytest.approx([1 - ndtr(0.3001), between, ndtr(0.3)], abs=1e-8)
    assert table.sum(axis=0) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("family", ["gaussian", "beta"])
def test_slots_sum_to_one_over_beliefs_of_all_widths(family: Family) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 9)), np.exp(rng.normal(-2, 2, (4, 9)))
    if family == "beta":
        first, second = np.exp(rng.uniform(-1, 8, (4, 9))), np.exp(rng.uniform(-1, 8, (4, 9)))
    available = rng.random((4, 9)) < 0.8
    available[:, :3] = True
    of = Beliefs(family, first, second, available)
    rows, items, slots = (part.ravel() for part in np.indices((4, 9, 3)))
    known = available[rows, items]
    sums = np.zeros((4, 3))
    np.add.at(sums, (rows[known], slots[known]), slot_marginals(of, rows[known], items[known], slots[known]))
    assert sums == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("family", ["gaussian", "beta"])
def test_draws_come_out_as_often(family: Family) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=20), rng.uniform(0.1, 1.5, 20)
    if family == "beta":
        first, second = rng.uniform(1, 9, 20), rng.uniform(1, 9, 20)
    table = whole_table(beliefs(family, first.tolist(), second.tolist()), 3)[0]
    draws = 200_000
    drawn = rng.normal(first, second, (draws, 20)) if family == "gaussian" else rng.beta(first, second, (draws, 20))
    order = np.argsort(-drawn, axis=1)[:, :3]
    share = np.stack([np.bincount(order[:, slot], minlength=20) for slot in range(3)], axis=1) / draws
    assert (np.abs(share - table) <= 5 * np.sqrt(table * (1 - table) / draws) + 2 / draws).all()


def test_little_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    of = beliefs("gaussian", rng.normal(size=50).tolist(), rng.uniform(0.1, 1, 50).tolist())
    whole = whole_table(of, 2)
    monkeypatch.setattr(module, "LARGEST_BLOCK", 3000)
    assert whole_table(of, 2) == pytest.approx(whole, abs=1e-15)


def test_counts_above_are_the_poisson_binomial_ones() -> None:
    below = np.array([0.3, 0.8, 0.5])
    above = 1 - below
    exactly_one = above[0] * below[1] * below[2] + below[0] * above[1] * below[2] + below[0] * below[1] * above[2]
    assert above_counts(below, 1) == pytest.approx([below.prod(), exactly_one])
    assert above_counts(below, 3).sum() == pytest.approx(1.0)
