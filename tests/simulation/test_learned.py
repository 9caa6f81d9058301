"""The learned simulator: its step, its rules, and what it refuses."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from synthetic_log import CONFIG, ITEMS, synthetic_log

from rec_platform.errors import InputError
from rec_platform.simulation.candidates import random_candidates
from rec_platform.simulation.learned import LearnedSimulator, LearnedSimulatorConfig
from rec_platform.simulation.patience import PatienceConfig
from rec_platform.types import Int32, Observation


def random_slates(observation: Observation, k: int, rng: np.random.Generator) -> Int32:
    keys = np.where(observation.available, rng.random(observation.candidates.shape), -1.0)
    return np.argsort(-keys, axis=1)[:, :k].astype(np.int32)


def arrays(observation: Observation) -> list[np.ndarray]:
    return [getattr(observation, f.name) for f in fields(observation)]


@pytest.fixture(params=[None, 10, 30], ids=["full", "ten", "thirty"])
def variant(simulator: LearnedSimulator, request: pytest.FixtureRequest) -> LearnedSimulator:
    return simulator.with_config(CONFIG.model_copy(update={"num_candidates": request.param}))


def test_observation_has_the_shapes_of_the_spec(variant: LearnedSimulator) -> None:
    spec = variant.spec
    observation = variant.users(7, seed=0).observation
    shapes = [a.shape for a in arrays(observation)]
    assert shapes == [(7, 2), (7, 12), (7, 12), (7, 2), (7, spec.num_candidates)]
    assert [a.dtype for a in arrays(observation)] == [np.float32, np.int32, np.float32, np.float32, np.int32]
    assert not observation.context.any()
    assert spec.full_catalogue == (spec.num_candidates == ITEMS)
    assert spec.max_steps == 30


def test_users_stand_at_points_of_real_histories(simulator: LearnedSimulator) -> None:
    observation = simulator.users(200, seed=0).observation
    histories = simulator.histories
    starts = {tuple(f): u for u, f in enumerate(simulator.user_features)}
    for row in range(200):
        user = starts[tuple(observation.user_features[row])]
        log = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
        shown = observation.history[row][observation.history[row] >= 0]
        at = np.flatnonzero(log == shown[-1])[0] + 1
        assert at >= 5
        np.testing.assert_array_equal(shown, log[max(0, at - 12) : at])


def test_a_step_by_hand(variant: LearnedSimulator) -> None:
    """Over many steps: response, history, availability, patience and end are what the rules say."""
    patience, k, rng = variant.config.patience, 3, np.random.default_rng(1)
    users = variant.users(64, seed=5)
    budget, slates, positives = np.full(64, 5.0), np.zeros(64), np.zeros(64)
    for _ in range(45):
        before = users.observation
        consumed = np.where(before.history >= 0, before.history, -2)
        assert not (before.candidates[:, :, None] == consumed[:, None, :]).any()
        if variant.spec.full_catalogue:
            assert ((before.candidates == np.arange(ITEMS)) | (before.candidates == -1)).all()
            standing = [
                (row == -1).sum() == len(set(past) - {-1}) for row, past in zip(*arrays(before)[4:0:-3], strict=True)
            ]
            assert all(standing)
        else:
            assert (np.diff(np.sort(before.candidates, axis=1), axis=1) > 0).all()
        positions = random_slates(before, k, rng)
        items = np.take_along_axis(before.candidates, positions, axis=1)
        feedback = users.step(positions)
        after, took = users.observation, feedback.chosen >= 0

        np.testing.assert_array_equal(feedback.reward, took)
        np.testing.assert_array_equal(feedback.responses.sum(axis=(1, 2)), took)
        assert (feedback.responses[took, feedback.chosen[took], 0] == 1).all()
        np.testing.assert_array_equal(after.history[~took], before.history[~took])
        np.testing.assert_array_equal(after.history[took, :-1], before.history[took, 1:])
        np.testing.assert_array_equal(after.history[took, -1], items[took, feedback.chosen[took]])
        assert (after.history_feedback[took, -1] == 1).all()

        similarity = variant.similarity(before.history, before.history_feedback)
        shown = np.take_along_axis(similarity, items, axis=1)
        if patience.bored_by == "shown":
            bored = shown.mean(axis=1)
        else:
            bored = np.where(took, shown[np.arange(len(items)), feedback.chosen], 0.0)
        budget -= 0.2 + 1.0 * ~took + patience.boredom_weight * np.maximum(0, bored - patience.boredom_threshold)
        slates, positives = slates + 1, positives + took
        clear = np.abs(budget) > 1e-4
        np.testing.assert_array_equal(feedback.terminated[clear], ((budget <= 0) | (slates >= 30))[clear])
        assert not feedback.truncated.any()
        np.testing.assert_allclose(after.context, np.stack([slates / 30, positives / slates], axis=1), rtol=1e-6)
        users.restart(feedback.finished)
        budget[feedback.finished], slates[feedback.finished], positives[feedback.finished] = 5.0, 0, 0


def test_similarity_is_the_mean_cosine_to_recent_positives(simulator: LearnedSimulator) -> None:
    history = np.full((1, 12), -1, dtype=np.int32)
    feedback = np.zeros((1, 12), dtype=np.float32)
    history[0, -3:], feedback[0, -3:] = [0, 1, 4], [1, -1, 1]  # genres 0, 1, 0
    expected = (np.arange(ITEMS) % 4 == 0).astype(np.float32)
    np.testing.assert_allclose(simulator.similarity(history, feedback)[0], expected, atol=1e-6)


def test_equal_items_are_answered_at_the_rate_of_one(simulator: LearnedSimulator) -> None:
    """P(any) = sum exp(x_j) / (sum exp(x_j) + k), checked in the mean over users."""
    users = simulator.users(20_000, seed=3)
    observation = users.observation
    positions = random_slates(observation, 3, np.random.default_rng(0))
    given = (observation.user_features, observation.history, observation.history_feedback)
    masses = np.exp(np.take_along_axis(simulator.model.logits(*given), positions, axis=1))
    expected = masses.sum(axis=1) / (masses.sum(axis=1) + 3)
    taken = users.step(positions).chosen >= 0
    assert taken.mean() == pytest.approx(expected.mean(), abs=4.5 * 0.5 / 20_000**0.5)
    likely = expected > np.median(expected)
    assert taken[likely].mean() == pytest.approx(expected[likely].mean(), abs=4.5 * 0.5 / 10_000**0.5)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_boredom_alone_makes_the_drain_depend_on_similarity(simulator: LearnedSimulator, weight: float) -> None:
    """Slates of the user's last genre against slates of any genre, the first slate being the last one borne."""
    patience = PatienceConfig(boredom_weight=weight, budget=0.9, base=0.2, no_choice=0.0)
    changed = simulator.with_config(CONFIG.model_copy(update={"patience": patience}))
    observation = changed.users(500, seed=2).observation
    alike = changed.similarity(observation.history, observation.history_feedback)

    def left(score: np.ndarray) -> float:
        scores = np.where(observation.available, score, -np.inf)
        positions = np.argsort(-scores, axis=1, kind="stable")[:, :3].astype(np.int32)
        return changed.users(500, seed=2).step(positions).terminated.mean()

    if weight:
        assert left(alike) > left(-alike) + 0.3
    else:
        assert left(alike) == left(-alike) == 0.0


