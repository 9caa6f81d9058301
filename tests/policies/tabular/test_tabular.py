"""Q-learning against value iteration and SARSA against the linear equations of its own policy, on small processes."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from rec_platform.errors import InputError
from rec_platform.policies.context_key import ContextColumn
from rec_platform.policies.online import LearnerSpace
from rec_platform.policies.tabular import TABULAR, TabularLearner, Transitions

STATES, ITEMS, GAMMA = 5, 3, 0.8
SPACE = LearnerSpace(ITEMS, context_names=("state",))
STATE = ContextColumn(name="state", count=STATES - 1)
"""Codes 0 (unknown) to 4."""


class Process:
    """Random moves [S, A, S], rewards [S, A] and chances to end [S, A]."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.moves = rng.dirichlet(np.ones(STATES) * 0.5, (STATES, ITEMS))
        self.rewards = rng.normal(size=(STATES, ITEMS))
        self.ends = rng.uniform(0, 0.2, (STATES, ITEMS))

    def optimal(self) -> np.ndarray:
        """Q* by value iteration."""
        values = np.zeros((STATES, ITEMS))
        for _ in range(500):
            values = self.rewards + GAMMA * (1 - self.ends) * (self.moves @ values.max(axis=1))
        return values

    def of_policy(self, policy: np.ndarray) -> np.ndarray:
        """Q of a fixed ``policy`` [S, A] by solving its Bellman equations."""
        size = STATES * ITEMS
        moves = (self.moves[..., None] * policy).reshape(size, size) * (1 - self.ends).reshape(size, 1)
        values = np.linalg.solve(np.eye(size) - GAMMA * moves, self.rewards.ravel())
        return np.asarray(values).reshape(STATES, ITEMS)

    def walk(self, policy: np.ndarray, steps: int, seed: int) -> Transitions:
        """Transitions of independent walkers, with the item each shows next."""
        rng = np.random.default_rng(seed)

        def draw(table: np.ndarray) -> np.ndarray:
            return np.asarray((rng.random((len(table), 1)) > np.cumsum(table, axis=1)[:, :-1]).sum(axis=1))

        states = rng.integers(STATES, size=steps)
        items = draw(policy[states])
        following = draw(self.moves[states, items])
        rewards = self.rewards[states, items] + 0.3 * rng.standard_normal(steps)
        ended = rng.random(steps) < self.ends[states, items]
        return Transitions(states, items, rewards, following, ended, draw(policy[following]))


def learner(kind: str, **options: object) -> TabularLearner:
    return TABULAR[kind](context=[STATE], gamma=GAMMA, **options).start(SPACE)  # type: ignore[arg-type]


def feed(one: TabularLearner, log: Transitions, batch: int) -> list[float]:
    changes = []
    for start in range(0, len(np.asarray(log.states)), batch):
        rows = slice(start, start + batch)
        names = ("states", "items", "rewards", "next_states", "terminated", "next_items")
        part = Transitions(**{name: np.asarray(getattr(log, name))[rows] for name in names})
        changes.append(one.partial_fit(part).largest_change)
    return changes


def test_q_learning_is_value_iteration_where_nothing_is_chance() -> None:
    """Sure moves and α = 1: sweeps over all states and items are sweeps of value iteration."""
    rng = np.random.default_rng(0)
    states, items = (part.ravel() for part in np.indices((STATES, ITEMS)))
    following, rewards = rng.integers(STATES, size=len(states)), rng.normal(size=len(states))
    ended = rng.random(len(states)) < 0.2
    values = np.zeros((STATES, ITEMS))
    for _ in range(500):
        values = (rewards + GAMMA * np.where(ended, 0, values.max(axis=1)[following])).reshape(STATES, ITEMS)
    settings = TABULAR["q_learning"](context=[STATE], gamma=GAMMA, step_size=1.0, sweeps=300, tolerance=1e-12)
    fitted = settings.start(SPACE)
    fitted.sweep(lambda: [Transitions(states, items, rewards, following, ended)])
    updates = fitted.updates
    assert fitted.values == pytest.approx(values, abs=1e-10)
    assert len(updates) < 300
    assert updates[-1].largest_change <= 1e-12
    assert fitted.cumulative_reward == pytest.approx(rewards.sum() * len(updates))


