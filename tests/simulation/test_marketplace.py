"""The generator's users, live: against the generator's own truth, and against plain formulas user by user."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rec_platform.config import parse
from rec_platform.data.dataset import Dataset
from rec_platform.data.generator import (
    GeneratorConfig,
    MarketPolicy,
    MarketState,
    World,
    best_affinity,
    generate,
    logging_policy,
    myopic,
    true_value,
    uniform_random,
)
from rec_platform.data.logged_decisions import LoggedDecisions
from rec_platform.data.manifest import Source
from rec_platform.data.user_log import UserLog
from rec_platform.data.writer import write_dataset
from rec_platform.errors import InputError
from rec_platform.evaluation.rollout import rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers.plackett_luce import PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.simulation.marketplace import Marketplace, MarketplaceConfig
from rec_platform.simulation.marketplace.users import MarketplaceUsers
from rec_platform.simulation.simulators import SIMULATORS, build
from rec_platform.types import Feedback, Int32

SMALL = GeneratorConfig(
    num_users=60, num_items=40, slate_size=3, sessions_per_user=2.0, seed=5, null_utility=1.0, max_steps=15
)
LENGTH = 6
LANES = 40
UNIFORM = Policy("uniform", UniformScorer(), PlackettLuce())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return generate(SMALL, tmp_path_factory.mktemp("marketplace") / "dataset", truth_sessions=0)


@pytest.fixture(scope="module")
def marketplace(dataset: Dataset) -> Marketplace:
    return Marketplace.of_dataset(dataset, history_length=LENGTH)


def config_of(generator: GeneratorConfig, **more: object) -> MarketplaceConfig:
    known = {k: v for k, v in dataclasses.asdict(generator).items() if k in MarketplaceConfig.model_fields}
    return MarketplaceConfig(**{**known, "history_length": LENGTH, **more})


def random_slates(users: MarketplaceUsers, rng: np.random.Generator) -> Int32:
    keys = np.where(users.observation.available, rng.random(users.observation.candidates.shape), 2.0)
    return np.argsort(keys, axis=1)[:, : users.spec.slate_size].astype(np.int32)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def utility_of(world: World, user: int, item: int, fatigue: float, boredom: float) -> float:
    """By the words of the generator's docstrings, with no array of it but the drawn ones."""
    expensive = math.log(world.price[item]) - 3.4
    liking = world.taste[user, world.category[item]] + 0.5 * world.quality[item] - world.thrift[user] * expensive
    return float(liking - boredom * fatigue)


def played(marketplace: Marketplace, policy: MarketPolicy, *, users: int, seed: int) -> tuple[NDArray, NDArray]:
    """Returns and lengths [users] of a policy of the generator, which knows the user and his fatigue."""
    batch, rng = marketplace.users(users, seed=seed), np.random.default_rng(seed)
    world = marketplace.world
    returns, lengths, active = np.zeros(users), np.zeros(users), np.ones(users, dtype=bool)
    while active.any():
        affinity = world.affinity(batch.world_users)
        state = MarketState(batch.world_users, batch.fatigue, affinity, world.category, world.config.boredom, 0)
        slate, _ = policy(state, marketplace.spec.slate_size, rng)
        feedback = batch.step(slate.astype(np.int32))  # item j is candidate j
        returns += feedback.reward * active
        lengths += active
        active &= ~feedback.finished
    return returns, lengths


@pytest.mark.parametrize("policy", [logging_policy, uniform_random, best_affinity, myopic])
def test_known_policies_have_their_true_value(dataset: Dataset, policy: Callable[[World], MarketPolicy]) -> None:
    marketplace = Marketplace.of_dataset(dataset, history_length=LENGTH, repeats=True)
    users = 6000
    truth = true_value(policy(marketplace.world), SMALL, sessions=users, world=marketplace.world)
    returns, lengths = played(marketplace, policy(marketplace.world), users=users, seed=3)
    error = np.hypot(returns.std() / np.sqrt(users), truth.per_session_stderr)
    assert abs(returns.mean() - truth.per_session) < 3 * error
    assert abs(lengths.mean() - truth.session_length) < 3 * np.sqrt(2) * lengths.std() / np.sqrt(users)
    assert error < 0.02 * truth.per_session


