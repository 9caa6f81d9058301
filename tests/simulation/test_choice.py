"""Choice models: the frequencies of the slots are the probabilities of the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.simulation.choice import choose, multinomial_logit, multinomial_proportional

DRAWS = 200_000


def frequencies(chosen: np.ndarray, slate_size: int) -> np.ndarray:
    """Share of each slot, then of none."""
    return np.array([np.mean(chosen == slot) for slot in [*range(slate_size), -1]])


def assert_near(chosen: np.ndarray, expected: np.ndarray) -> None:
    error = np.sqrt(expected * (1 - expected) / len(chosen)) + 1e-9
    assert (np.abs(frequencies(chosen, len(expected) - 1) - expected) < 4.5 * error).all()


@pytest.fixture
def uniforms() -> np.ndarray:
    return np.random.default_rng(0).random(DRAWS, dtype=np.float32)


def test_multinomial_logit(uniforms: np.ndarray) -> None:
    scores = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    masses = np.exp([*scores, 0.3])
    chosen = multinomial_logit(np.tile(scores, (DRAWS, 1)), 0.3, uniforms)
    assert_near(chosen, masses / masses.sum())


def test_multinomial_logit_survives_large_logits(uniforms: np.ndarray) -> None:
    chosen = multinomial_logit(np.full((DRAWS, 2), 500.0, dtype=np.float32), 500.0, uniforms)
    assert_near(chosen, np.full(3, 1 / 3))


def test_without_a_null_something_is_always_taken(uniforms: np.ndarray) -> None:
    assert (multinomial_logit(np.zeros((DRAWS, 2), dtype=np.float32), -np.inf, uniforms) >= 0).all()


def test_multinomial_proportional(uniforms: np.ndarray) -> None:
    scores = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
    chosen = multinomial_proportional(np.tile(scores, (DRAWS, 1)), 1.0, uniforms)
    assert_near(chosen, np.array([0.0, 1.0, 2.0, 2.0]) / 5.0)


def test_multinomial_proportional_refuses_negative_masses(uniforms: np.ndarray) -> None:
    with pytest.raises(InputError, match="min_normalizer"):
        multinomial_proportional(np.full((DRAWS, 2), -1.5, dtype=np.float32), 1.0, uniforms)


def test_null_mass_may_differ_between_users() -> None:
    masses = np.ones((2, 2), dtype=np.float32)
    chosen = choose(masses, np.array([0.0, 1e9], dtype=np.float32), np.array([0.9, 0.9], dtype=np.float32))
    np.testing.assert_array_equal(chosen, [1, -1])


def test_no_mass_at_all_is_no_choice() -> None:
    assert choose(np.zeros((1, 3), dtype=np.float32), 0.0, np.array([0.5], dtype=np.float32)) == -1
