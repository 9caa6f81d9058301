"""What each setting of a learned simulator does."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from learned_variants import SETTINGS, learned
from scipy.special import expit
from slates import random_slates

from rec_platform.simulation.learned import LearnedSimulator
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.leave.returning import ReturnModel
from rec_platform.types import Feedback, Int32, Observation


def played(simulator: LearnedSimulator, users: int, *, seed: int = 0) -> list[int]:
    """The lengths of the first sessions of random play."""
    batch, rng = simulator.users(users, seed=seed), np.random.default_rng(seed)
    lengths: list[int] = []
    alive = np.ones(users, dtype=bool)
    for step in range(1, (simulator.spec.max_steps or 0) + 1):
        feedback = batch.step(random_slates(batch.observation, simulator.spec.slate_size, rng))
        ended = alive & feedback.finished
        lengths += [step] * int(ended.sum())
        alive &= ~ended
        batch.restart(feedback.finished)
    assert not alive.any()
    return lengths


def one_step(simulator: LearnedSimulator, users: int) -> tuple[Observation, Int32, Feedback, np.ndarray, Any]:
    """Before, the items shown, the feedback, each user's member, and his log-odds for the items by channel."""
    batch = simulator.users(users, seed=3)
    before = batch.observation
    positions = random_slates(before, simulator.spec.slate_size, np.random.default_rng(0))
    items = np.take_along_axis(before.candidates, positions, axis=1)
    number = batch._tracker.member
    given = (before.user_features, before.history, before.history_feedback, items)

    def logits(channel: int) -> np.ndarray:
        every = np.stack([model.slate_logits(*given, channel) for model in simulator.members])
        return every[number, np.arange(users)]

    return before, items, batch.step(positions), number, logits


def close_to(rate: np.ndarray, probability: np.ndarray) -> None:
    """Each mean over users within 4.5 standard errors, column by column."""
    error = np.sqrt((probability * (1 - probability)).sum(axis=0)) / len(probability)
    assert (np.abs(rate.mean(axis=0) - probability.mean(axis=0)) < 4.5 * error + 1e-6).all()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_plays_whole_sessions(name: str) -> None:
    simulator = learned(name)
    lengths = played(simulator, 50)
    assert len(lengths) == 50
    assert max(lengths) <= simulator.spec.max_steps  # type: ignore[operator]


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_histories_grow_by_what_was_answered(name: str) -> None:
    simulator = learned(name)
    length = simulator.spec.history_length
    before, items, feedback, _, _ = one_step(simulator, 60)
    batch = simulator.users(60, seed=3)
    positions = random_slates(batch.observation, simulator.spec.slate_size, np.random.default_rng(0))
    batch.step(positions)
    after = batch.observation
    for row in range(60):
        taken = items[row][feedback.responses[row, :, 0] > 0].tolist()
        assert after.history[row].tolist() == [*before.history[row].tolist(), *taken][-length:]
        answers = [*before.history_feedback[row].tolist(), *[1.0] * len(taken)][-length:]
        assert after.history_feedback[row].tolist() == answers
        shown = after.candidates[row][after.candidates[row] >= 0]
        assert not set(shown.tolist()) & set(after.history[row].tolist())
        assert len(set(shown.tolist())) == len(shown) >= simulator.spec.slate_size


def test_each_item_is_answered_on_its_own_less_the_correlation() -> None:
    simulator = learned("each")
    _, items, feedback, _, logits = one_step(simulator, 20_000)
    vectors = simulator.members[0].item_vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = np.einsum("bid,bjd->bij", unit[items], unit[items]).mean(axis=2)
    probability = np.maximum(expit(logits(0)) - 0.2 * cosine, 0.0)
    assert (probability < expit(logits(0)) - 0.01).mean() > 0.5
    close_to(feedback.responses[:, :, 0], probability)
    likely = probability[:, 0] > np.median(probability[:, 0])
    close_to(feedback.responses[likely, :, 0], probability[likely])
    first = np.where((feedback.responses[:, :, 0] > 0).any(axis=1), feedback.responses[:, :, 0].argmax(axis=1), -1)
    np.testing.assert_array_equal(feedback.chosen, first)


@pytest.mark.parametrize("name", ["plain", "each"])
def test_channels_happen_only_with_a_consumption_and_at_their_own_rate(name: str) -> None:
    simulator = learned(name)
    _, _, feedback, _, logits = one_step(simulator, 20_000)
    consumed = feedback.responses[:, :, 0] > 0
    for channel in (1, 2):
        happened = feedback.responses[:, :, channel]
        assert not happened[~consumed].any()
        assert set(np.unique(happened)) == {0.0, 1.0}
        close_to(happened[consumed][:, None], expit(logits(channel)[consumed])[:, None])


def test_the_reward_weighs_the_channels() -> None:
    _, _, feedback, _, _ = one_step(learned("each"), 500)
    np.testing.assert_allclose(feedback.reward, feedback.responses.sum(axis=1) @ [1.0, 2.0, -0.5], atol=1e-5)
    assert len(np.unique(feedback.reward)) > 5
    _, _, feedback, _, _ = one_step(learned("kuaisim"), 500)
    np.testing.assert_allclose(feedback.reward, feedback.responses[:, :, 0].mean(axis=1), rtol=1e-5)


