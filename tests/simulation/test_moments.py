"""Users who ask at moments of the log do all else as they would without."""

from __future__ import annotations

import numpy as np
import pytest

from rec_platform.data.request_context import request_context
from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_exploration import InterestExploration
from rec_platform.simulation.moments import InMoments

DAY = 86_400_000_000
NAMES = ("weekday", "user_hash")
MOMENTS = np.array([0, DAY, 2 * DAY])


def test_only_the_context_differs() -> None:
    plain = InterestExploration()
    wrapped = InMoments(plain, NAMES, MOMENTS)
    assert wrapped.spec.context_names == NAMES
    one, other = plain.users(50, seed=3), wrapped.users(50, seed=3)
    for _ in range(5):
        assert np.array_equal(one.observation.candidates, other.observation.candidates)
        slates = np.tile(np.arange(plain.spec.slate_size, dtype=np.int32), (50, 1))
        first, second = one.step(slates), other.step(slates)
        assert np.array_equal(first.chosen, second.chosen)
        assert np.array_equal(first.reward, second.reward)
        one.restart(first.finished)
        other.restart(second.finished)


def test_a_session_has_one_moment_and_the_next_user_another() -> None:
    users = InMoments(InterestExploration(), NAMES, MOMENTS).users(3000, seed=1)
    before = users.observation.context
    assert (before[:, 1] == -1).all()  # simulated users have no id
    weekdays = request_context(("weekday",), MOMENTS, ["", "", ""])[:, 0]
    counts = [(before[:, 0] == weekday).mean() for weekday in weekdays]
    assert counts == pytest.approx([1 / 3] * 3, abs=4 * np.sqrt(2 / 9 / 3000))
    users.step(np.tile(np.arange(users.spec.slate_size, dtype=np.int32), (3000, 1)))
    assert np.array_equal(users.observation.context, before)
    gone = np.arange(3000) < 1000
    users.restart(gone)
    after = users.observation.context
    assert np.array_equal(after[~gone], before[~gone])
    assert 0.2 < (after[gone, 0] == before[gone, 0]).mean() < 0.5
    assert np.isin(before[:, 0], weekdays).all()


def test_a_state_is_taken_up_again() -> None:
    simulator = InMoments(InterestExploration(), NAMES, MOMENTS)
    one, other = simulator.users(20, seed=1), simulator.users(20, seed=9)
    slates = np.tile(np.arange(simulator.spec.slate_size, dtype=np.int32), (20, 1))
    one.step(slates)
    other.set_state(one.get_state())
    for users in (one, other):
        users.step(slates)
        users.restart(np.ones(20, bool))
    assert np.array_equal(one.observation.context, other.observation.context)
    assert np.array_equal(one.observation.candidates, other.observation.candidates)
    with pytest.raises(InputError, match=r"state\.columns"):
        simulator.users(19, seed=1).set_state(one.get_state())
    with pytest.raises(InputError, match="moments"):
        InMoments(InterestExploration(), NAMES, MOMENTS[:0])
