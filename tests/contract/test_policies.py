"""What every policy promises: the two verbs, exact propensities, and a bundle that gives them again."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.policies import samplers, scorers
from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.context_key import ContextColumn
from rec_platform.policies.fitted import FITTED
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.networks.actor_critic import ActorCritic
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.export import export_scorer
from rec_platform.policies.networks.item_lists import ItemLists
from rec_platform.policies.networks.item_value import ItemValue
from rec_platform.policies.networks.proto_action import ProtoAction
from rec_platform.policies.networks.slate_q import SlateValue
from rec_platform.policies.online import LearnerSpace
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import EpsilonGreedy, Greedy, PlackettLuce, RatioOptimal
from rec_platform.policies.scorers import AffinityScorer, DiverseScorer, StaticScorer, UniformScorer
from rec_platform.policies.tabular import TABULAR, Transitions
from rec_platform.registry import ObservationContract, read_bundle, write_bundle
from rec_platform.types import Observation

ITEMS, USER, CONTEXT, HISTORY = 30, 4, 2, 6
FEATURES = np.random.default_rng(0).normal(size=(ITEMS, USER)).astype(np.float32)
POPULARITY = np.random.default_rng(1).dirichlet(np.ones(ITEMS)).astype(np.float32)


def observe(batch: int = 7, *, seed: int = 0) -> Observation:
    """Users with and without history, each with some candidates that are not available."""
    rng = np.random.default_rng(seed)
    history = rng.integers(ITEMS, size=(batch, HISTORY)).astype(np.int32)
    history[np.arange(HISTORY)[None] < rng.integers(HISTORY + 1, size=batch)[:, None]] = -1
    feedback = np.where(history < 0, 0, rng.choice([-1, 1], size=history.shape)).astype(np.float32)
    candidates = np.tile(np.arange(ITEMS, dtype=np.int32), (batch, 1))
    candidates[rng.random(candidates.shape) < 0.3] = -1
    return Observation(
        user_features=rng.normal(size=(batch, USER)).astype(np.float32),
        history=history,
        history_feedback=feedback,
        context=rng.random((batch, CONTEXT)).astype(np.float32),
        candidates=candidates,
    )


def network(kind: type[torch.nn.Module], **arguments: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    config = NetworkConfig(hidden=[16], embedding=8)
    built = kind(config, StateSizes(HISTORY, USER, CONTEXT, 3), FEATURES, **arguments).eval()
    with torch.no_grad():  # the last layers start small: an untrained network hardly tells items apart
        for parameter in built.parameters():
            parameter.mul_(3.0)
    return built


MAKERS: dict[str, Callable[[], Policy]] = {
    "random": lambda: Policy("random", UniformScorer(), PlackettLuce()),
    "popularity": lambda: Policy("popularity", StaticScorer(POPULARITY), Greedy()),
    "popularity_exploring": lambda: Policy("popular", StaticScorer(POPULARITY), EpsilonGreedy(0.2)),
    "affinity": lambda: Policy("affinity", AffinityScorer(FEATURES), PlackettLuce(0.5)),
    "unlike_history": lambda: Policy("unlike", DiverseScorer(StaticScorer(POPULARITY), FEATURES, 2), PlackettLuce(0.3)),
    "ppo": lambda: Policy("ppo", export_scorer(network(ActorCritic), observe(), num_items=ITEMS), PlackettLuce(0.7)),
    "slateq": lambda: Policy(
        "slateq", export_scorer(network(SlateValue, value_scale=2.0), observe(), num_items=ITEMS), RatioOptimal()
    ),
    "slateq_exploring": lambda: Policy(
        "slateq_exploring",
        export_scorer(network(SlateValue, value_scale=2.0), observe(), num_items=ITEMS),
        EpsilonGreedy(0.1, RatioOptimal()),
    ),
    "dqn": lambda: Policy(
        "dqn", export_scorer(network(ItemValue, value_scale=2.0, dueling=True), observe(), num_items=ITEMS), Greedy()
    ),
    "sac": lambda: Policy(
        "sac",
        export_scorer(
            network(ProtoAction, value_scale=2.0, measure="cosine", near=0.5, critics=2, gaussian=True),
            observe(), num_items=ITEMS,
        ),
        EpsilonGreedy(0.1),
    ),
    "td3": lambda: Policy(
        "td3",
        export_scorer(
            network(ProtoAction, value_scale=2.0, measure="euclidean", near=5, critics=1), observe(), num_items=ITEMS
        ),
        Greedy(),
    ),
    "lird": lambda: Policy(
        "lird", export_scorer(network(ItemLists, value_scale=2.0), observe(), num_items=ITEMS), Greedy()
    ),
}  # fmt: skip


def fitted(kind: str) -> Policy:
    """A recommender fitted to forty made-up users."""
    rng = np.random.default_rng(4)
    users = np.repeat(np.arange(40), 8)
    histories = Histories.from_events(
        user_ids=tuple(f"u{user:02d}" for user in range(40)),
        users=users,
        items=rng.zipf(1.5, size=len(users)).clip(max=ITEMS).astype(np.int32) - 1,
        feedback=rng.choice([-1.0, 1.0, 1.0], size=len(users)).astype(np.float32),
        timestamps=rng.integers(0, 10**12, size=len(users)),
    )
    names = tuple(f"i{item}" for item in range(ITEMS))
    catalog = Catalog(names, names, FEATURES, tuple("abcd"), POPULARITY)
    log = FitLog(histories, catalog, np.zeros((len(histories), 0), dtype=np.float32))
    return Policy(kind, FITTED[kind]().fit(log, 0), EpsilonGreedy(0.2))


MAKERS |= {f"fitted_{kind}": partial(fitted, kind) for kind, settings in FITTED.items() if not settings.online}

PERIOD = ContextColumn(name="e", edges=(0.3, 0.6))
SPACE = LearnerSpace(ITEMS, 3, ("a", "b", "c", "d"), ("e", "f"), FEATURES, POPULARITY.astype(np.float64))


def bandit(kind: str, **options: Any) -> Policy:
    """A bandit that was shown forty items in each of three slots and what came of them."""
    learner = BANDITS[kind](context=[PERIOD], **options).start(SPACE)
    rng = np.random.default_rng(6)
    learner.partial_fit(observe(40, seed=5), rng.integers(ITEMS, size=(40, 3)), rng.integers(2, size=(40, 3)))
    return learner.policy(kind)


def tabular(kind: str) -> Policy:
    """A table of values of three periods after a hundred transitions."""
    learner = TABULAR[kind](context=[PERIOD], initial_value=0.5, prior_count=1.0).start(SPACE)
    rng = np.random.default_rng(7)
    states, items, following = rng.integers(1, 4, 100), rng.integers(ITEMS, size=100), rng.integers(1, 4, 100)
    learner.partial_fit(
        Transitions(
            states, items, rng.normal(size=100), following, rng.random(100) < 0.2, rng.integers(ITEMS, size=100)
        )
    )
    return learner.policy(kind)


MAKERS |= {f"bandit_{kind}": partial(bandit, kind) for kind in BANDITS}
MAKERS |= {
    f"bandit_{kind}_per_slot": partial(bandit, kind, slots="per_slot")
    for kind in ("epsilon_greedy", "softmax", "ucb1", "kl_ucb")
}
MAKERS |= {f"bandit_{kind}_per_item": partial(bandit, kind, model="per_item") for kind in ("lin_ucb", "lin_ts")}
MAKERS |= {f"tabular_{kind}": partial(tabular, kind) for kind in TABULAR}

BY_CANDIDATES = {"sac", "td3", "lird", "blend", "diverse"}
"""An item's score depends on which others are on offer."""


