"""What holds of the draws of every simulator: a user's course depends on nothing that was done to others."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExploration, InterestExplorationConfig
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfaction, LongTermSatisfactionConfig
from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.types import Feedback, Int32, Observation

LANES, STEPS = 7, 60

SIMULATORS: dict[str, Simulator] = {
    "interest_evolution": InterestEvolution(InterestEvolutionConfig(budget=30.0)),
    "interest_exploration": InterestExploration(InterestExplorationConfig(max_steps=9)),
    "long_term_satisfaction": LongTermSatisfaction(LongTermSatisfactionConfig(session_length=8, slate_size=2)),
}


@pytest.fixture(params=sorted(SIMULATORS))
def simulator(request: pytest.FixtureRequest) -> Simulator:
    return SIMULATORS[request.param]


def arrays(observation: Observation, feedback: Feedback | None = None) -> list[np.ndarray]:
    parts = [observation.user_features, observation.context, observation.candidates, observation.history_feedback]
    if feedback is not None:
        parts += [feedback.chosen, feedback.responses, feedback.reward, feedback.terminated, feedback.truncated]
    return parts


def slates(simulator: Simulator, seed: int) -> list[Int32]:
    rng = np.random.default_rng(seed)
    spec = simulator.spec
    keys = rng.random((STEPS, LANES, spec.num_candidates))
    return list(np.argsort(keys, axis=2)[:, :, : spec.slate_size].astype(np.int32))


def course(users: SimulatedUsers, shown: list[Int32]) -> list[list[np.ndarray]]:
    """Copies of all that is seen, each step's last and each session's first observation."""
    seen = [[a.copy() for a in arrays(users.observation)]]
    for positions in shown:
        feedback = users.step(positions)
        seen.append([a.copy() for a in arrays(users.observation, feedback)])
        users.restart(feedback.finished)
        seen.append([a.copy() for a in arrays(users.observation)])
    return seen


def assert_same(first: list[list[np.ndarray]], second: list[list[np.ndarray]], lanes: slice = slice(None)) -> None:
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[lanes], b[lanes])


@pytest.mark.parametrize("staggered", [False, True])
def test_a_lane_does_not_feel_the_slates_of_another(simulator: Simulator, staggered: bool) -> None:
    shown = slates(simulator, 1)
    other = [positions.copy() for positions in shown]
    for positions, different in zip(other, slates(simulator, 2), strict=True):
        positions[0] = different[0]
    first = course(simulator.users(LANES, seed=5, staggered=staggered), shown)
    second = course(simulator.users(LANES, seed=5, staggered=staggered), other)
    assert_same(first, second, slice(1, None))
    assert any(
        (a[0] != b[0]).any() for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_a_lane_does_not_feel_when_others_leave(simulator: Simulator) -> None:
    """Lane 0 is restarted every third step of one course."""
    shown = slates(simulator, 1)
    courses = []
    for often in (False, True):
        users, seen = simulator.users(LANES, seed=5), []
        for step, positions in enumerate(shown):
            feedback = users.step(positions)
            seen.append([a.copy() for a in arrays(users.observation, feedback)])
            finished = feedback.finished.copy()
            finished[0] |= often and step % 3 == 0
            users.restart(finished)
        courses.append(seen)
    assert_same(*courses, slice(1, None))


def test_the_nth_user_of_a_lane_is_always_the_same(simulator: Simulator) -> None:
    early, late = simulator.users(LANES, seed=3), simulator.users(LANES, seed=3)
    everyone = np.ones(LANES, dtype=bool)
    for positions in slates(simulator, 1)[:5]:
        late.step(positions)
    hidden = {"interest_exploration": "_affinity", "long_term_satisfaction": "_exposure"}
    name = next(name for name, known in SIMULATORS.items() if known is simulator)
    for _ in range(3):
        early.restart(everyone)
        late.restart(everyone)
        assert_same([arrays(early.observation)], [arrays(late.observation)])
        if name in hidden:
            np.testing.assert_array_equal(getattr(early, hidden[name]), getattr(late, hidden[name]))


def test_one_seed_one_course(simulator: Simulator) -> None:
    shown = slates(simulator, 1)
    first = course(simulator.users(LANES, seed=5), shown)
    assert_same(first, course(pickle.loads(pickle.dumps(simulator)).users(LANES, seed=5), shown))
    other = course(simulator.users(LANES, seed=6), shown)
    assert (first[0][2] != other[0][2]).any()
    assert (first[1][2] != other[1][2]).any()


def test_lanes_and_their_successive_users_differ(simulator: Simulator) -> None:
    users = simulator.users(200, seed=0)
    first = users.observation.candidates.copy()
    users.restart(np.ones(200, dtype=bool))
    second = users.observation.candidates
    assert len(np.unique(first, axis=0)) > 195
    assert (first != second).any(axis=1).mean() > 0.98


def test_observations_and_feedback_are_not_changed_later(simulator: Simulator) -> None:
    users = simulator.users(LANES, seed=5)
    kept, copies = [], []

    def keep(feedback: Feedback | None = None) -> None:
        kept.append(arrays(users.observation, feedback))
        copies.append([a.copy() for a in kept[-1]])

    keep()
    for positions in slates(simulator, 1):
        feedback = users.step(positions)
        keep(feedback)
        users.restart(feedback.finished)
        keep()
    assert_same(kept, copies)


def test_types_and_shapes(simulator: Simulator) -> None:
    spec, users = simulator.spec, simulator.users(LANES, seed=5)
    observation, feedback = users.observation, users.step(slates(simulator, 1)[0])
    assert observation.user_features.dtype == observation.context.dtype == np.float32
    assert observation.context.shape == (LANES, len(spec.context_names))
    assert observation.user_features.shape == (LANES, len(spec.user_feature_names))
    assert observation.candidates.dtype == feedback.chosen.dtype == np.int32
    assert observation.candidates.shape == (LANES, spec.num_candidates)
    assert feedback.reward.dtype == feedback.responses.dtype == simulator.item_features.dtype == np.float32
    assert feedback.responses.shape == (LANES, spec.slate_size, len(spec.response_channels))
    assert simulator.item_features.shape[0] == spec.num_items
    value = simulator.immediate_value(observation)
    assert value.shape == observation.candidates.shape
    assert value.dtype == np.float32


def test_variants_have_the_same_shapes(simulator: Simulator) -> None:
    for name, variant in simulator.variants().items():
        assert name in {"null", "second_rule"}
        assert variant.spec == simulator.spec
        variant.users(3, seed=0).step(slates(simulator, 1)[0][:3])