def test_a_rollout_of_uniform_slates_has_the_true_value(dataset: Dataset) -> None:
    marketplace = Marketplace.of_dataset(dataset, history_length=LENGTH, repeats=True)
    truth = true_value(uniform_random(marketplace.world), SMALL, sessions=6000, world=marketplace.world)
    returns = rollout(UNIFORM, marketplace, users=6000, seed=1).returns
    error = np.hypot(returns.std() / np.sqrt(6000), truth.per_session_stderr)
    assert abs(returns.mean() - truth.per_session) < 3 * error


def test_without_repeats_uniform_slates_earn_what_a_plain_loop_says(dataset: Dataset, marketplace: Marketplace) -> None:
    """One session after another in plain Python, the visible history left out of the slates."""
    world, population, config = marketplace.world, marketplace.population, SMALL
    rng, returns = np.random.default_rng(0), []
    for _ in range(4000):
        user = int(rng.integers(config.num_users))
        history = [int(item) for item in population.history[user] if item >= 0]
        fatigue, patience, total = [0.0] * 8, config.patience * rng.uniform(0.5, 1.5), 0.0
        for _ in range(config.max_steps):
            slate: list[int] = []
            while len(slate) < config.slate_size:
                item = int(rng.random() * config.num_items)
                if item not in slate and item not in history[-LENGTH:]:
                    slate.append(item)
            utilities = [utility_of(world, user, item, fatigue[world.category[item]], config.boredom) for item in slate]
            masses = [math.exp(utility) for utility in utilities]
            point = rng.random() * (sum(masses) + math.exp(config.null_utility))
            chosen = next((slot for slot in range(len(slate)) if point < sum(masses[: slot + 1])), None)
            fatigue = [config.fatigue_decay * value for value in fatigue]
            if chosen is None:
                patience -= 1.0
            else:
                total += 1.0 + config.purchase_reward * (rng.random() < sigmoid(utilities[chosen] - 2.0))
                fatigue[world.category[slate[chosen]]] += 1.0
                patience -= 1.0 - sigmoid(utilities[chosen] - config.null_utility)
                history.append(slate[chosen])
            if patience <= 0:
                break
        returns.append(total)
    live = rollout(UNIFORM, marketplace, users=6000, seed=2).returns
    error = np.hypot(np.std(returns) / np.sqrt(len(returns)), live.std() / np.sqrt(len(live)))
    assert abs(np.mean(returns) - live.mean()) < 3 * error
    free = Marketplace.of_dataset(dataset, history_length=LENGTH, repeats=True)
    assert (
        rollout(UNIFORM, free, users=6000, seed=2).returns.mean() - live.mean() > 3 * error
    )  # the rule is felt: the test above could fail