@pytest.fixture(scope="module", params=sorted(MAKERS))
def policy(request: pytest.FixtureRequest) -> Policy:
    return MAKERS[request.param]()


@pytest.mark.parametrize("slate_size", [1, 3, "all"])
def test_a_slate_holds_distinct_available_candidates(policy: Policy, slate_size: int | str) -> None:
    observation = observe()
    k = int(observation.available.sum(axis=1).min()) if slate_size == "all" else int(slate_size)
    decision = policy.decide(observation, k, np.random.default_rng(1))
    assert np.array_equal(policy.choose(observation, k, np.random.default_rng(1)), decision.positions)
    assert (decision.positions.shape, decision.positions.dtype) == ((7, k), np.int32)
    assert all(len(set(row)) == k for row in decision.positions.tolist())
    assert np.take_along_axis(observation.available, decision.positions, axis=1).all()
    assert (decision.items == np.take_along_axis(observation.candidates, decision.positions, axis=1)).all()
    assert (decision.items.dtype, decision.scores.dtype) == (np.int32, np.float32)
    assert np.isfinite(decision.scores).all()


def test_propensities_are_exact_and_given_again(policy: Policy) -> None:
    observation = observe()
    decision = policy.decide(observation, 3, np.random.default_rng(1))
    assert (decision.propensities.shape, decision.propensities.dtype) == ((7, 3), np.float64)
    assert ((decision.propensities > 0) & (decision.propensities <= 1)).all()
    assert np.array_equal(policy.propensity(observation, decision.positions), decision.propensities)
    assert decision.propensity_kind == policy.sampler.propensity_kind
    if decision.propensity_kind == "deterministic":
        assert (decision.propensities == 1).all()


