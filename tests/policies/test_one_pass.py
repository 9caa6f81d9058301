"""The service's way of drawing is Plackett–Luce: frequencies by enumeration, propensities to the last digits."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rec_platform.policies.samplers.one_pass import draw, points_needed
from rec_platform.policies.samplers.plackett_luce import log_propensity

NOTHING = np.zeros(0, np.int64)
ROWS = 20_000


def enumerated(logits: np.ndarray, size: int) -> dict[tuple[int, ...], float]:
    mass, found = np.exp(logits), {}
    for slate in permutations(range(len(logits)), size):
        left, chance = mass.sum(), 1.0
        for item in slate:
            chance *= mass[item] / left
            left -= mass[item]
        found[slate] = chance
    return found


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_slates_come_as_often_as_they_should(scale: float) -> None:
    """Also where one item has nearly all the mass, and slates must be filled from the rest."""
    logits = scale * np.array([0.0, 1.0, -1.0, 2.0])
    points = np.random.default_rng(0).random((ROWS, points_needed(2)))
    slates, _ = draw(np.tile(logits, (ROWS, 1)), [NOTHING] * ROWS, 2, points)
    expected = enumerated(logits, 2)
    counts = dict.fromkeys(expected, 0)
    for slate in map(tuple, slates.tolist()):
        counts[slate] += 1
    often = [slate for slate in expected if expected[slate] * ROWS >= 5]
    observed = np.array([counts[slate] for slate in often])
    told = np.array([expected[slate] for slate in often])
    assert observed.sum() >= ROWS * (told.sum() - 0.003)
    assert chisquare(observed, told / told.sum() * observed.sum()).pvalue > 1e-4


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32), candidates=st.integers(2, 400), size=st.integers(1, 12),
    scale=st.sampled_from([0.0, 1.0, 30.0, 1000.0]), single=st.booleans(),
)  # fmt: skip
def test_propensities_are_those_of_the_sampler(
    seed: int, candidates: int, size: int, scale: float, single: bool
) -> None:
    """With large catalogues, large slates, items that are excluded, and logits that differ by thousands."""
    rng = np.random.default_rng(seed)
    size = min(size, candidates - 1)
    logits = (scale * rng.normal(size=(3, candidates))).astype(np.float32 if single else np.float64)
    excluded = [rng.choice(candidates, rng.integers(0, candidates - size + 1), replace=False) for _ in range(3)]
    slates, chances = draw(logits, excluded, size, rng.random((3, points_needed(size))))
    available = np.ones((3, candidates), dtype=bool)
    for row, barred in enumerate(excluded):
        available[row, barred] = False
    assert np.take_along_axis(available, slates, axis=1).all()
    assert all(len(set(slate)) == size for slate in slates.tolist())
    known = np.exp(log_propensity(logits.astype(np.float64), available, slates))
    assert chances == pytest.approx(known, rel=1e-9, abs=1e-300)


def test_the_item_with_all_the_mass_may_be_excluded() -> None:
    logits = np.zeros((1, 300))
    logits[0, 7] = 5000.0
    slates, chances = draw(logits, [np.array([7])], 3, np.random.default_rng(0).random((1, points_needed(3))))
    assert 7 not in slates
    assert chances[0] == pytest.approx([1 / 299, 1 / 298, 1 / 297])
