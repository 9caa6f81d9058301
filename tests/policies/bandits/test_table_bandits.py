"""Value-table bandits: their tables against the papers' formulas, and what they make of logs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.special import rel_entr

from rec_platform.data.calendar import CALENDAR_NAMES
from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.bandits.epsilon_greedy import EpsilonGreedySettings
from rec_platform.policies.bandits.table import UNPLAYED, TableBandit
from rec_platform.policies.experience import of_log
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.online import LearnerSpace
from rec_platform.policies.rewards import RewardRule
from rec_platform.types import Observation

ITEMS = 5
NAMES = ("segment=a", "segment=b")
SPACE = LearnerSpace(ITEMS, slate_size=2, user_feature_names=NAMES)


def observe(segments: list[int]) -> Observation:
    batch = len(segments)
    return Observation(
        np.eye(2, dtype=np.float32)[segments],
        np.zeros((batch, 0), np.int32),
        np.zeros((batch, 0), np.float32),
        np.zeros((batch, 0), np.float32),
        np.tile(np.arange(ITEMS, dtype=np.int32), (batch, 1)),
    )


def learned(kind: str, rows: int = 60, **options: Any) -> tuple[TableBandit, np.ndarray, np.ndarray, np.ndarray]:
    """A learner that saw ``rows`` of the first four items, with what it saw: segments, items, rewards 0 or 1."""
    rng = np.random.default_rng(3)
    segments, items = rng.integers(2, size=rows), rng.integers(ITEMS - 1, size=rows)
    rewards = rng.integers(2, size=rows).astype(float)
    learner = BANDITS[kind](context=["segment"], **options).start(SPACE)
    assert isinstance(learner, TableBandit)
    learner.partial_fit(observe(segments.tolist()), items, rewards)
    return learner, segments, items, rewards


def test_sample_averages_are_the_increments_of_the_definition() -> None:
    """V ← V + (r - V)/n, event by event; an item that was never shown keeps V₀."""
    learner, segments, items, rewards = learned("epsilon_greedy", initial_value=0.7)
    values, shown = np.full((2, ITEMS), 0.7), np.zeros((2, ITEMS))
    for segment, item, reward in zip(segments, items, rewards, strict=True):
        shown[segment, item] += 1
        values[segment, item] += (reward - values[segment, item]) / shown[segment, item]
    assert learner.scorer().score(observe([0, 1])).values == pytest.approx(values, abs=1e-6)


def test_order_and_batches_do_not_matter_without_drift() -> None:
    whole, segments, items, rewards = learned("softmax")
    parts = BANDITS["softmax"](context=["segment"]).start(SPACE)
    for rows in np.array_split(np.random.default_rng(0).permutation(60), 7):
        parts.partial_fit(observe(segments[rows].tolist()), items[rows], rewards[rows])
    assert parts.scorer().score(observe([0, 1])).values == pytest.approx(
        whole.scorer().score(observe([0, 1])).values, abs=1e-6
    )


def test_ucb1_is_mean_and_bonus() -> None:
    learner, segments, items, rewards = learned("ucb1")
    scores = learner.scorer().score(observe([0, 1])).values
    for segment in range(2):
        of_segment = segments == segment
        for item in range(ITEMS - 1):
            own = rewards[of_segment & (items == item)]
            expected = own.mean() + np.sqrt(2 * np.log(of_segment.sum()) / len(own))
            assert scores[segment, item] == pytest.approx(expected, abs=1e-6)
    assert (scores[:, ITEMS - 1] == UNPLAYED).all()


def test_kl_ucb_solves_its_equation() -> None:
    learner, segments, items, rewards = learned("kl_ucb", loglog=3.0)
    scores = learner.scorer().score(observe([0, 1])).values
    for segment in range(2):
        time = (segments == segment).sum()
        level = np.log(time) + 3 * np.log(np.log(time))
        for item in range(ITEMS - 1):
            own = rewards[(segments == segment) & (items == item)]
            mean, number = own.mean(), len(own)

            def excess(q: float, mean: float = mean, number: int = number, level: float = level) -> float:
                return float(number * (rel_entr(mean, q) + rel_entr(1 - mean, 1 - q)) - level)

            exact = 1.0 if mean == 1 else brentq(excess, mean, 1 - 1e-13, xtol=1e-13)
            assert scores[segment, item] == pytest.approx(exact, abs=1e-6)


def test_beta_beliefs_have_the_moments_of_their_counts() -> None:
    from scipy.stats import beta

    learner, segments, items, rewards = learned("thompson_beta", prior_successes=2.0, prior_failures=0.5)
    scores = learner.scorer().score(observe([0, 1]))
    assert scores.spread is not None
    for segment, item in np.ndindex(2, ITEMS):
        own = rewards[(segments == segment) & (items == item)]
        exact = beta(2.0 + own.sum(), 0.5 + (1 - own).sum())
        assert scores.values[segment, item] == pytest.approx(exact.mean(), rel=1e-6)
        assert scores.spread[segment, item] == pytest.approx(exact.std(), rel=1e-6)


def test_gaussian_beliefs_are_conjugate() -> None:
    learner, segments, items, rewards = learned("thompson_gaussian", prior_mean=0.3, prior_deviation=2.0, noise=0.5)
    estimated, *_ = learned("thompson_gaussian", prior_mean=0.3, prior_deviation=2.0, noise="estimated")
    scores, guessed = (one.scorer().score(observe([0, 1])) for one in (learner, estimated))
    assert scores.spread is not None
    assert guessed.spread is not None
    for segment, item in np.ndindex(2, ITEMS):
        own = rewards[(segments == segment) & (items == item)]
        for got, variance in (
            (scores, 0.25),
            (guessed, (((own - own.mean()) ** 2).sum() + 4.0) / len(own) if len(own) else 1.0),
        ):
            precision = 1 / 4.0 + len(own) / variance
            assert got.values[segment, item] == pytest.approx((0.3 / 4 + own.sum() / variance) / precision, abs=1e-6)
            assert got.spread is not None
            assert got.spread[segment, item] == pytest.approx(precision**-0.5, rel=1e-6)


def test_slots_have_values_of_their_own() -> None:
    learner = EpsilonGreedySettings(slots="per_slot", epsilon=0.0).start(SPACE)
    learner.partial_fit(observe([0, 0, 0]), [[0, 1], [1, 0], [2, 2]], [[5.0, 4.0], [1.0, 0.0], [3.0, -1.0]])
    scores = learner.scorer().score(observe([0]))
    assert scores.per_slot is not None
    assert scores.per_slot[0, :, :3].tolist() == [[5.0, 1.0, 3.0], [0.0, 4.0, -1.0]]
    assert scores.values[0, :3].tolist() == [5.0, 1.0, 3.0]
    decision = learner.policy("slots").decide(observe([0]), 2, np.random.default_rng(0))
    assert decision.positions.tolist() == [[0, 1]]  # by the values of the first slot it were [0, 2]
    again = EpsilonGreedySettings(slots="per_slot").start(SPACE)
    again.partial_fit(observe([0, 0]), [0, 1], [5.0, 4.0], slots=[0, 1])
    assert again.scorer().values[:, 0, :2].tolist() == [[5.0, 0.0], [0.0, 4.0]]


def test_what_is_not_known_teaches_nothing() -> None:
    learner = BANDITS["epsilon_greedy"]().start(SPACE)
    learner.partial_fit(observe([0, 1]), [[0, -1], [1, 2]], [[1.0, 9.0], [np.nan, 3.0]])
    assert learner.scorer().score(observe([0])).values.tolist() == [[1.0, 0.0, 3.0, 0.0, 0.0]]


@pytest.mark.parametrize("kind", ["epsilon_greedy", "softmax", "ucb1", "kl_ucb", "thompson_beta", "thompson_gaussian"])
@pytest.mark.parametrize("drift", [{}, {"discount": 0.9}, {"window": 20}])
def test_a_state_is_taken_up_again(kind: str, drift: dict[str, Any]) -> None:
    learner, segments, items, rewards = learned(kind, **drift)
    restored = BANDITS[kind](context=["segment"], **drift).restore(SPACE, learner.state())
    pickled = pickle.loads(pickle.dumps(learner))
    expected = None
    for one in (learner, restored, pickled):
        one.partial_fit(observe(segments[:30].tolist()), items[:30], 1.0 - rewards[:30])
        scores = one.scorer().score(observe([0, 1]))
        expected = expected or scores
        assert np.array_equal(scores.values, expected.values)
        if scores.spread is not None and expected.spread is not None:
            assert np.array_equal(scores.spread, expected.spread)


def test_a_scorer_is_not_changed_by_later_learning() -> None:
    learner, segments, items, rewards = learned("epsilon_greedy")
    scorer = learner.scorer()
    before = scorer.score(observe([0, 1])).values.copy()
    learner.partial_fit(observe(segments.tolist()), items, rewards + 5)
    assert np.array_equal(scorer.score(observe([0, 1])).values, before)


def test_the_rfm_recommender_starts_from_quantities() -> None:
    settings = EpsilonGreedySettings.rfm()
    assert settings.epsilon == 0.1
    space = LearnerSpace(
        4,
        user_feature_names=("segment=Q1", "segment=Q2", "segment=Q3", "segment=Q4"),
        context_names=CALENDAR_NAMES,
        quantities=np.array([0.0, 10.0, 100.0, 1000.0]),
    )
    learner = settings.start(space, seed=1)
    values = learner.scorer().values[0]
    assert values.shape == (5 * 13 * 3 * 8, 4)
    error = 5 / np.sqrt(len(values))
    assert values.mean(axis=0) == pytest.approx([0, 10, 100, 1000], abs=error)
    assert values.std(axis=0) == pytest.approx(1.0, abs=error)
    moment = Observation(
        np.array([[0, 0, 1, 0]], np.float32), np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32),
        np.array([[12, 1, 6]], np.float32), np.arange(4, dtype=np.int32)[None],
    )  # fmt: skip
    rule = RewardRule()
    learner.partial_fit(moment, [3], [rule.ignored])
    learner.partial_fit(moment, [3], [rule.events["purchase"]])
    after = learner.scorer().values[0]
    assert np.argwhere(after != values).tolist() == [[((3 * 13 + 12) * 3 + 2) * 8 + 7, 3]]
    assert after[((3 * 13 + 12) * 3 + 2) * 8 + 7, 3] == 1.5
    with pytest.raises(InputError, match="no counts"):
        settings.start(LearnerSpace(4, 1, space.user_feature_names, space.context_names))


def test_rewards_of_responses_are_those_of_the_best_event() -> None:
    rule = RewardRule()
    responses = np.array([[[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]], np.float32)
    assert rule.of_responses(responses, ("click", "purchase", "like")).tolist() == [[1.0, 5.0, -2.0, -2.0]]
    assert (rule.events, rule.ignored, rule.range) == ({"purchase": 5.0, "click": 1.0}, -2.0, (-2.0, 5.0))
    with pytest.raises(InputError, match="none of the channels"):
        rule.of_responses(responses, ("a", "b", "c"))


def test_a_log_of_events_is_learned_in_order_of_time() -> None:
    day = 86_400_000_000
    histories = Histories.from_events(
        user_ids=("a", "b"),
        users=np.array([0, 0, 1]),
        items=np.array([0, 1, 1], np.int32),
        feedback=np.array([1.0, -1.0, 1.0], np.float32),
        timestamps=np.array([0, 20 * day, 5 * day]),
    )
    names = ("x", "y")
    catalog = Catalog(names, names, np.zeros((2, 0), np.float32), (), np.ones(2, np.float32))
    log = FitLog(histories, catalog, np.zeros((len(histories), 0), np.float32))
    rule = RewardRule(positive=1.0, ignored=-2.0)
    (events,) = of_log(log, rule, CALENDAR_NAMES)
    assert events.items.tolist() == [[0], [1], [1]]
    assert events.rewards.tolist() == [[1.0], [1.0], [-2.0]]
    assert events.observation.context.tolist() == [[1, 0, 3], [1, 0, 1], [1, 1, 2]]
    learner = BANDITS["epsilon_greedy"](context=["half_month"]).learner(log, 0)
    assert learner.scorer().values[0].tolist() == [[0, 0], [1.0, 1.0], [0.0, -2.0]]  # type: ignore[attr-defined]


def test_bad_events_and_settings_name_what_is_wrong() -> None:
    learner = BANDITS["epsilon_greedy"]().start(SPACE)
    with pytest.raises(InputError, match="B, k"):
        learner.partial_fit(observe([0, 1]), [0], [1.0])
    with pytest.raises(InputError, match="not of the catalogue"):
        learner.partial_fit(observe([0]), [ITEMS], [1.0])
    with pytest.raises(InputError, match="infinite"):
        learner.partial_fit(observe([0]), [0], [np.inf])
    with pytest.raises(InputError, match="slots"):
        learner.partial_fit(observe([0]), [0], [1.0], slots=[0, 1])
    with pytest.raises(InputError, match="outside"):
        BANDITS["ucb1"]().start(SPACE).partial_fit(observe([0]), [0], [5.0])
    BANDITS["ucb1"](reward_range=(-2.0, 5.0)).start(SPACE).partial_fit(observe([0]), [0], [5.0])  # type: ignore[call-arg]
    for kind, wrong in (
        ("epsilon_greedy", {"epsilon": 1.1}),
        ("ucb1", {"discount": 0.9, "window": 3}),
        ("kl_ucb", {"reward_range": (1.0, 1.0)}),
        ("thompson_beta", {"slots": "per_slot"}),
        ("thompson_gaussian", {"noise": 0.0}),
        ("softmax", {"temprature": 1.0}),
    ):
        with pytest.raises(ValidationError):
            BANDITS[kind](**wrong)