def test_one_seed_one_course(variant: LearnedSimulator) -> None:
    first, second = variant.users(30, seed=7), pickle.loads(pickle.dumps(variant)).users(30, seed=7)
    rng = np.random.default_rng(0)
    for _ in range(6):
        positions = random_slates(first.observation, 3, rng)
        a, b = first.step(positions), second.step(positions)
        np.testing.assert_array_equal(a.chosen, b.chosen)
        first.restart(a.finished)
        second.restart(b.finished)
    for a, b in zip(arrays(first.observation), arrays(second.observation), strict=True):
        np.testing.assert_array_equal(a, b)
    other = variant.users(30, seed=8).observation
    assert (other.history != variant.users(30, seed=7).observation.history).any()


def test_restart_replaces_only_the_finished(variant: LearnedSimulator) -> None:
    users = variant.users(40, seed=3)
    for _ in range(2):
        users.step(random_slates(users.observation, 3, np.random.default_rng(0)))
    before = users.observation
    finished = np.arange(40) % 3 == 0
    users.restart(finished)
    for a, b in zip(arrays(before), arrays(users.observation), strict=True):
        np.testing.assert_array_equal(a[~finished], b[~finished])
    assert not users.observation.context[finished].any()
    assert (before.history[finished] != users.observation.history[finished]).any()