def test_the_slates_of_one_user_have_probability_one_in_all_and_come_up_as_often(policy: Policy) -> None:
    one = observe(1)
    left = np.flatnonzero(one.available[0])[:4]
    one.candidates[0, np.setdiff1d(np.arange(ITEMS), left)] = -1
    slates = np.array(list(itertools.permutations(left, 2)), np.int32)
    same = one.take(np.zeros(len(slates), np.int64))
    steps = policy.propensity(same, slates)
    draws = 8000
    decision = policy.decide(one.take(np.zeros(draws, np.int64)), 2, np.random.default_rng(2))
    if policy.sampler.propensity_kind == "slot_marginal":  # of an item in a slot, whatever stands in the other
        shown = [decision.positions[:, slot] == slates[:, slot, None] for slot in range(2)]
        probability, counts = steps.T, np.array([times_shown.sum(axis=1) for times_shown in shown])
        times = 3  # with four items each stands in a slot before three others
    else:
        probability = steps.prod(axis=1)[None]
        counts = np.array([[(decision.positions == slate).all(axis=1).sum() for slate in slates]])
        times = 1
    assert probability.sum(axis=1) == pytest.approx(times, abs=1e-6)
    assert (counts.sum(axis=1) == times * draws).all()
    deviation = np.abs(counts - draws * probability)
    assert (deviation <= 5 * np.sqrt(draws * probability * (1 - probability)) + 1e-6).all()


def test_the_same_chance_gives_the_same_decision_and_touches_nothing(policy: Policy) -> None:
    observation = observe()
    before = {f.name: getattr(observation, f.name).copy() for f in fields(Observation)}
    first = policy.decide(observation, 3, np.random.default_rng(5))
    second = policy.decide(observation, 3, np.random.default_rng(5))
    for field in fields(first):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name))
    assert all(np.array_equal(getattr(observation, name), array) for name, array in before.items())


def test_users_are_scored_for_themselves(policy: Policy) -> None:
    observation = observe()
    together = policy.scorer.score(observation).values
    assert together.shape == observation.candidates.shape
    alone = np.concatenate([policy.scorer.score(observation.take(np.array([row]))).values for row in range(7)])
    assert alone[observation.available] == pytest.approx(together[observation.available], abs=1e-5, rel=1e-5)


def test_scores_belong_to_items_and_not_to_places(policy: Policy) -> None:
    """Candidates in another order, and fewer of them, keep their scores: two-stage retrieval may hand over any list."""
    observation = observe()
    order = np.random.default_rng(3).permutation(ITEMS)[: ITEMS if policy.name in BY_CANDIDATES else ITEMS // 2]
    some = Observation(
        observation.user_features, observation.history, observation.history_feedback, observation.context,
        np.ascontiguousarray(observation.candidates[:, order]),
    )  # fmt: skip
    available = some.available
    every, part = policy.scorer.score(observation).values, policy.scorer.score(some).values
    assert part[available] == pytest.approx(every[:, order][available], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("slate_size", [0, -1, ITEMS + 1])
def test_a_slate_that_cannot_be_is_refused(policy: Policy, slate_size: int) -> None:
    with pytest.raises(InputError, match="slate_size"):
        policy.decide(observe(), slate_size, np.random.default_rng(0))


def test_specs_build_the_same_policy(policy: Policy) -> None:
    exported = policy.scorer.export()  # type: ignore[attr-defined]
    again = Policy(
        policy.name,
        scorers.build(exported.spec, dict(exported.arrays), dict(exported.files)),
        samplers.build(policy.sampler.spec()),
    )
    assert again.sampler.spec() == policy.sampler.spec()
    assert_same(again, policy)


def test_a_bundle_gives_the_same_policy_without_pickle(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"i{n}" for n in range(ITEMS))
    write_bundle(
        tmp_path / "bundle",
        policy=policy,
        greedy_sampler=Greedy(),
        catalog=Catalog(names, names, FEATURES, ("a", "b", "c", "d"), POPULARITY),
        observation=ObservationContract(
            history_length=HISTORY,
            user_feature_names=("a", "b", "c", "d"),
            context_names=("e", "f"),
            slate_size=3,
            full_catalogue=True,
        ),
        feedback=FeedbackRule(),
    )
    suffixes = {path.suffix for path in (tmp_path / "bundle").iterdir()}
    assert suffixes <= {".json", ".parquet", ".safetensors", ".onnx"}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a bundle was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    bundle = read_bundle(tmp_path / "bundle")
    assert_same(bundle.policy, policy)
    assert bundle.greedy_policy.sampler == Greedy()


def assert_same(one: Policy, other: Policy) -> None:
    observation = observe(5, seed=9)
    mine, yours = one.scorer.score(observation), other.scorer.score(observation)
    assert np.array_equal(mine.values[observation.available], yours.values[observation.available])
    assert (mine.masses is None) == (yours.masses is None)
    decisions = [policy.decide(observation, 3, np.random.default_rng(0)) for policy in (one, other)]
    assert np.array_equal(decisions[0].positions, decisions[1].positions)
    assert np.array_equal(decisions[0].propensities, decisions[1].propensities)
