"""The learned simulator: its step and its rules."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from slates import arrays, best_slates, random_slates
from synthetic_log import CONFIG, ITEMS, synthetic_log

from rec_platform.errors import InputError
from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.leave.patience import PatienceConfig


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
    assert spec.response_channels == ("consume",)
    assert spec.context_names == ("session_slates", "session_response_rate")


def test_users_stand_at_points_of_real_histories(simulator: LearnedSimulator) -> None:
    observation = simulator.users(300, seed=0).observation
    histories = simulator.log.histories
    starts = {tuple(f): u for u, f in enumerate(simulator.log.user_features)}
    ends = set()
    for row in range(300):
        user = starts[tuple(observation.user_features[row])]
        log = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
        answers = histories.feedback[histories.offsets[user] : histories.offsets[user + 1]]
        shown = observation.history[row][observation.history[row] >= 0]
        at = np.flatnonzero(log == shown[-1])[0] + 1
        ends.add(int(at))
        np.testing.assert_array_equal(shown, log[max(0, at - 12) : at])
        np.testing.assert_array_equal(
            observation.history_feedback[row, 12 - len(shown) :], answers[max(0, at - 12) : at]
        )
    assert min(ends) == 5
    assert max(ends) == 40


def test_a_step_by_hand(variant: LearnedSimulator) -> None:
    """Over many steps: response, history, availability, patience and end are what the rules say."""
    patience, k, rng = variant.leave, 3, np.random.default_rng(1)
    assert patience == PatienceConfig()
    users = variant.users(64, seed=5)
    budget, slates, positives = np.full(64, 5.0), np.zeros(64), np.zeros(64)
    for _ in range(45):
        before = users.observation
        consumed = np.where(before.history >= 0, before.history, -2)
        assert not (before.candidates[:, :, None] == consumed[:, None, :]).any()
        if variant.spec.full_catalogue:
            assert ((before.candidates == np.arange(ITEMS)) | (before.candidates == -1)).all()
            for row, past in zip(before.candidates, before.history, strict=True):
                assert (row == -1).sum() == len(set(past.tolist()) - {-1})
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
        bored = np.where(took, shown[np.arange(len(items)), feedback.chosen], 0.0)
        budget -= 0.2 + 1.0 * ~took + 2.0 * np.maximum(0, bored - 0.1)
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
    some = np.array([[7, 0, 59]], dtype=np.int32)
    np.testing.assert_allclose(simulator.similarity(history, feedback, items=some)[0], expected[some[0]], atol=1e-6)


def test_choices_are_those_of_each_places_own_member(simulator: LearnedSimulator) -> None:
    """P(any) = sum exp(x_j) / (sum exp(x_j) + k) by the member who answers there, in the mean over users."""
    users = simulator.users(20_000, seed=3)
    observation = users.observation
    positions = random_slates(observation, 3, np.random.default_rng(0))
    given = (observation.user_features, observation.history, observation.history_feedback)
    both = np.stack([np.exp(np.take_along_axis(m.logits(*given), positions, axis=1)) for m in simulator.members])
    number = users._tracker.member
    assert np.bincount(number).tolist() == [10_000, 10_000]
    masses = both[number, np.arange(20_000)]
    expected = masses.sum(axis=1) / (masses.sum(axis=1) + 3)
    taken = users.step(positions).chosen
    for rows in (number == 0, number == 1, expected > np.median(expected)):
        assert (taken[rows] >= 0).mean() == pytest.approx(expected[rows].mean(), abs=4.5 * 0.5 / 10_000**0.5)
    share = (masses / (masses.sum(axis=1) + 3)[:, None]).mean(axis=0)
    np.testing.assert_allclose(np.bincount(taken + 1, minlength=4)[1:] / 20_000, share, atol=4.5 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_boredom_alone_makes_the_drain_depend_on_similarity(simulator: LearnedSimulator, weight: float) -> None:
    """Slates of the user's last genre against slates of any genre, the first slate being the last one borne."""
    patience = PatienceConfig(boredom_weight=weight, budget=0.9, base=0.2, no_choice=0.0)
    changed = simulator.with_config(CONFIG.model_copy(update={"leave": patience}))
    observation = changed.users(500, seed=2).observation
    alike = changed.similarity(observation.history, observation.history_feedback).astype(np.float64)

    def left(score: np.ndarray) -> float:
        users = changed.users(500, seed=2)
        return float(users.step(best_slates(users.observation, score, 3)).terminated.mean())

    if weight:
        assert left(alike) > left(-alike) + 0.3
    else:
        assert left(alike) == left(-alike) == 0.0


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