def test_q_learning_finds_the_optimum_from_random_items() -> None:
    process = Process(1)
    one = learner("q_learning", step_power=0.7)
    changes = feed(one, process.walk(np.full((STATES, ITEMS), 1 / ITEMS), 150_000, 2), 500)
    assert one.values == pytest.approx(process.optimal(), abs=0.08)
    assert (one.values.argmax(axis=1) == process.optimal().argmax(axis=1)).all()
    assert np.mean(changes[-20:]) < 0.1 * np.mean(changes[:20])


def test_sarsa_finds_the_values_of_the_policy_that_is_followed() -> None:
    process = Process(3)
    policy = 0.5 / ITEMS + 0.5 * np.random.default_rng(4).dirichlet(np.ones(ITEMS), STATES)
    log = process.walk(policy, 150_000, 5)
    one, other = learner("sarsa", step_power=0.7), learner("q_learning", step_power=0.7)
    feed(one, log, 500)
    feed(other, log, 500)
    exact = process.of_policy(policy)
    assert one.values == pytest.approx(exact, abs=0.08)
    assert np.abs(other.values - exact).max() > 0.3  # which is not what Q-learning finds


@pytest.mark.parametrize("options", [{}, {"step_power": 0.6}, {"step_size": 0.3}, {"prior_count": 2.0}])
def test_a_batch_is_its_steps_one_after_another(options: dict[str, float]) -> None:
    """Of targets that do not change within it: γ = 0."""
    rng = np.random.default_rng(6)
    states, items, rewards = rng.integers(STATES, size=200), rng.integers(ITEMS, size=200), rng.normal(size=200)
    one = TABULAR["q_learning"](context=[STATE], gamma=0.0, initial_value=0.5, **options).start(SPACE)  # type: ignore[arg-type]
    one.partial_fit(Transitions(states, items, rewards, states, np.zeros(200, bool)))
    values, visits = np.full((STATES, ITEMS), 0.5), np.zeros((STATES, ITEMS))
    for state, item, reward in zip(states, items, rewards, strict=True):
        visits[state, item] += 1
        step = options.get("step_size") or (options.get("prior_count", 0) + visits[state, item]) ** -options.get(
            "step_power", 1.0
        )
        values[state, item] += step * (reward - values[state, item])
    assert one.values == pytest.approx(values, abs=1e-12)
    assert np.array_equal(one.visits, visits)


def test_metrics_say_what_a_batch_did() -> None:
    one = learner("q_learning", step_size=0.5)
    first = one.partial_fit(Transitions([1, 1], [0, 1], [4.0, 2.0], [2, 2], [False, True]))
    assert (first.transitions, first.largest_change, first.mean_change, first.reward) == (2, 2.0, 1.5, 6.0)
    assert first.exploration_rate == 0.0
    second = one.partial_fit(Transitions([1, 1, 3], [0, 1, 2], [0.0, 0.0, 0.0], [3, 3, 1], [False, False, False]))
    assert second.exploration_rate == pytest.approx(1 / 3)  # item 1 where item 0 is better
    assert one.values[3, 2] == pytest.approx(0.5 * GAMMA * 2.0)  # of the value before the batch
    assert one.cumulative_reward == 6.0
    nothing = one.partial_fit(Transitions([], [], [], [], []))
    assert nothing.transitions == 0
    assert np.isnan(nothing.largest_change)


def test_items_that_cannot_be_shown_next_are_not_hoped_for() -> None:
    one = learner("q_learning", step_size=1.0, initial_value=0.0)
    one.values[2] = [1.0, 5.0, 3.0]
    available = np.array([[True, False, True], [False, False, False]])
    one.partial_fit(Transitions([0, 1], [0, 0], [0.0, 1.0], [2, 2], [False, False], None, available))
    assert one.values[:2, 0] == pytest.approx([GAMMA * 3.0, 1.0])


