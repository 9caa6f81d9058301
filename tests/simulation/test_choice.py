"""Choice models: the frequencies of the slots are the probabilities of the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.simulation.choice import (
    cascade,
    choose,
    exponential_cascade,
    multinomial_logit,
    multinomial_proportional,
    proportional_cascade,
)

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


def test_cascade_boundaries_by_hand() -> None:
    """Probabilities 1/2 and 1/4: slot 0 below 1/2, slot 1 from there to 1/2 + 1/2 x 1/4 = 5/8, none above."""
    draws = np.array([0.0, 0.49, 0.51, 0.62, 0.63, 0.99], dtype=np.float32)
    probabilities = np.tile(np.array([0.5, 0.25], dtype=np.float32), (6, 1))
    np.testing.assert_array_equal(cascade(probabilities, draws), [0, 0, 1, 1, -1, -1])


def test_exponential_cascade(uniforms: np.ndarray) -> None:
    """a s exp(x) = 0.8 x 0.25 x (e, 1/e, 1) = 0.54366, 0.073576, 0.2."""
    scores = np.tile(np.array([1.0, -1.0, 0.0], dtype=np.float32), (DRAWS, 1))
    chosen = exponential_cascade(scores, uniforms, attention=0.8, score_scaling=0.25)
    second = 0.45634 * 0.073576
    third = 0.45634 * 0.926424 * 0.2
    assert_near(chosen, np.array([0.54366, second, third, 1 - 0.54366 - second - third]))


def test_proportional_cascade(uniforms: np.ndarray) -> None:
    """a s (x + 1) = 0.5 x 0.5 x (2, 0, 1) = 0.5, 0, 0.25: shares 1/2, 0, 1/8, none 3/8."""
    scores = np.tile(np.array([1.0, -1.0, 0.0], dtype=np.float32), (DRAWS, 1))
    chosen = proportional_cascade(scores, uniforms, attention=0.5, score_scaling=0.5)
    assert_near(chosen, np.array([0.5, 0.0, 0.125, 0.375]))
    chosen = proportional_cascade(scores, uniforms, attention=0.25, score_scaling=0.5, min_normalizer=-3.0)
    assert_near(chosen, np.array([0.5, 0.125, 0.375 * 0.375, 0.375 * 0.625]))


def test_a_cascade_that_is_certain_and_one_without_attention(uniforms: np.ndarray) -> None:
    zeros = np.zeros((DRAWS, 2), dtype=np.float32)
    assert not exponential_cascade(zeros, uniforms).any()
    assert (exponential_cascade(zeros, uniforms, attention=0.0) == -1).all()


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"attention": 1.5}, "attention: 1.5 is no probability .*0 to 1"),
        ({"attention": -0.1}, "attention"),
        ({"attention": float("nan")}, "attention"),
        ({"score_scaling": -1.0}, "score_scaling: -1.0 is below 0"),
        ({"score_scaling": 0.5}, r"score_scaling: 0.5 makes a probability of 1.5 .*use at most 0.3333"),
    ],
)
def test_cascades_refuse_what_is_no_probability(constants: dict[str, float], message: str) -> None:
    scores, draws = np.full((4, 2), 2.0, dtype=np.float32), np.zeros(4, dtype=np.float32)
    with pytest.raises(InputError, match=message):
        proportional_cascade(scores, draws, **constants)
    with pytest.raises(InputError, match=message.split(":")[0]):
        exponential_cascade(scores, draws, **constants)


def test_proportional_cascade_refuses_negative_factors() -> None:
    with pytest.raises(InputError, match="min_normalizer"):
        proportional_cascade(np.full((1, 2), -1.5, dtype=np.float32), np.zeros(1, dtype=np.float32))