def test_what_is_kept_is_what_the_observation_says(variant: LearnedSimulator) -> None:
    """Response states are brought up to date for changed users only: after many steps they are those of the windows."""
    users, rng = variant.users(40, seed=3), np.random.default_rng(0)
    for _ in range(40):
        users.restart(users.step(random_slates(users.observation, 3, rng)).finished)
    o = users.observation
    for number, model in enumerate(variant.members):
        own = users._tracker.member == number
        state = model.state(o.user_features[own], o.history[own], o.history_feedback[own])
        np.testing.assert_allclose(users._tracker.query[own], state.query, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(users._tracker.gain[own], state.gain, rtol=1e-4, atol=1e-4)


def test_immediate_value_is_the_members_mean_probability(variant: LearnedSimulator) -> None:
    observation = variant.users(600, seed=0).observation
    value = variant.immediate_value(observation)
    given = (observation.user_features, observation.history, observation.history_feedback)
    mean = np.mean([expit(model.logits(*given)) for model in variant.members], axis=0)
    expected = np.take_along_axis(mean, np.maximum(observation.candidates, 0), axis=1)
    assert value.dtype == np.float32
    known = observation.available
    np.testing.assert_allclose(value[known], expected[known], rtol=1e-4)
    assert value[known].min() > 0
    assert value[known].max() < 1


def test_staggered_sessions_end_at_different_times(simulator: LearnedSimulator) -> None:
    users = simulator.users(500, seed=1, staggered=True)
    context = users.observation.context
    assert context[:, 0].std() > 0.05
    assert (context[:, 0] < 1).all()
    assert 10 < users.step(random_slates(users.observation, 3, np.random.default_rng(0))).finished.sum() < 300


def test_fitted_on_some_users_it_has_only_these() -> None:
    log = synthetic_log()
    rows = np.array([5, 3, 100])
    simulator, report = LearnedSimulator.fit(log.select(rows), CONFIG, members=1, seed=0)
    assert simulator.log.histories.user_ids == ("u005", "u003", "u100")
    seen = {tuple(f) for f in simulator.users(50, seed=0).observation.user_features}
    assert seen == {tuple(f) for f in log.user_features[rows]}
    assert report.response.holdout.examples == 24


def test_users_without_enough_history_do_not_enter() -> None:
    log = synthetic_log(positive_only=True)
    least = int(np.median(log.histories.counts))
    config = CONFIG.model_copy(update={"min_history": least})
    simulator, _ = LearnedSimulator.fit(log, config, members=1)
    entered = {tuple(f) for f in simulator.users(2_000, seed=0).observation.user_features}
    assert entered == {tuple(f) for f in log.user_features[log.histories.counts >= least]}


def test_variants(simulator: LearnedSimulator) -> None:
    variants = simulator.variants()
    assert set(variants) == {"null", "second_rule"}
    assert variants["null"].leave == PatienceConfig(boredom_weight=0.0)
    assert variants["second_rule"].leave == PatienceConfig().second_rule()
    for variant in variants.values():
        np.testing.assert_array_equal(variant.members[1].item_vectors, simulator.members[1].item_vectors)
        assert variant.spec == simulator.spec


def test_an_unavailable_position_is_refused(simulator: LearnedSimulator) -> None:
    users = simulator.users(2, seed=0)
    positions = random_slates(users.observation, 3, np.random.default_rng(0))
    positions[1, 2] = users.observation.history[1, -1]
    before = [a.copy() for a in arrays(users.observation)]
    with pytest.raises(InputError, match="row 1 holds no available item"):
        users.step(positions)
    for a, b in zip(arrays(users.observation), before, strict=True):
        np.testing.assert_array_equal(a, b)


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