def test_sarsa_leaves_out_what_it_cannot_know() -> None:
    one = learner("sarsa", step_size=1.0)
    update = one.partial_fit(
        Transitions([0, 1, 2], [0, 0, 0], [1.0, 1.0, 1.0], [1, 1, 9], [False, False, True], [-1, 2, -1])
    )
    assert update.transitions == 2
    assert one.values[:3, 0].tolist() == [0.0, 1.0, 1.0]
    with pytest.raises(InputError, match="shown next"):
        one.partial_fit(Transitions([0], [0], [1.0], [1], [False]))


def test_values_start_from_counts_and_a_state_is_taken_up_again() -> None:
    space = LearnerSpace(ITEMS, context_names=("state",), quantities=np.array([1.0, 2.0, 3.0]))
    settings = TABULAR["q_learning"](context=[STATE], initial_from_counts=True)
    one = settings.start(space)
    assert (one.values == [1.0, 2.0, 3.0]).all()
    one.partial_fit(Transitions([1], [0], [9.0], [1], [True]))
    other = settings.start(space)
    other.set_state(one.state())
    assert np.array_equal(other.values, one.values)
    assert other.cumulative_reward == 9.0
    with pytest.raises(InputError, match="state"):
        other.set_state({})


def test_bad_transitions_name_what_is_wrong() -> None:
    one = learner("q_learning")
    for wrong, match in (
        (Transitions([9], [0], [0.0], [0], [False]), "states"),
        (Transitions([0], [9], [0.0], [0], [False]), "items"),
        (Transitions([0], [0], [0.0], [-1], [False]), "next_states"),
        (Transitions([0], [0], [np.nan], [0], [False]), "finite"),
        (Transitions([0, 1], [0], [0.0], [0], [False]), "lengths"),
    ):
        with pytest.raises(InputError, match=match):
            one.partial_fit(wrong)
    for options in ({"gamma": 1.0}, {"step_size": 0.0}, {"step_power": 0.5}):
        with pytest.raises(ValidationError):
            TABULAR["sarsa"](**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(TABULAR))
def test_it_beats_random_where_the_first_item_is_a_detour(kind: str) -> None:
    """A small item earns now, another one leads to where much is earned: learned while shown, far above random."""
    rng = np.random.default_rng(7)
    one = learner(kind, step_power=0.7, initial_value=1.0, epsilon=0.1)
    walkers, rounds = 40, 300
    states = np.ones(walkers, np.int64)
    rewards, random = np.zeros((rounds, walkers)), np.zeros((rounds, walkers))
    random_states = states.copy()
    pending: Transitions | None = None

    def world(at: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Item 0 earns 0.2 in state 1, item 1 leads to state 2, where item 2 earns 1; all else leads back to 1."""
        earned = 0.2 * ((at == 1) & (shown == 0)) + 1.0 * ((at == 2) & (shown == 2))
        return earned, np.where((at == 1) & (shown == 1), 2, 1)

    for time in range(rounds):
        greedy = one.values[states].argmax(axis=1)
        items = np.where(rng.random(walkers) < 0.1, rng.integers(ITEMS, size=walkers), greedy)
        if pending is not None:
            one.partial_fit(
                Transitions(pending.states, pending.items, pending.rewards, states, pending.terminated, items)
            )
        rewards[time], following = world(states, items)
        pending = Transitions(states, items, rewards[time], following, np.zeros(walkers, bool))
        states = following
        random[time], random_states = world(random_states, rng.integers(ITEMS, size=walkers))
    gain = (rewards - random).mean(axis=0)  # by walker: a walker's rewards hang together
    assert gain.mean() >= 10 * gain.std(ddof=1) / np.sqrt(walkers)
    assert 0.5 - rewards[-30:].mean() < 0.35 * (0.5 - rewards[:30].mean()) + 0.05  # the best earns 1 every other time