def test_a_step_is_chosen_by_the_stated_probabilities() -> None:
    generator = dataclasses.replace(SMALL, num_users=2, purchase_reward=0.5)
    marketplace = Marketplace(config_of(generator, repeats=True))
    world, count = marketplace.world, 40_000
    users = marketplace.users(count, seed=0)
    slates = [np.array([0, 1, 2]), np.array([2, 7, 0])]
    users.step(np.tile(slates[0], (count, 1)).astype(np.int32))
    fatigue, who = users.fatigue.copy(), users.world_users.copy()
    feedback = users.step(np.tile(slates[1], (count, 1)).astype(np.int32))
    expected, variance, bought, bought_variance = np.zeros(4), np.zeros(4), 0.0, 0.0
    kinds = {(int(u), tuple(f)) for u, f in zip(who, fatigue, strict=True)}
    assert len(kinds) > 4
    for user, tired in kinds:
        rows = (who == user) & (fatigue == np.array(tired)).all(axis=1)
        utilities = [utility_of(world, user, item, tired[world.category[item]], 0.7) for item in slates[1]]
        masses = np.exp([*utilities, generator.null_utility])
        p = masses / masses.sum()
        b = sum(p[slot] * sigmoid(utilities[slot] - 2.0) for slot in range(3))
        expected += rows.sum() * p
        variance += rows.sum() * p * (1 - p)
        bought += rows.sum() * b
        bought_variance += rows.sum() * b * (1 - b)
    counts = np.array([(feedback.chosen == slot).sum() for slot in (0, 1, 2, -1)])
    assert (np.abs(counts - expected) < 4 * np.sqrt(variance)).all()
    purchases = feedback.responses[:, :, 1]
    assert abs(purchases.sum() - bought) < 4 * np.sqrt(bought_variance)
    np.testing.assert_array_equal(feedback.responses[:, :, 0], np.arange(3) == feedback.chosen[:, None])
    assert (purchases <= feedback.responses[:, :, 0]).all()
    np.testing.assert_array_equal(feedback.reward, (feedback.responses @ [1.0, 0.5]).sum(axis=1))


@dataclasses.dataclass
class Shadow:
    """One user in plain Python, told only what he clicked."""

    user: int
    patience: float
    history: list[int]
    fatigue: list[float] = dataclasses.field(default_factory=lambda: [0.0] * 8)
    slates: int = 0
    clicks: int = 0

    @staticmethod
    def enter(users: MarketplaceUsers, history: NDArray, lane: int) -> Shadow:
        user = int(users.world_users[lane])
        return Shadow(user, float(users.patience[lane]), list(map(int, history[user])))

    def see(self, world: World, item: int | None) -> None:
        spent, fatigue = 1.0, [0.8 * value for value in self.fatigue]
        if item is not None:
            kind = world.category[item]
            spent = 1.0 - sigmoid(utility_of(world, self.user, item, self.fatigue[kind], 0.7) - 1.0)
            fatigue[kind] += 1.0
            self.history.append(item)
            self.clicks += 1
        self.patience, self.fatigue, self.slates = self.patience - spent, fatigue, self.slates + 1


@pytest.mark.parametrize("repeats", [False, True])
def test_courses_follow_the_rules_user_by_user(dataset: Dataset, repeats: bool) -> None:
    marketplace = Marketplace.of_dataset(dataset, history_length=LENGTH, repeats=repeats)
    users, rng = marketplace.users(LANES, seed=4), np.random.default_rng(1)
    entry = marketplace.population.history
    shadows = [Shadow.enter(users, entry, lane) for lane in range(LANES)]
    ended_by = {"patience": 0, "length": 0}
    for _ in range(60):
        positions, seen = random_slates(users, rng), users.observation
        for lane, shadow in enumerate(shadows):
            visible = shadow.history[-LENGTH:]
            assert seen.history[lane].tolist() == visible
            assert seen.history_feedback[lane].tolist() == [float(item >= 0) for item in visible]
            hidden = [] if repeats else visible
            assert seen.candidates[lane].tolist() == [-1 if item in hidden else item for item in range(40)]
            share = shadow.clicks / max(shadow.slates, 1)
            np.testing.assert_allclose(seen.context[lane], [shadow.slates / 15, share], rtol=1e-6)
        feedback = users.step(positions)
        assert not feedback.truncated.any()
        for lane, shadow in enumerate(shadows):
            slot = feedback.chosen[lane]
            shadow.see(marketplace.world, int(positions[lane, slot]) if slot >= 0 else None)
            np.testing.assert_allclose(users.fatigue[lane], shadow.fatigue, rtol=1e-12)
            assert users.patience[lane] == pytest.approx(shadow.patience, rel=1e-9, abs=1e-9)
            assert feedback.terminated[lane] == (users.patience[lane] <= 0 or shadow.slates >= 15)
            ended_by["patience"] += bool(users.patience[lane] <= 0)
            ended_by["length"] += bool(feedback.terminated[lane] and users.patience[lane] > 0)
        users.restart(feedback.finished)
        for lane in np.flatnonzero(feedback.finished):
            shadows[lane] = Shadow.enter(users, entry, int(lane))
            assert 0.5 <= users.patience[lane] / 8.0 <= 1.5
    assert min(ended_by.values()) > 0


