"""Every bandit finds the best items of made-up worlds: far above random, and its regret falls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rec_platform.policies.bandits import BANDITS
from rec_platform.policies.bandits.problems import BernoulliWorld, LinearWorld, Play, play

TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "epsilon_greedy": ("epsilon_greedy", {}),
    "optimistic": ("epsilon_greedy", {"epsilon": 0.0, "initial_value": 1.0, "prior_count": 2.0}),
    "softmax": ("softmax", {"temperature": 0.1}),
    "ucb1": ("ucb1", {}),
    "kl_ucb": ("kl_ucb", {}),
    "thompson_beta": ("thompson_beta", {}),
    "thompson_gaussian": ("thompson_gaussian", {"noise": 0.5}),
    "thompson_estimated": ("thompson_gaussian", {"noise": "estimated"}),
    "per_slot": ("epsilon_greedy", {"slots": "per_slot"}),
    "discounted": ("thompson_beta", {"discount": 0.9995}),
    "windowed": ("kl_ucb", {"window": 3000}),
}

LINEAR: dict[str, tuple[str, dict[str, Any]]] = {
    "lin_ucb": ("lin_ucb", {"exploration": 0.5}),
    "lin_ucb_per_item": ("lin_ucb", {"model": "per_item", "exploration": 0.5}),
    "lin_ts": ("lin_ts", {"scale": 0.3}),
    "lin_ts_per_item": ("lin_ts", {"model": "per_item", "scale": 0.3}),
    "lin_ucb_discounted": ("lin_ucb", {"discount": 0.999}),
}


def assert_learned(result: Play) -> None:
    gain, error = result.above_random()
    assert gain >= 10 * error
    assert result.regret_of(0.9, 1.0) <= 0.5 * result.regret_of(0.0, 0.1)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_tables_find_the_best_items(name: str) -> None:
    world = BernoulliWorld.generate(np.random.default_rng(0))
    kind, options = TABLES[name]
    learner = BANDITS[kind](context=["segment"], **options).start(world.space)
    assert_learned(play(learner, world, rounds=500, batch=10, seed=1))


@pytest.mark.parametrize("name", sorted(LINEAR))
def test_linear_ones_find_the_best_items(name: str) -> None:
    world = LinearWorld.generate(np.random.default_rng(0))
    kind, options = LINEAR[name]
    assert_learned(play(BANDITS[kind](**options).start(world.space), world, rounds=200, batch=10, seed=1))


def test_a_context_that_is_not_told_apart_costs() -> None:
    """The worlds have something to learn of the context: without it the best items cannot be found."""
    world = BernoulliWorld.generate(np.random.default_rng(0))
    with_context = play(
        BANDITS["thompson_beta"](context=["segment"]).start(world.space), world, rounds=400, batch=10, seed=1
    )
    without = play(BANDITS["thompson_beta"]().start(world.space), world, rounds=400, batch=10, seed=1)
    assert without.regret_of(0.9, 1.0) > 5 * with_context.regret_of(0.9, 1.0)


@pytest.mark.parametrize(
    ("kind", "options", "forget"),
    [
        ("epsilon_greedy", {}, {"discount": 0.997}),
        ("epsilon_greedy", {}, {"window": 700}),
        ("softmax", {"temperature": 0.05, "initial_value": 1.0}, {"window": 700}),
        ("ucb1", {"exploration": 0.4}, {"discount": 0.999}),
        ("thompson_beta", {}, {"window": 1500}),
    ],
)
def test_forgetting_finds_best_items_that_change(kind: str, options: dict[str, Any], forget: dict[str, Any]) -> None:
    """After each change regret falls again, and lower than that of who remembers everything."""
    world = BernoulliWorld.generate(np.random.default_rng(2), contexts=2, epochs=3, epoch=400)
    settings = BANDITS[kind]
    forgetful, mindful = (
        play(settings(context=["segment"], **options, **drift).start(world.space), world, rounds=1200, batch=10, seed=3)
        for drift in (forget, {})
    )
    gain, error = forgetful.above_random()
    assert gain >= 10 * error
    by_epoch = forgetful.regrets.reshape(3, 400, -1)
    assert (by_epoch[1:, 300:].mean(axis=(1, 2)) <= 0.5 * by_epoch[1:, :40].mean(axis=(1, 2))).all()
    assert forgetful.regrets[400:].mean() < 0.85 * mindful.regrets[400:].mean()