def test_observations_are_not_changed_later(variant: LearnedSimulator) -> None:
    users, rng = variant.users(40, seed=3, staggered=True), np.random.default_rng(0)
    kept = []
    for _ in range(10):
        kept.append((users.observation, [a.copy() for a in arrays(users.observation)]))
        feedback = users.step(random_slates(users.observation, 3, rng))
        kept.append((users.observation, [a.copy() for a in arrays(users.observation)]))
        users.restart(feedback.finished)
    for observation, then in kept:
        for array, copy in zip(arrays(observation), then, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_what_is_cached_is_what_the_observation_says(variant: LearnedSimulator) -> None:
    """Response states are renewed only for changed users: after many steps they are still those of the histories."""
    users, rng = variant.users(40, seed=3), np.random.default_rng(0)
    for _ in range(20):
        users.restart(users.step(random_slates(users.observation, 3, rng)).finished)
    o = users.observation
    state = variant.model.state(o.user_features, o.history, o.history_feedback)
    np.testing.assert_allclose(users._query, state.query, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(users._gain, state.gain, rtol=1e-4, atol=1e-5)


def test_staggered_sessions_end_at_different_times(simulator: LearnedSimulator) -> None:
    users = simulator.users(500, seed=1, staggered=True)
    context = users.observation.context
    assert context[:, 0].std() > 0.05
    assert (context[:, 0] < 1).all()
    assert 10 < users.step(random_slates(users.observation, 3, np.random.default_rng(0))).finished.sum() < 300


def test_saved_and_loaded_it_is_the_same(simulator: LearnedSimulator, tmp_path: Path) -> None:
    simulator.save(tmp_path / "simulator")
    loaded = LearnedSimulator.load(tmp_path / "simulator")
    assert loaded.spec == simulator.spec
    assert loaded.config == simulator.config
    assert loaded.histories.user_ids == simulator.histories.user_ids
    a, b = simulator.users(50, seed=0), loaded.users(50, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(4):
        positions = random_slates(a.observation, 3, rng)
        np.testing.assert_array_equal(a.step(positions).chosen, b.step(positions).chosen)


def test_loading_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable simulator"):
        LearnedSimulator.load(tmp_path)


def test_fitted_on_some_users_it_has_only_these() -> None:
    catalog, histories, user_features = synthetic_log()
    rows = np.array([5, 3, 100])
    simulator, report = LearnedSimulator.fit(catalog, histories, user_features, CONFIG, seed=0, user_rows=rows)
    assert simulator.histories.user_ids == ("u005", "u003", "u100")
    seen = {tuple(f) for f in simulator.users(50, seed=0).observation.user_features}
    assert seen == {tuple(f) for f in user_features[rows]}
    assert report.holdout.examples == 24


def test_an_unavailable_position_is_refused(simulator: LearnedSimulator) -> None:
    users = simulator.users(2, seed=0)
    positions = random_slates(users.observation, 3, np.random.default_rng(0))
    positions[1, 2] = users.observation.history[1, -1]
    with pytest.raises(InputError, match="row 1 holds no available item"):
        users.step(positions)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((2, 4), dtype=np.int32), "shape"),
        (np.array([[0, 1, 1], [0, 1, 2]]), "repeated in row 0"),
        (np.array([[0, 1, 2], [0, 1, ITEMS]]), "out of range in row 1"),
        (np.zeros((2, 3)), "whole numbers"),
    ],
)
def test_bad_positions(simulator: LearnedSimulator, positions: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulator.users(2, seed=0).step(positions)


def test_bad_configurations(simulator: LearnedSimulator) -> None:
    with pytest.raises(ValidationError, match=r"(?s)num_candidates.*slate_size 5 is more than the 4 candidates"):
        LearnedSimulatorConfig(num_candidates=4)
    with pytest.raises(ValidationError, match="budgit"):
        LearnedSimulatorConfig(patience={"budgit": 3})
    with pytest.raises(InputError, match="set history_length to at most 57"):
        LearnedSimulator.fit(*synthetic_log(), LearnedSimulatorConfig(slate_size=3, history_length=58))
    with pytest.raises(InputError, match=r"min_history: no user has 41 events \(the most is 40\)"):
        simulator.with_config(CONFIG.model_copy(update={"min_history": 41}))
    with pytest.raises(InputError, match="the model was fitted with 12"):
        simulator.with_config(CONFIG.model_copy(update={"history_length": 13}))
    with pytest.raises(InputError, match="count"):
        simulator.users(0, seed=0)
    catalog, histories, user_features = synthetic_log()
    with pytest.raises(InputError, match="user_features: 3 rows for 120 users"):
        LearnedSimulator.fit(catalog, histories, user_features[:3], CONFIG)


@pytest.mark.parametrize("num_items", [30, 200])
def test_random_candidates_are_uniform(num_items: int) -> None:
    history = np.tile(np.array([-1, 2, 2, 9], dtype=np.int32), (6000, 1))
    drawn = random_candidates(history, num_items, 5, np.random.default_rng(0))
    assert (np.diff(np.sort(drawn, axis=1), axis=1) > 0).all()
    counts = np.bincount(drawn.ravel(), minlength=num_items)
    assert counts[2] == counts[9] == 0
    expected = 30_000 / (num_items - 2)
    others = np.delete(counts, [2, 9])
    assert (np.abs(others - expected) < 5 * expected**0.5).all()