def test_users_are_seen_as_the_end_of_the_log_knows_them(dataset: Dataset, marketplace: Marketplace) -> None:
    log = UserLog.read(dataset)
    histories, population = log.histories, marketplace.population
    known = set(histories.user_ids)
    assert marketplace.catalog.hash == log.catalog.hash
    assert marketplace.spec.user_feature_names == log.user_feature_names
    for user in range(60):
        name = f"u{user + 1:04d}"
        clicks: list[int] = []
        if name in known:
            row = histories.user_ids.index(name)
            clicks = histories.items[histories.offsets[row] : histories.offsets[row + 1]].tolist()[-LENGTH:]
            np.testing.assert_array_equal(population.user_features[user], log.user_features[row])
        assert population.history[user].tolist() == [-1] * (LENGTH - len(clicks)) + clicks
    share = np.bincount(marketplace.users(30_000, seed=0).world_users, minlength=60) / 30_000
    assert (np.abs(share - 1 / 60) < 5 * np.sqrt(1 / 60 / 30_000)).all()


def test_logged_decisions_are_laid_out_as_these_users_are(dataset: Dataset, marketplace: Marketplace) -> None:
    log = LoggedDecisions.build(
        UserLog.read(dataset), history_length=LENGTH, max_session_slates=15, reward={"consume": 1.0, "purchase": 1.0}
    )
    logged, live = log.observation(np.arange(9)), marketplace.users(9, seed=0).observation
    for field in dataclasses.fields(logged):
        assert getattr(logged, field.name).shape == getattr(live, field.name).shape
        assert getattr(logged, field.name).dtype == getattr(live, field.name).dtype
    assert log.slate_size == marketplace.spec.slate_size


def expected_reward(world: World, user: int, fatigue: NDArray, config: MarketplaceConfig) -> list[float]:
    values = []
    for item in range(config.num_items):
        utility = utility_of(world, user, item, fatigue[world.category[item]], config.boredom)
        values.append(sigmoid(utility - config.null_utility) * (1 + config.purchase_reward * sigmoid(utility - 2.0)))
    return values


def test_immediate_value_recognises_the_users_of_a_log(marketplace: Marketplace) -> None:
    """Exact at the start and after a slate; later up to the places of the clicks in the session."""
    users, rng = marketplace.users(300, seed=2), np.random.default_rng(0)
    logged = np.flatnonzero((marketplace.population.history[users.world_users] >= 0).all(axis=1))
    assert len(logged) > 50
    for step in range(4):
        values = marketplace.immediate_value(users.observation)
        assert values.dtype == np.float32
        truth = np.array(
            [
                expected_reward(marketplace.world, users.world_users[row], users.fatigue[row], marketplace.config)
                for row in logged
            ]
        )
        if step < 2:
            np.testing.assert_allclose(values[logged], truth, rtol=1e-4)
        else:
            assert np.abs(values[logged] - truth).mean() < 0.02 * truth.mean()
        users.step(random_slates(users, rng))


