"""The cross-entropy method finds the top of a hill, also through noise."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.honesty.cross_entropy import CrossEntropy
from rec_platform.types import Float64

TOP = np.array([1.5, -2.0, 0.5, 3.0])


def hill(point: Float64) -> float:
    return 10.0 - float(((point - TOP) ** 2).sum())


def test_quadratic() -> None:
    search = CrossEntropy(population=40, elites=15, rounds=60, patience=60)
    found = search.maximise(hill, np.zeros(4), spread=2.0, rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.centre, TOP, atol=0.02)
    np.testing.assert_allclose(found.best, TOP, atol=0.02)
    assert found.best_value == hill(found.best)
    assert found.evaluations == 40 * 60


def test_through_noise_the_centre_is_nearer_than_the_start() -> None:
    noise = np.random.default_rng(1)
    search = CrossEntropy(population=40, elites=8, rounds=30)
    found = search.maximise(
        lambda point: hill(point) + noise.normal(), np.zeros(4), spread=1.0, rng=np.random.default_rng(0)
    )
    assert np.linalg.norm(found.centre - TOP) < 0.15 * np.linalg.norm(TOP)


def test_the_start_is_tried() -> None:
    found = CrossEntropy(population=4, elites=2, rounds=1).maximise(hill, TOP, spread=5.0, rng=np.random.default_rng(0))
    assert found.best_value == 10.0


def test_stops_without_progress() -> None:
    search = CrossEntropy(population=5, elites=2, rounds=50, patience=3)
    found = search.maximise(lambda point: 1.0, np.zeros(2), spread=1.0, rng=np.random.default_rng(0))
    assert found.evaluations == 5 * 4  # the first round is progress, three are not


def test_same_generator_same_answer() -> None:
    runs = [CrossEntropy().maximise(hill, np.zeros(4), spread=1.0, rng=np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(runs[0].centre, runs[1].centre)


def test_no_spread_stays() -> None:
    found = CrossEntropy(rounds=2).maximise(hill, TOP + 1, spread=0.0, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(found.centre, TOP + 1)
