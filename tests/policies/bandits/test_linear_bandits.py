"""LinUCB and LinTS against direct solutions of the normal equations, on the same stream of events."""

from __future__ import annotations

from typing import SupportsIndex

import numpy as np
import pytest

from rec_platform.errors import InputError
from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.bandits.linear import LinearBandit, LinearSettings
from rec_platform.policies.bandits.problems import LinearWorld
from rec_platform.policies.bandits.ridge import Ridge
from rec_platform.policies.context_key import ContextColumn
from rec_platform.policies.online import LearnerSpace
from rec_platform.types import Observation

USERS, DIMENSIONS, ITEMS = 2, 2, 6
ITEM_FEATURES = np.random.default_rng(0).normal(size=(ITEMS, DIMENSIONS)).astype(np.float32)
SPACE = LearnerSpace(ITEMS, 2, ("u0", "u1"), ("weekday", "load"), ITEM_FEATURES)


def observe(batch: int, rng: np.random.Generator) -> Observation:
    context = np.stack([rng.integers(-1, 7, batch), rng.normal(size=batch)], axis=1)
    candidates = np.tile(np.arange(ITEMS, dtype=np.int32), (batch, 1))
    candidates[rng.random(candidates.shape) < 0.2] = -1
    candidates[:, 0] = 0
    return Observation(
        rng.normal(size=(batch, USERS)).astype(np.float32),
        np.zeros((batch, 0), np.int32),
        np.zeros((batch, 0), np.float32),
        context.astype(np.float32),
        candidates,
    )


def features(observation: Observation, row: SupportsIndex, item: SupportsIndex, *, joint: bool) -> np.ndarray:
    """[1, z, y, z ⊗ y] by hand: z = weekday one-hot, user, load."""
    weekday = np.zeros(7)
    if observation.context[row, 0] >= 0:
        weekday[int(observation.context[row, 0])] = 1.0
    z = np.concatenate([weekday, observation.user_features[row], observation.context[row]])
    if not joint:
        return np.concatenate([[1.0], z])
    y = ITEM_FEATURES[item]
    return np.concatenate([[1.0], z, y, np.outer(z, y).ravel()])


def settings(kind: str, **options: object) -> LinearSettings:
    built = BANDITS[kind](context=["weekday"], columns=("user", "context"), **options)  # type: ignore[call-arg]
    assert isinstance(built, LinearSettings)
    return built