def test_immediate_value_of_users_who_cannot_be_told_apart() -> None:
    """At the mean utility of all with the same features; of everybody where nobody has them."""
    marketplace = Marketplace(config_of(dataclasses.replace(SMALL, num_users=200)))
    world, features = marketplace.world, marketplace.population.user_features
    observation = marketplace.users(5, seed=0).observation
    unheard_of = dataclasses.replace(observation, user_features=np.full((5, features.shape[1]), 7.0, dtype=np.float32))
    for given in (observation, unheard_of):
        values = marketplace.immediate_value(given)
        for row in range(5):
            alike = np.flatnonzero((features == given.user_features[row]).all(axis=1))
            alike = alike if len(alike) else np.arange(200)
            for item in (0, 17, 39):
                utility = float(np.mean([utility_of(world, int(user), item, 0.0, 0.7) for user in alike]))
                assert values[row, item] == pytest.approx(
                    sigmoid(utility - 1.0) * (1 + sigmoid(utility - 2.0)), rel=1e-5
                )


def test_the_null_variant_is_not_bored(marketplace: Marketplace) -> None:
    (name, null), *rest = marketplace.variants().items()
    assert (name, rest) == ("null", [])
    assert null.spec == marketplace.spec
    assert isinstance(null, Marketplace)
    assert null.world.config.boredom == null.config.boredom == 0.0
    value = null.immediate_value(null.users(20, seed=0).observation)
    assert value.shape == (20, 40)
    greedy, same = (
        played(m, best_affinity(m.world), users=2000, seed=0)[0].mean()
        for m in (Marketplace(config_of(SMALL, repeats=True, boredom=b)) for b in (0.0, 0.7))
    )
    assert greedy > 1.2 * same


def course(users: MarketplaceUsers, shown: list[Int32]) -> list[list[NDArray]]:
    seen = []
    for positions in shown:
        feedback = users.step(positions)
        seen.append(arrays(users, feedback))
        users.restart(feedback.finished)
        seen.append(arrays(users))
    return seen


def arrays(users: MarketplaceUsers, feedback: Feedback | None = None) -> list[NDArray]:
    parts = [getattr(users.observation, f.name) for f in dataclasses.fields(users.observation)]
    if feedback is not None:
        parts += [getattr(feedback, f.name) for f in dataclasses.fields(feedback)]
    return [users.world_users.copy(), users.patience.copy(), *parts]


def free_slates(seed: int, steps: int = 40) -> list[Int32]:
    keys = np.random.default_rng(seed).random((steps, LANES, 40))
    return list(np.argsort(keys, axis=2)[:, :, :3].astype(np.int32))


def assert_same(first: list[list[NDArray]], second: list[list[NDArray]], lanes: slice = slice(None)) -> None:
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a[lanes], b[lanes])


