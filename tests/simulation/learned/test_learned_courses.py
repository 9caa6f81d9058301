"""What holds of the courses of learned users in every setting: one seed one course, and no lane feels another."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from learned_variants import SETTINGS, learned
from slates import arrays, assert_same, course, differ, random_slates
from synthetic_log import CONFIG

from rec_platform.errors import InputError
from rec_platform.simulation.learned import LearnedSimulator

LANES, STEPS = 7, 40


@pytest.fixture(params=sorted(SETTINGS))
def variant(request: pytest.FixtureRequest) -> LearnedSimulator:
    return learned(request.param)


@pytest.mark.parametrize("staggered", [False, True])
def test_a_lane_does_not_feel_the_slates_of_another(variant: LearnedSimulator, staggered: bool) -> None:
    first = course(variant.users(LANES, seed=5, staggered=staggered), STEPS, seed=1)
    users = variant.users(LANES, seed=5, staggered=staggered)
    second = course(users, STEPS, seed=1, other_seed_of_lane_0=2)
    assert_same(first, second, slice(1, None))
    assert differ(first, second, slice(0, 1))


@pytest.mark.parametrize("name", ["plain", "each", "sessions"])
def test_a_lane_does_not_feel_whether_the_only_other_one_answers(name: str) -> None:
    first = course(learned(name).users(2, seed=5), 3 * STEPS, seed=1)
    second = course(learned(name).users(2, seed=5), 3 * STEPS, seed=1, other_seed_of_lane_0=2)
    assert_same(first, second, slice(1, None))


def test_a_lane_does_not_feel_when_others_leave(variant: LearnedSimulator) -> None:
    courses = []
    for often in (False, True):
        users, seen, rng = variant.users(LANES, seed=5), [], np.random.default_rng(0)
        for step in range(STEPS):
            feedback = users.step(random_slates(users.observation, variant.spec.slate_size, rng))
            seen.append([a.copy() for a in [*arrays(users.observation), *arrays(feedback)]])
            finished = feedback.finished.copy()
            finished[0] |= often and step % 3 == 0
            users.restart(finished)
        courses.append(seen)
    assert_same(*courses, slice(1, None))


def test_one_seed_one_course(variant: LearnedSimulator) -> None:
    first = course(variant.users(LANES, seed=5), STEPS, seed=1)
    assert_same(first, course(pickle.loads(pickle.dumps(variant)).users(LANES, seed=5), STEPS, seed=1))
    assert differ(first, course(variant.users(LANES, seed=6), STEPS, seed=1))


def test_saved_and_loaded_it_takes_the_same_course(variant: LearnedSimulator, tmp_path: Path) -> None:
    variant.save(tmp_path / "simulator")
    loaded = LearnedSimulator.load(tmp_path / "simulator")
    assert loaded.spec == variant.spec
    assert loaded.config == variant.config
    assert loaded.leave == variant.leave
    assert loaded.log.histories.user_ids == variant.log.histories.user_ids
    first, second = variant.users(LANES, seed=5), loaded.users(LANES, seed=5)
    np.testing.assert_array_equal(variant.immediate_value(first.observation), loaded.immediate_value(first.observation))
    assert_same(course(first, STEPS, seed=1), course(second, STEPS, seed=1))


def test_observations_and_feedback_are_not_changed_later(variant: LearnedSimulator) -> None:
    users, rng = variant.users(LANES, seed=3, staggered=True), np.random.default_rng(0)
    kept: list[tuple[np.ndarray, np.ndarray]] = []

    def keep(given: list[np.ndarray]) -> None:
        kept.extend((array, array.copy()) for array in given)

    for _ in range(STEPS):
        keep(arrays(users.observation))
        feedback = users.step(random_slates(users.observation, variant.spec.slate_size, rng))
        keep(arrays(feedback))
        keep(arrays(users.observation))
        users.restart(feedback.finished)
    for array, then in kept:
        np.testing.assert_array_equal(array, then)


def test_the_nth_user_of_a_lane_is_always_the_same(variant: LearnedSimulator) -> None:
    early, late = variant.users(LANES, seed=3), variant.users(LANES, seed=3)
    for _ in range(3):
        late.step(random_slates(late.observation, variant.spec.slate_size, np.random.default_rng(0)))
    for _ in range(3):
        early.restart(np.ones(LANES, dtype=bool))
        late.restart(np.ones(LANES, dtype=bool))
        for name in ("user_features", "history", "history_feedback", "context"):
            np.testing.assert_array_equal(getattr(early.observation, name), getattr(late.observation, name))


def test_fitted_saved_and_loaded(simulator: LearnedSimulator, tmp_path: Path) -> None:
    simulator.save(tmp_path / "simulator")
    loaded = LearnedSimulator.load(tmp_path / "simulator")
    assert loaded.config == CONFIG
    assert_same(course(simulator.users(9, seed=0), 30, seed=1), course(loaded.users(9, seed=0), 30, seed=1))


def test_loading_what_is_no_simulator_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable simulator"):
        LearnedSimulator.load(tmp_path)
    (tmp_path / "simulator.json").write_text('{"format_version": 1}')
    with pytest.raises(InputError, match=r"format 1 \(this version reads format \d: fit anew\)"):
        LearnedSimulator.load(tmp_path)
