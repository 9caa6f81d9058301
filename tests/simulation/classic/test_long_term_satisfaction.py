"""Long-term satisfaction: its rules by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.errors import InputError
from rec_platform.simulation.classic.long_term_satisfaction import (
    PRESETS,
    LongTermSatisfaction,
    LongTermSatisfactionConfig,
    LongTermSatisfactionUsers,
)


def silent(**constants: float) -> LongTermSatisfactionUsers:
    """Users without chance in engagement or exposure."""
    config = LongTermSatisfactionConfig(choc_spread=0.0, kale_spread=0.0, innovation_spread=0.0, **constants)  # type: ignore[arg-type]
    return LongTermSatisfaction(config).users(500, seed=1)


def first_slot(users: LongTermSatisfactionUsers) -> np.ndarray:
    return np.zeros((len(users.observation.candidates), 1), dtype=np.int32)


def test_engagement_and_exposure_by_hand() -> None:
    """Two steps: r = exp(sat (5c + 4(1 - c))) with the exposure before the step; n <- 0.7 n - 2(c - 1/2)."""
    users = silent(sensitivity=0.4)
    exposure = users._exposure.astype(np.float64)
    assert abs(exposure).max() <= 0.5 / 0.3 + 1e-6
    assert exposure.std() == pytest.approx(1 / 0.3 / math.sqrt(12), rel=0.05)
    trace = np.zeros(500)
    for step in (1, 2):
        clickbait = (users.observation.candidates[:, 0] + 0.5) / 1000
        feedback = users.step(first_slot(users))
        satisfaction = 1 / (1 + np.exp(-0.4 * exposure))
        engagement = np.exp(satisfaction * (5 * clickbait + 4 * (1 - clickbait)))
        np.testing.assert_allclose(feedback.reward, engagement, rtol=2e-5)
        np.testing.assert_allclose(feedback.responses[:, 0, 0], np.minimum(engagement, 100), rtol=2e-5)
        exposure = 0.7 * exposure - 2 * (clickbait - 0.5)
        trace = 0.7 * trace + 0.3 * (2 * clickbait - 1)
        context = np.stack(
            [np.full(500, step / 60), np.minimum(engagement, 100) / 100, trace, np.full(500, 1 / (60 - step))], axis=1
        )
        np.testing.assert_allclose(users.observation.context, context, rtol=2e-5, atol=1e-6)
        assert not feedback.chosen.any()


def test_the_trace_is_what_consumption_made_of_the_exposure() -> None:
    users = silent()
    start = users._exposure.copy()
    for _ in range(12):
        users.step(first_slot(users))
    np.testing.assert_allclose(users._exposure, 0.7**12 * start - users.observation.context[:, 2] / 0.3, atol=1e-5)


def test_chance_in_engagement_and_exposure() -> None:
    """At sensitivity 0 satisfaction is 1/2: log engagement ~ N((5c + 4(1 - c))/2, sd = 2c + 1(1 - c))."""
    config = LongTermSatisfactionConfig(sensitivity=0.0, choc_spread=2.0)
    users = LongTermSatisfaction(config).users(40_000, seed=2)
    clickbait = (users.observation.candidates[:, 0] + 0.5) / 1000
    exposure = users._exposure.copy()
    feedback = users.step(first_slot(users))
    standard = (np.log(feedback.reward) - (4 + clickbait) / 2) / (1 + clickbait)
    assert abs(standard.mean()) < 4 / 200
    assert standard.std() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(standard, clickbait)[0, 1] == pytest.approx(0, abs=0.02)
    innovation = users._exposure - (0.7 * exposure - 2 * (clickbait - 0.5))
    assert abs(innovation.mean()) < 4 * 0.05 / 200
    assert innovation.std() == pytest.approx(0.05, rel=0.02)
    assert feedback.reward.max() > 100  # not clipped, unlike the response
    assert feedback.responses.max() == 100


def test_only_slot_0_is_consumed() -> None:
    config = LongTermSatisfactionConfig(slate_size=3)
    one, other = (LongTermSatisfaction(config).users(50, seed=3) for _ in range(2))
    a = one.step(np.tile(np.array([4, 0, 1], dtype=np.int32), (50, 1)))
    b = other.step(np.tile(np.array([4, 3, 2], dtype=np.int32), (50, 1)))
    np.testing.assert_array_equal(a.reward, b.reward)
    assert not a.responses[:, 1:].any()


def test_a_session_is_60_slates_and_terminates() -> None:
    users = silent()
    for step in range(1, 61):
        feedback = users.step(first_slot(users))
        assert feedback.terminated.all() == (step == 60)
        assert not feedback.truncated.any()
    np.testing.assert_array_equal(users.observation.context[:, 0], 1.0)
    users.restart(feedback.finished)
    np.testing.assert_array_equal(
        users.observation.context, np.tile(np.float32([0, 0, 0, 1 / 60]), (len(users.observation.context), 1))
    )


def test_staggered_first_sessions_end_at_different_times() -> None:
    users = LongTermSatisfaction().users(6000, seed=4, staggered=True)
    steps = np.rint(users.observation.context[:, 0] * 60)
    assert set(steps) == set(range(60))
    assert abs(users._exposure[steps > 20]).max() < 0.002
    assert not users.observation.context[steps == 0, :3].any()
    np.testing.assert_allclose(users.observation.context[:, 3], 1 / (60 - steps), rtol=1e-6)
    feedback = users.step(first_slot(users))
    np.testing.assert_array_equal(feedback.terminated, steps == 59)


def test_immediate_value_is_the_mean_engagement_of_a_neutral_user() -> None:
    simulator = LongTermSatisfaction(LongTermSatisfactionConfig(num_documents=2, choc_spread=0.5))
    # clickbait 1/4: mean 4.25, sd .875; clickbait 3/4: mean 4.75, sd .625
    expected = [math.exp(4.25 / 2 + 0.875**2 / 2), math.exp(4.75 / 2 + 0.625**2 / 2)]
    np.testing.assert_allclose(simulator.neutral_engagement, expected, rtol=1e-6)
    observation = simulator.users(3, seed=0).observation
    np.testing.assert_array_equal(
        simulator.immediate_value(observation), simulator.neutral_engagement[observation.candidates]
    )


def test_presets_and_the_null_variant() -> None:
    assert LongTermSatisfactionConfig.preset("recsim") == LongTermSatisfactionConfig()
    assert {name: LongTermSatisfactionConfig.preset(name).sensitivity for name in PRESETS} == PRESETS
    with pytest.raises(InputError, match="did you mean 'moderate'"):
        LongTermSatisfactionConfig.preset("moderat")
    assert LongTermSatisfaction().variants()["null"].config.sensitivity == 0.0


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"slate_size": 6}, r"(?s)num_candidates.*slate_size 6 is more than the 5 candidates: .*at most 5"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"sensitivity": -0.1}, "sensitivity"),
        ({"innovation_spread": -0.1}, "innovation_spread"),
        ({"memory_discount": 1.0}, "memory_discount"),
        ({"choc_mean": math.inf}, "choc_mean"),
        ({"session_length": 0}, "session_length"),
        ({"sensitivty": 0.3}, "sensitivty"),
    ],
)
def test_bad_constants(constants: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LongTermSatisfactionConfig(**constants)  # type: ignore[arg-type]


def test_no_users_is_refused() -> None:
    with pytest.raises(InputError, match="count"):
        LongTermSatisfaction().users(0, seed=0)
