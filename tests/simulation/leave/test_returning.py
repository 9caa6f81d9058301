"""How long users stay away."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chisquare

from rec_platform.simulation.leave.returning import FEWEST_ABSENCES, ReturnModel, fit_return
from rec_platform.simulation.leave.session_steps import DAY, SessionSteps


def test_daily_probability_by_hand() -> None:
    share, slates = np.array([0.0, 0.5, 1.0], dtype=np.float32), np.array([1, 4, 0], dtype=np.int32)
    np.testing.assert_allclose(ReturnModel().daily(share, slates), [0.4, 0.45, 0.5], rtol=1e-6)
    fitted = ReturnModel(constant=-1.0, answered_share=2.0, log_slates=0.5)
    expected = expit([-1.0, -1 + 1 + 0.5 * np.log(4), 1.0])
    np.testing.assert_allclose(fitted.daily(share, slates), expected, rtol=1e-6)
    assert ReturnModel(constant=99.0).daily(share, slates).max() == np.float32(0.999)


@pytest.mark.parametrize(("daily", "longest"), [(0.4, 10), (0.05, 10), (0.9, 4), (0.3, 1)])
def test_days_are_truncated_geometric(daily: float, longest: int) -> None:
    count = 40_000
    model = ReturnModel(constant=float(np.log(daily / (1 - daily))), answered_share=0.0)
    uniforms = np.random.default_rng(0).random(count, dtype=np.float32)
    days = model.days(np.zeros(count, dtype=np.float32), np.ones(count, dtype=np.int32), uniforms, longest)
    assert days.dtype == np.int32
    mass = daily * (1 - daily) ** np.arange(longest)
    observed = np.bincount(days, minlength=longest + 1)
    assert observed[0] == 0
    if longest > 1:
        assert chisquare(observed[1:], count * mass / mass.sum()).pvalue > 1e-4
    else:
        assert (days == 1).all()


def test_extreme_draws_stay_in_range() -> None:
    share, slates = np.zeros(2, dtype=np.float32), np.ones(2, dtype=np.int32)
    uniforms = np.array([0.0, np.nextafter(np.float32(1), np.float32(0))], dtype=np.float32)
    for constant in (-20.0, 0.0, 20.0):
        days = ReturnModel(constant=constant).days(share, slates, uniforms, 7)
        assert days[0] == 1
        assert 1 <= days[1] <= 7


def steps_with_absences(count: int, weights: tuple[float, float, float], seed: int = 0) -> SessionSteps:
    """One user's sessions of 1 to 8 steps, who comes back each day as the weights say, however long it takes."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, count)
    share = rng.integers(0, lengths + 1) / lengths
    days = rng.geometric(expit(weights[0] + weights[1] * share + weights[2] * np.log(lengths)))
    away = ((days - rng.random(count)) * DAY).astype(np.int64)
    begins = np.concatenate(([0], np.cumsum(away)[:-1]))
    sessions = np.repeat(np.arange(count), lengths)
    number = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    so_far = np.minimum(number, np.repeat(np.round(share * lengths), lengths))
    return SessionSteps(
        users=np.zeros(len(number), dtype=np.int64),
        sessions=sessions,
        number=number.astype(np.int32),
        answered=np.zeros(len(number), dtype=bool),
        answered_before=so_far.astype(np.float32),
        likeness=np.zeros(len(number), dtype=np.float32),
        timestamps=np.repeat(begins, lengths),
        last=number == np.repeat(lengths, lengths),
    )


def test_fit_recovers_the_weights() -> None:
    truth = (-1.5, 1.2, 0.3)
    model = fit_return(steps_with_absences(8_000, truth), longest=10)
    assert model.constant is not None
    np.testing.assert_allclose([model.constant, model.answered_share, model.log_slates], truth, atol=0.12)


def test_longer_absences_count_as_not_back_within_the_longest() -> None:
    """A cut at 2 days leaves the daily probability what it is."""
    model = fit_return(steps_with_absences(8_000, (-1.5, 0.0, 0.0)), longest=2)
    assert model.constant == pytest.approx(-1.5, abs=0.15)


def test_too_few_absences_give_the_published_constants() -> None:
    assert fit_return(None, longest=10) == ReturnModel()
    assert fit_return(steps_with_absences(FEWEST_ABSENCES, (0.0, 0.0, 0.0)), longest=10) == ReturnModel()
    assert fit_return(steps_with_absences(FEWEST_ABSENCES + 1, (0.0, 0.0, 0.0)), longest=10) != ReturnModel()