def test_the_choice_over_a_slate_has_its_scale_slot_effects_and_null() -> None:
    simulator = learned("plain")
    _, _, feedback, _, logits = one_step(simulator, 20_000)
    masses = np.exp(0.8 * logits(0) + np.array([0.0, -0.3, -0.3]))
    probability = masses / (masses.sum(axis=1, keepdims=True) + np.exp(1.0))
    close_to(feedback.responses[:, :, 0], probability)


@pytest.mark.parametrize("choice", ["one", "each"])
def test_pessimism_takes_the_members_disagreement_from_the_reward(choice: str) -> None:
    base = learned("pessimism")
    with_it = base.with_config(base.config.model_copy(update={"choice": choice}))
    without = base.with_config(with_it.config.model_copy(update={"pessimism": 0.0}))
    before, items, feedback, _, _ = one_step(with_it, 300)
    plain = one_step(without, 300)[2]
    np.testing.assert_array_equal(feedback.responses, plain.responses)
    given = (before.user_features, before.history, before.history_feedback, items)
    x = np.stack([model.slate_logits(*given) for model in base.members]).astype(np.float64)
    if choice == "each":
        expected = expit(x).sum(axis=2)
    else:
        mass = np.exp(0.8 * x + np.array([0.0, -0.3, -0.3])).sum(axis=2)
        expected = mass / (mass + np.exp(1.0))
    np.testing.assert_allclose(plain.reward - feedback.reward, expected.std(axis=0), rtol=1e-3, atol=1e-4)
    assert (plain.reward - feedback.reward).mean() > 0.05


def test_disagreement_of_extreme_logits_is_a_number() -> None:
    base = learned("pessimism")
    members = tuple(
        replace(m, item_bias=m.item_bias + sign * 500) for m, sign in zip(base.members, (1, -1, 1), strict=True)
    )
    simulator = LearnedSimulator(log=base.log, members=members, config=base.config, channels=base.channels)
    _, _, feedback, _, _ = one_step(simulator, 20)
    np.testing.assert_allclose(feedback.responses[:, :, 0].sum(axis=1) - feedback.reward, 2**0.5 / 3, rtol=1e-5)


def test_sessions_of_a_user_follow_each_other() -> None:
    simulator = learned("sessions")
    spec, rng = simulator.spec, np.random.default_rng(0)
    assert spec.context_names == ("session_slates", "session_response_rate", "sessions_done", "days_away")
    assert spec.max_steps == 90
    users = simulator.users(400, seed=1)
    sessions, days, waits = np.zeros(400), np.zeros(400), []
    for _ in range(60):
        before = users.observation
        feedback = users.step(random_slates(before, spec.slate_size, rng))
        context = users.observation.context
        done, away = np.rint(context[:, 2] * 3), np.rint(context[:, 3] * 7)
        ended = done > sessions
        np.testing.assert_array_equal(done[ended], sessions[ended] + 1)
        np.testing.assert_array_equal(feedback.terminated, done == 3)
        back = ended & ~feedback.terminated
        assert not context[back, :2].any()
        assert ((away[back] >= 1) & (away[back] <= 7)).all()
        np.testing.assert_array_equal(away[~back], days[~back])
        penalty = feedback.responses[:, :, 0].sum(axis=1) - feedback.reward
        np.testing.assert_allclose(penalty[back], 0.5 / 7 * away[back], atol=1e-5)
        assert ((penalty[feedback.terminated] > 0.07) & (penalty[feedback.terminated] < 0.51)).all()
        np.testing.assert_allclose(penalty[~ended], 0.0, atol=1e-6)
        users.restart(feedback.finished)
        sessions, days = done, away
        sessions[feedback.finished] = days[feedback.finished] = 0
        assert not users.observation.context[feedback.finished].any()
        waits += away[back].tolist()
    assert simulator.returning == ReturnModel(constant=-1.0, answered_share=1.0)
    assert len(waits) > 500
    assert len(set(waits)) == 7


def test_a_session_that_is_answered_brings_users_back_sooner() -> None:
    model = learned("sessions").returning
    uniforms = np.random.default_rng(0).random(5_000, dtype=np.float32)
    never, always = (
        model.days(np.full(5_000, s, np.float32), np.ones(5_000, np.int32), uniforms, 7).mean() for s in (0, 1)
    )
    assert always < never - 0.5


def test_kuaisim_random_play_lasts_ten_to_twenty_slates() -> None:
    lengths = played(learned("kuaisim"), 300)
    assert min(lengths) >= 10
    assert max(lengths) <= 20
    assert len(set(lengths)) > 2
    assert learned("kuaisim").spec.slate_size == 6