@pytest.mark.parametrize("model", ["shared", "per_item"])
@pytest.mark.parametrize("batch", [1, 5, 200])
def test_linucb_chooses_as_the_normal_equations_say(model: str, batch: int) -> None:
    """Every request of a stream is answered as by solving (λ I + Σ x xᵀ) θ = Σ r x anew."""
    rng = np.random.default_rng(1)
    learner = settings("lin_ucb", model=model, exploration=0.8, regularisation=0.5).start(SPACE)
    joint = model == "shared"
    size = len(features(observe(1, rng), 0, 0, joint=joint))
    models = 1 if joint else ITEMS
    gram, target = np.stack([0.5 * np.eye(size)] * models), np.zeros((models, size))
    for _ in range(400 // batch):
        observation = observe(batch, rng)
        policy = learner.policy("lin_ucb")
        scores = policy.scorer.score(observation).values
        chosen = policy.decide(observation, 1, rng).positions[:, 0]
        for row in range(batch):
            expected = np.full(ITEMS, -np.inf)
            for item in np.flatnonzero(observation.available[row]):
                x, m = features(observation, row, item, joint=joint), 0 if joint else item
                expected[item] = x @ np.linalg.solve(gram[m], target[m])
                expected[item] += 0.8 * np.sqrt(x @ np.linalg.solve(gram[m], x))
            assert scores[row, observation.available[row]] == pytest.approx(
                expected[observation.available[row]], rel=1e-5, abs=1e-5
            )
            order = np.sort(expected)
            assert chosen[row] == expected.argmax() or order[-1] - order[-2] < 1e-5
        rewards = rng.normal(size=batch) + chosen
        learner.partial_fit(observation, chosen, rewards)
        for row, (item, reward) in enumerate(zip(chosen, rewards, strict=True)):
            x, m = features(observation, row, item, joint=joint), 0 if joint else item
            gram[m] += np.outer(x, x)
            target[m] += reward * x


def test_lints_believes_what_the_paper_says() -> None:
    """Scores are N(x · θ, v² xᵀ A^-1 x) and hang together by xᵀ A^-1 x'."""
    rng = np.random.default_rng(2)
    shared = settings("lin_ts", scale=0.7).start(SPACE)
    alone = settings("lin_ts", model="per_item", scale=0.7).start(SPACE)
    observation = observe(80, rng)
    items, rewards = rng.integers(ITEMS, size=(80, 2)), rng.normal(size=(80, 2))
    for learner in (shared, alone):
        learner.partial_fit(observation, items, rewards)
    new = observe(3, rng)
    joint, own = shared.scorer().score(new), alone.scorer().score(new)
    assert joint.loadings is not None
    assert own.spread is not None
    x = np.array([features(observation, row, i, joint=True) for row in range(80) for i in items[row]])
    gram = np.eye(x.shape[1]) + x.T @ x
    for row in range(3):
        left = np.flatnonzero(new.available[row])
        asked = np.array([features(new, row, item, joint=True) for item in left])
        assert joint.values[row, left] == pytest.approx(asked @ np.linalg.solve(gram, x.T @ rewards.ravel()), abs=1e-5)
        loadings = joint.loadings[row, left].astype(np.float64)
        assert loadings @ loadings.T == pytest.approx(0.49 * asked @ np.linalg.solve(gram, asked.T), abs=1e-5)
        for item in left:
            own_rows, slot = np.nonzero(items == item)
            z = np.array([features(observation, r, item, joint=False) for r in own_rows])
            own_gram = np.eye(z.shape[1]) + z.T @ z
            request = features(new, row, item, joint=False)
            mean = request @ np.linalg.solve(own_gram, z.T @ rewards[own_rows, slot])
            assert own.values[row, item] == pytest.approx(mean, abs=1e-5)
            deviation = 0.7 * np.sqrt(request @ np.linalg.solve(own_gram, request))
            assert own.spread[row, item] == pytest.approx(deviation, rel=1e-5)


@pytest.mark.parametrize("discount", [1.0, 0.95])
def test_rank_one_updates_stay_near_the_inverse(discount: float) -> None:
    rng = np.random.default_rng(3)
    ridge = Ridge(8, 0.3, discount)
    x, rewards = rng.normal(size=(2500, 8)) * np.logspace(-2, 2, 8), rng.normal(size=2500)
    worst = 0.0
    for row in range(2500):
        ridge.add(x[row : row + 1], rewards[row : row + 1])
        if row % 250 == 249:
            weights = discount ** np.arange(row, -1, -1)
            gram = 0.3 * np.eye(8) + (x[: row + 1] * weights[:, None]).T @ x[: row + 1]
            target = (weights * rewards[: row + 1]) @ x[: row + 1]
            worst = max(worst, float(np.abs(ridge.inverse @ gram - np.eye(8)).max()))
            assert ridge.theta == pytest.approx(np.linalg.solve(gram, target), rel=1e-6, abs=1e-9)
            assert ridge.root @ ridge.root.T == pytest.approx(ridge.inverse, rel=1e-9, abs=1e-12)
    assert worst < 1e-6


def test_a_batch_is_its_rows_one_after_another() -> None:
    rng = np.random.default_rng(4)
    x, rewards = rng.normal(size=(30, 4)), rng.normal(size=30)
    for discount in (1.0, 0.9):
        whole, rows = Ridge(4, 1.0, discount), Ridge(4, 1.0, discount)
        whole.add(x, rewards)
        for row in range(30):
            rows.add(x[row : row + 1], rewards[row : row + 1])
        assert whole.theta == pytest.approx(rows.theta, abs=1e-10)
        assert whole.inverse == pytest.approx(rows.inverse, abs=1e-10)


@pytest.mark.parametrize("kind", ["lin_ucb", "lin_ts"])
@pytest.mark.parametrize("model", ["shared", "per_item"])
def test_a_state_goes_on_to_the_last_bit(kind: str, model: str) -> None:
    rng = np.random.default_rng(5)
    chosen = settings(kind, model=model)
    one = chosen.start(SPACE)
    one.partial_fit(observe(20, rng), rng.integers(ITEMS, size=20), rng.normal(size=20))
    other = chosen.restore(SPACE, one.state())
    more, items, rewards = observe(9, rng), rng.integers(ITEMS, size=9), rng.normal(size=9)
    for learner in (one, other):
        learner.partial_fit(more, items, rewards)
    assert np.array_equal(one.scorer().score(more).values, other.scorer().score(more).values)


def test_rows_are_scored_alike_alone_and_in_a_batch() -> None:
    """Bit for bit: the draws of LinTS are seeded by the scores."""
    rng = np.random.default_rng(6)
    world = LinearWorld.generate(rng)
    learner = BANDITS["lin_ts"]().start(world.space)
    observation = world.observe(40, rng)
    learner.partial_fit(observation, rng.integers(12, size=40), rng.normal(size=40))
    scorer = learner.scorer()
    together = scorer.score(observation)
    assert together.loadings is not None
    for row in (0, 7, 39):
        alone = scorer.score(observation.take(np.array([row])))
        assert np.array_equal(alone.values[0], together.values[row])
        assert alone.loadings is not None
        assert np.array_equal(alone.loadings[0], together.loadings[row])


def test_bad_settings_name_what_is_wrong() -> None:
    with pytest.raises(InputError, match="features of items"):
        BANDITS["lin_ucb"]().start(LearnerSpace(ITEMS))
    many = LearnerSpace(ITEMS, item_features=np.zeros((ITEMS, 100), np.float32), context_names=("user",))
    with pytest.raises(InputError, match="too many"):
        BANDITS["lin_ts"](context=[ContextColumn(name="user", count=50)]).start(many)
    learner = BANDITS["lin_ucb"](columns=()).start(SPACE)  # type: ignore[call-arg]
    assert isinstance(learner, LinearBandit)
    with pytest.raises(InputError, match="state"):
        learner.set_state({})
