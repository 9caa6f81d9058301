"""Rollouts: each user's return is what he paid until he left, and policies meet the same users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.errors import InputError
from rec_platform.evaluation import rollout as module
from rec_platform.evaluation.rollout import Estimate, Rollout, rollout, segment_rows
from rec_platform.policies.policy import Policy, Scores
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.scorers import AffinityScorer, StaticScorer, UniformScorer
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.types import Feedback, Int32, Observation

SIMULATOR = InterestEvolution(InterestEvolutionConfig(budget=40.0))
RANDOM = Policy("random", UniformScorer(), PlackettLuce())
QUALITY = Policy("quality", StaticScorer(SIMULATOR.topic_quality), Greedy())


@pytest.mark.parametrize("policy", [RANDOM, QUALITY], ids=lambda policy: policy.name)
def test_against_a_loop_over_single_users(policy: Policy) -> None:
    """The batch goes on for those who stay; what happens to the others afterwards must not count."""
    users, seed = 25, 6
    got = rollout(policy, SIMULATOR, users=users, seed=seed)
    batch, rng = SIMULATOR.users(users, seed=seed), np.random.default_rng([seed, 1])
    returns, lengths, clicks = [0.0] * users, [0] * users, [0] * users
    gone, shown = [False] * users, set()
    while not all(gone):
        decision = policy.decide(batch.observation, SIMULATOR.spec.slate_size, rng)
        feedback = batch.step(decision.positions)
        for user in range(users):
            if gone[user]:
                continue
            returns[user] += float(feedback.reward[user])
            lengths[user] += 1
            clicks[user] += int(feedback.chosen[user] >= 0)
            shown.update(decision.items[user].tolist())
            gone[user] = bool(feedback.terminated[user] or feedback.truncated[user])
    np.testing.assert_allclose(got.returns, returns, rtol=1e-6)
    np.testing.assert_array_equal(got.lengths, lengths)
    np.testing.assert_array_equal(got.clicks, clicks)
    assert got.coverage == len(shown) / SIMULATOR.spec.num_items
    assert len(set(lengths)) > 3
    assert (got.policy, got.to_dict()["users"]) == (policy.name, users)


def test_the_same_seed_gives_the_same_users_and_course() -> None:
    first, second, other = (rollout(RANDOM, SIMULATOR, users=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert not np.array_equal(first.returns, other.returns)


def test_policies_meet_the_same_users() -> None:
    class Watching:
        """Greedy, and remembers the first observation."""

        def __init__(self) -> None:
            self.first: Observation | None = None
            self.base = AffinityScorer(SIMULATOR.item_features)

        def score(self, observation: Observation) -> Scores:
            self.first = self.first or observation
            return self.base.score(observation)

    one, two = Watching(), Watching()
    rollout(Policy("one", one, Greedy()), SIMULATOR, users=30, seed=4)
    rollout(Policy("two", two, PlackettLuce()), SIMULATOR, users=30, seed=4)
    assert one.first is not None
    assert two.first is not None
    np.testing.assert_array_equal(one.first.user_features, two.first.user_features)
    np.testing.assert_array_equal(one.first.candidates, two.first.candidates)


def test_above_is_paired() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=400) * 100
    zeros = np.zeros(400)
    one = Rollout("one", base + 1 + 0.1 * rng.normal(size=400), zeros, zeros, 0.0)
    two = Rollout("two", base, zeros, zeros, 0.0)
    difference = one.above(two)
    assert difference.mean == pytest.approx(1.0, abs=0.05)
    assert difference.lower > 0.9  # unpaired, the error would be 7


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
@settings(max_examples=50, deadline=None)
def test_estimate(values: list[float]) -> None:
    estimate = Estimate.of(np.array(values))
    mean = sum(values) / len(values)
    error = (sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    assert estimate.mean == pytest.approx(mean, rel=1e-6, abs=1e-6)
    assert estimate.stderr == pytest.approx(error, rel=1e-6, abs=1e-6)
    assert estimate.lower <= estimate.mean <= estimate.upper
    assert estimate.upper - estimate.lower == pytest.approx(2 * 1.96 * error, rel=1e-3, abs=1e-6)


def test_interval_covers_in_19_of_20() -> None:
    rng = np.random.default_rng(1)
    estimates = [Estimate.of(rng.exponential(size=400)) for _ in range(2000)]
    share = np.mean([e.lower < 1.0 < e.upper for e in estimates])
    assert 0.93 < share < 0.965


def test_one_value_has_no_error() -> None:
    estimate = Estimate.of(np.array([3.0]))
    assert estimate.mean == 3.0
    assert np.isnan(estimate.stderr)


def test_too_few_users() -> None:
    for users in (1, 0, -3):
        with pytest.raises(InputError, match=r"evaluation\.users"):
            rollout(RANDOM, SIMULATOR, users=users, seed=0)


def test_sessions_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 3)
    with pytest.raises(InputError, match="did not end within 3"):
        rollout(RANDOM, SIMULATOR, users=2, seed=0)


def test_steps_are_reported() -> None:
    calls: list[int] = []
    result = rollout(RANDOM, SIMULATOR, users=5, seed=0, on_step=lambda: calls.append(1))
    assert len(calls) == result.lengths.max()


class Segmented:
    """Users of a simulator, every other one of them loyal, and one in none."""

    def __init__(self, simulator: Any, users: Any = None) -> None:
        self._inner, self._users = simulator, users
        self.spec = replace(simulator.spec, user_feature_names=("age", "segment=loyal", "segment=new"))

    def users(self, count: int, *, seed: int) -> Segmented:
        return Segmented(self._inner, self._inner.users(count, seed=seed))

    @property
    def observation(self) -> Observation:
        inner = self._users.observation
        rows = np.arange(inner.batch_size)
        features = np.stack([np.ones(len(rows)), rows % 2 == 0, (rows % 2 == 1) & (rows > 1)], axis=1)
        return replace(inner, user_features=features.astype(np.float32))

    def step(self, positions: Int32) -> Feedback:
        feedback: Feedback = self._users.step(positions)
        return feedback


def test_users_are_told_apart_by_segment() -> None:
    result = rollout(RANDOM, Segmented(SIMULATOR), users=20, seed=1)  # type: ignore[arg-type]
    plain = rollout(RANDOM, SIMULATOR, users=20, seed=1)
    assert np.array_equal(result.returns, plain.returns)
    assert plain.segment is None
    told = result.to_dict()["segments"]
    assert {name: figures["users"] for name, figures in told.items()} == {"loyal": 10, "new": 9, "none": 1}
    assert told["loyal"]["mean"] == pytest.approx(result.returns[::2].mean())
    head, *rows = segment_rows({"random": result})
    assert head == ("users who are", "users", "random")
    assert rows[0] == ("loyal", "10", f"{result.returns[::2].mean():.2f}")
    assert segment_rows({"random": plain}) == []