def test_kuaisim_sessions_have_five_slates_and_six_sessions() -> None:
    simulator = learned("kuaisim_sessions")
    assert set(played(simulator, 40)) == {30}
    users, rng = simulator.users(40, seed=0), np.random.default_rng(0)
    rewards = []
    for _ in range(5):
        rewards.append(users.step(random_slates(users.observation, 6, rng)).reward)
    assert not np.any(rewards[:4])
    np.testing.assert_allclose(rewards[4], -users.observation.context[:, 3], rtol=1e-5)
    assert rewards[4].max() <= -0.1 + 1e-6


def test_easyrl4rec_users_leave_at_the_second_repetition_of_a_category() -> None:
    """Genres are item mod 4; a user leaves when that of the item consumed stands more than once among the last nine."""
    simulator = learned("easyrl4rec")
    assert simulator.spec.slate_size == 1
    assert max(played(simulator, 200)) <= 30
    users, rng = simulator.users(300, seed=0), np.random.default_rng(0)
    slates = np.zeros(300)
    left = 0
    for _ in range(40):
        before = users.observation
        positions = random_slates(before, 1, rng)
        items = np.take_along_axis(before.candidates, positions, axis=1)[:, 0]
        feedback = users.step(positions)
        slates += 1
        recent = (before.history[:, -9:] % 4 == items[:, None] % 4) & (before.history_feedback[:, -9:] > 0)
        leaves = ((recent.sum(axis=1) > 1) & (feedback.chosen >= 0)) | (slates >= 30)
        np.testing.assert_array_equal(feedback.terminated, leaves)
        users.restart(feedback.finished)
        slates[feedback.finished] = 0
        left += int(leaves.sum())
    assert left > 300


@pytest.mark.parametrize("name", ["shown", "memoryless", "plain"])
def test_likeness_is_that_of_the_windows_after_many_steps(name: str) -> None:
    """The recently consumed content is brought up to date entry by entry: it stays the mean of the window's."""
    simulator = learned(name)
    users, rng = simulator.users(30, seed=0), np.random.default_rng(0)
    for _ in range(60):
        users.restart(users.step(random_slates(users.observation, 3, rng)).finished)
    o = users.observation
    expected = simulator.similarity(o.history, o.history_feedback, simulator.leave.recent)
    np.testing.assert_allclose(users._recent @ simulator.content.T, expected, atol=1e-4)


def test_users_bored_by_what_is_shown_are_bored_by_the_mean_of_the_slate() -> None:
    simulator = learned("shown")
    budget = np.full(200, 5.0)
    users, rng = simulator.users(200, seed=0), np.random.default_rng(0)
    before = users.observation
    positions = random_slates(before, 3, rng)
    items = np.take_along_axis(before.candidates, positions, axis=1)
    similarity = simulator.similarity(before.history, before.history_feedback, 4)
    shown = np.take_along_axis(similarity, items, axis=1).mean(axis=1)
    feedback = users.step(positions)
    budget -= 0.2 + (feedback.chosen < 0) + 2.0 * np.maximum(shown - 0.1, 0)
    np.testing.assert_allclose(users._budget, budget, atol=1e-4)


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_variants_have_the_same_shapes_and_no_boredom_or_another_rule(name: str) -> None:
    simulator = learned(name)
    variants = simulator.variants()
    assert set(variants) == {"null", "second_rule"}
    assert variants["null"].leave == simulator.leave.without_boredom()
    assert isinstance(variants["second_rule"].leave, PatienceConfig)
    assert variants["second_rule"].leave != simulator.leave
    for variant in variants.values():
        assert variant.spec == simulator.spec
        users = variant.users(3, seed=0)
        users.step(random_slates(users.observation, simulator.spec.slate_size, np.random.default_rng(0)))


def test_what_is_rewarded_is_what_a_candidate_is_worth() -> None:
    """Probability of the consumption times the rewards it is expected to bring."""
    base = learned("each")
    observation = base.users(5, seed=3).observation
    plain = base.with_config(base.config.model_copy(update={"reward": {"consume": 1.0}}))
    bought = base.with_config(base.config.model_copy(update={"reward": {"buy": 1.0}}))
    given = (observation.user_features, observation.history, observation.history_feedback)
    expected = np.zeros(observation.candidates.shape)
    items = np.maximum(observation.candidates, 0)
    for model in base.members:
        buy = base.channels.index("buy") + 1
        expected += expit(model.slate_logits(*given, items)) * expit(model.slate_logits(*given, items, buy))
    shown = observation.available
    value = bought.immediate_value(observation)
    np.testing.assert_allclose(value[shown], (expected / len(base.members))[shown], rtol=1e-4)
    assert (value < plain.immediate_value(observation))[shown].all()
    nothing = base.with_config(base.config.model_copy(update={"reward": {"consume": 0.0}}))
    np.testing.assert_array_equal(nothing.immediate_value(observation), plain.immediate_value(observation))


def test_what_can_be_computed_again_is_not_pickled() -> None:
    simulator = learned("plain")
    simulator.users(3, seed=0)
    assert simulator.entries is not None
    copy = pickle.loads(pickle.dumps(simulator))
    assert "entries" not in vars(copy)
    np.testing.assert_array_equal(
        copy.users(3, seed=0).observation.history, simulator.users(3, seed=0).observation.history
    )