@pytest.mark.parametrize("staggered", [False, True])
def test_a_lane_does_not_feel_the_slates_of_another(staggered: bool) -> None:
    marketplace = Marketplace(config_of(SMALL, repeats=True))
    shown, other = free_slates(1), free_slates(1)
    for positions, different in zip(other, free_slates(2), strict=True):
        positions[0] = different[0]
    first = course(marketplace.users(LANES, seed=5, staggered=staggered), shown)
    copied = pickle.loads(pickle.dumps(marketplace))
    assert_same(first, course(copied.users(LANES, seed=5, staggered=staggered), shown))
    changed = course(marketplace.users(LANES, seed=5, staggered=staggered), other)
    assert_same(first, changed, slice(1, None))
    assert any(
        (a[0] != b[0]).any() for one, two in zip(first, changed, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_what_was_handed_out_is_never_changed(marketplace: Marketplace) -> None:
    users, rng = marketplace.users(LANES, seed=5), np.random.default_rng(0)
    kept, copies = [arrays(users)], [[a.copy() for a in arrays(users)]]
    for _ in range(20):
        feedback = users.step(random_slates(users, rng))
        kept.append(arrays(users, feedback))
        copies.append([a.copy() for a in kept[-1]])
        users.restart(feedback.finished)
    assert_same(kept, copies)


def test_a_state_put_back_goes_on_to_the_last_bit() -> None:
    marketplace, shown = Marketplace(config_of(SMALL, repeats=True)), free_slates(1)
    users = marketplace.users(LANES, seed=5, staggered=True)
    course(users, shown[:10])
    state = users.get_state()
    rest = course(users, shown[10:])
    other = marketplace.users(LANES, seed=6)
    before = other.observation
    history = before.history.copy()
    other.set_state(state)
    assert_same(rest, course(other, shown[10:]))
    other.set_state(state)
    assert_same(rest, course(other, shown[10:]))
    np.testing.assert_array_equal(before.history, history)
    with pytest.raises(InputError, match="count"):
        marketplace.users(LANES - 1, seed=5).set_state(state)


def test_staggered_users_are_as_after_slates_passed_over() -> None:
    marketplace = Marketplace(config_of(dataclasses.replace(SMALL, max_steps=10)))
    users, rested = marketplace.users(2000, seed=3, staggered=True), marketplace.users(2000, seed=3)
    slates = np.rint(users.observation.context[:, 0] * 10)
    np.testing.assert_allclose(users.patience, rested.patience - slates)
    assert users.patience.min() > 0
    assert (slates.min(), slates.max()) == (0, 9)
    assert (users.observation.context[:, 1] == 0).all()
    assert (rested.observation.context == 0).all()


def test_an_item_of_the_history_cannot_be_shown(marketplace: Marketplace) -> None:
    users = marketplace.users(LANES, seed=0)
    hidden = int(users.observation.history[3, -1])
    assert hidden >= 0
    positions = random_slates(users, np.random.default_rng(0))
    positions[3, 0] = hidden
    with pytest.raises(InputError, match=f"position {hidden} in row 3 holds no available item"):
        users.step(positions)


def test_only_the_generators_datasets_have_known_users(dataset: Dataset, tmp_path: Path) -> None:
    def written(source: Source, users: int = 60) -> Dataset:
        return write_dataset(
            tmp_path / "other",
            name="other",
            source=source,
            interactions=dataset.interactions,
            items=dataset.items,
            users=dataset.users.slice(0, users),
        )

    source = dataset.manifest.source
    with pytest.raises(InputError, match="not by the generator"):
        Marketplace.of_dataset(written(source.model_copy(update={"name": "log.csv"})))
    short = {k: v for k, v in source.parameters.items() if k != "boredom"}
    for parameters, key in ((short, "boredom"), ({**source.parameters, "mood": 1}, "mood")):
        with pytest.raises(InputError, match=key):
            Marketplace.of_dataset(written(source.model_copy(update={"parameters": parameters})), history_length=LENGTH)
    with pytest.raises(InputError, match="users or items"):
        Marketplace.of_dataset(written(source, users=59), history_length=LENGTH)
    with pytest.raises(InputError, match=r"history_length.*at most 37"):
        Marketplace.of_dataset(dataset)
    assert Marketplace.of_dataset(dataset, history_length=LENGTH, slate_size=2).spec.slate_size == 2


def test_an_experiment_may_name_it() -> None:
    assert SIMULATORS["marketplace"] is MarketplaceConfig
    config = parse(MarketplaceConfig, {"num_users": 30, "num_items": 60, "boredom": 1.5}, "simulator")
    simulator = build(config)
    assert isinstance(simulator, Marketplace)
    assert simulator.world.config.boredom == 1.5
    assert simulator.item_features.shape == (60, len(simulator.item_feature_names))
    assert (simulator.users(10, seed=0).observation.history == -1).all()
    assert config_of(SMALL).generator() == dataclasses.replace(SMALL, sessions_per_user=6.0)
    for wrong, key in (({"patience": 0.5}, "patience"), ({"mood": 1}, "mood")):
        with pytest.raises(InputError, match=f"simulator.{key}"):
            parse(MarketplaceConfig, wrong, "simulator")
