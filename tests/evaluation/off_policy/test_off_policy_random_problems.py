"""Random tiny problems whose truth is a sum over all that can happen: drawn logs must find it, own logs their mean.

Errors of one problem are held to four standard errors; over all problems they must cancel, which finds a bias that is
small beside the noise of one log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_platform.evaluation.off_policy import (
    IPS,
    SNIPS,
    BanditFeedback,
    CascadeDR,
    ClippedIPS,
    DirectMethod,
    DoublyRobust,
    EpisodeFeedback,
    FittedQ,
    IndependentIPS,
    Magic,
    MarginalisedIPS,
    OnPolicy,
    OptimisticShrinkageDR,
    PerDecisionIS,
    PseudoInverse,
    RewardInteractionIPS,
    SelfNormalisedDR,
    SequentialDR,
    SlateFeedback,
    SlateIPS,
    SubGaussianIPS,
    SwitchDR,
    TrajectoryIS,
)

N, SEEDS = 2500, 60
Drawn = tuple[Any, float]
Estimates = dict[str, Callable[[Any], Any]]


def policy(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random distributions over the last axis, none of whose probabilities is tiny."""
    return 0.6 * rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]) + 0.4 / shape[-1]


def choose(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index a row of [n, A]."""
    return np.asarray((probabilities.cumsum(axis=1)[:, :-1] < rng.random((len(probabilities), 1))).sum(axis=1))


def bandit(seed: int, *, by_category: bool = False, own: bool = False, n: int = N) -> Drawn:
    rng = np.random.default_rng([1, seed])
    users, actions = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    behaviour = policy(rng, users, actions)
    target = behaviour if own else policy(rng, users, actions)
    chance = rng.random((users, 2))[:, np.arange(actions) % 2] if by_category else rng.random((users, actions))
    x = rng.integers(users, size=n)
    a = choose(behaviour[x], rng)
    log = BanditFeedback(
        actions=a,
        rewards=(rng.random(n) < chance[x, a]).astype(float),
        behaviour=behaviour[x, a],
        target=target[x, a],
        contexts=np.eye(users)[x],
        target_all=target[x],
        behaviour_all=behaviour[x],
    )
    truth = sum(target[u, b] * chance[u, b] for u, b in product(range(users), range(actions))) / users
    return log, float(truth)


def marginalised(log: BanditFeedback) -> Any:
    return MarginalisedIPS(np.arange(log.action_count) % 2).estimate(log)


def slates(seed: int, *, kind: str, own: bool = False, n: int = N) -> Drawn:
    """Clicks that depend on the whole slate ("free"), on the items up to their slot ("cascade"), or on their own."""
    rng = np.random.default_rng([2, seed])
    users, items, k = int(rng.integers(1, 3)), 4, int(rng.integers(2, 4))
    every = np.array(list(permutations(range(items), k)))
    behaviour = policy(rng, users, len(every))
    target = behaviour if own else policy(rng, users, len(every))
    seen: dict[Any, float] = {}
    chance = np.empty((users, len(every), k))
    for u, row, j in product(range(users), range(len(every)), range(k)):
        slate = tuple(int(i) for i in every[row])
        known = {"free": slate, "cascade": slate[: j + 1], "independent": slate[j : j + 1]}[kind]
        chance[u, row, j] = seen.setdefault((u, j, known), rng.random())
    alphas = rng.random(k) + 0.5
    x = rng.integers(users, size=n)
    which = choose(behaviour[x], rng)
    shown, columns = every[which], np.arange(k)
    flags = (every[:, :, None] == np.arange(items)).reshape(len(every), k * items).astype(float)
    slots = {name: (part @ flags).reshape(users, k, items) for name, part in (("b", behaviour), ("t", target))}
    tables = {name: steps(part, every, items)[x, which] for name, part in (("b", behaviour), ("t", target))}
    rows = np.arange(n)[:, None]
    log = SlateFeedback(
        items=shown,
        rewards=(rng.random((n, k)) < chance[x, which]).astype(float),
        slot_weights=alphas,
        behaviour_steps=tables["b"][rows, columns, shown],
        target_steps=tables["t"][rows, columns, shown],
        behaviour_marginals=slots["b"][x[:, None], columns, shown],
        target_marginals=slots["t"][x[:, None], columns, shown],
        target_slots=slots["t"][x],
        behaviour_pairs=np.minimum(np.einsum("us,sa,sb->uab", behaviour, flags, flags), 1.0),
        pair_rows=x,
        target_step_tables=tables["t"],
    )
    return log, float(np.einsum("us,usk,k->", target, chance, alphas) / users)


def steps(probabilities: np.ndarray, every: np.ndarray, items: int) -> np.ndarray:
    """P(item in slot | slots before) [U, S, k, M] of distributions [U, S] over slates, by summing."""
    found = np.zeros((*probabilities.shape, every.shape[1], items))
    for row, slate in enumerate(every):
        for slot in range(every.shape[1]):
            same = (every[:, :slot] == slate[:slot]).all(axis=1)
            for item in range(items):
                here = same & (every[:, slot] == item)
                found[:, row, slot, item] = probabilities[:, here].sum(axis=1) / probabilities[:, same].sum(axis=1)
    return found


def episodes(seed: int, *, own: bool = False, n: int = N) -> Drawn:
    """Two steps at most: a first state, an action, perhaps the end, a second state, an action."""
    rng = np.random.default_rng([3, seed])
    states, actions, gamma = int(rng.integers(1, 4)), int(rng.integers(2, 4)), float(rng.choice([0.5, 0.9, 1.0]))
    behaviour = policy(rng, 2, states, actions)
    target = behaviour if own else policy(rng, 2, states, actions)
    start, moves = policy(rng, states), policy(rng, states, actions, states)
    ends, chance = 0.5 * rng.random((states, actions)), rng.random((2, states, actions))
    truth = 0.0
    for s, do in product(range(states), range(actions)):
        reached = start[s] * target[0, s, do]
        truth += reached * chance[0, s, do]
        for t, then in product(range(states), range(actions)):
            on = reached * (1 - ends[s, do]) * moves[s, do, t] * target[1, t, then]
            truth += on * gamma * chance[1, t, then]
    first = choose(np.tile(start, (n, 1)), rng)
    a = choose(behaviour[0, first], rng)
    over, second = rng.random(n) < ends[first, a], choose(moves[first, a], rng)
    b = choose(behaviour[1, second], rng)
    lived = np.stack([np.ones(n, dtype=bool), ~over], axis=1)
    step, state, action = (
        np.tile([0, 1], (n, 1))[lived],
        np.stack([first, second], 1)[lived],
        np.stack([a, b], 1)[lived],
    )
    return EpisodeFeedback(
        offsets=np.concatenate([[0], np.cumsum(lived.sum(axis=1))]),
        rewards=(rng.random(len(step)) < chance[step, state, action]).astype(float),
        behaviour=behaviour[step, state, action],
        target=target[step, state, action],
        terminated=np.stack([over, np.ones(n, dtype=bool)], axis=1)[lived],
        gamma=gamma,
        states=state + step * states,
        actions=action,
        target_all=target[step, state],
    ), float(truth)


WHOLE: list[Any] = [SlateIPS(), SlateIPS(True)]
CASCADE: list[Any] = [*WHOLE, RewardInteractionIPS(), RewardInteractionIPS(True), CascadeDR(), CascadeDR(True)]
LINEAR: list[Any] = [*CASCADE, IndependentIPS(), IndependentIPS(True), PseudoInverse(), PseudoInverse(False, True)]
SEQUENTIAL: list[Any] = [kind(sn) for kind in (TrajectoryIS, PerDecisionIS, SequentialDR) for sn in (False, True)]
ITEMS: list[Any] = [IPS(), SNIPS(), DoublyRobust(), SelfNormalisedDR(), ClippedIPS(np.inf), SwitchDR(np.inf)]


def named(estimators: list[Any]) -> Estimates:
    return {f"{one.name} {number}": one.estimate for number, one in enumerate(estimators)}


@pytest.mark.parametrize(
    ("problem", "estimates"),
    [
        pytest.param(bandit, named(ITEMS), id="items"),
        pytest.param(lambda seed: bandit(seed, by_category=True), {"mips": marginalised}, id="categories"),
        pytest.param(lambda seed: slates(seed, kind="free"), named(WHOLE), id="slates"),
        pytest.param(lambda seed: slates(seed, kind="cascade"), named(CASCADE), id="cascade"),
        pytest.param(lambda seed: slates(seed, kind="independent"), named(LINEAR), id="independent"),
        pytest.param(episodes, named(SEQUENTIAL), id="episodes"),
    ],
)
def test_unbiased_within_four_standard_errors_of_the_enumerated_truth(
    problem: Callable[[int], Drawn], estimates: Estimates
) -> None:
    gaps: dict[str, list[float]] = {name: [] for name in estimates}
    for seed in range(SEEDS):
        log, truth = problem(seed)
        for name, estimate in estimates.items():
            found = estimate(log)
            assert 0 < found.standard_error < 0.5, name
            gaps[name].append((found.value - truth) / found.standard_error)
    for name, part in gaps.items():
        assert np.abs(part).max() < 4, name
        assert abs(np.sum(part)) / np.sqrt(SEEDS) < 4, name
        assert 0.6 < np.sqrt(np.mean(np.square(part))) < 1.5, name  # the standard errors are those of the errors


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100_000))
def test_own_items_have_the_logs_mean(seed: int) -> None:
    log, _ = bandit(seed, own=True, n=60)
    mean = float(log.rewards.mean())
    flat = log.with_model(np.full((60, log.action_count), 0.3))
    for estimator in (*ITEMS, OnPolicy(), SubGaussianIPS(), SubGaussianIPS(0.3), SwitchDR(1.0), ClippedIPS(1.0)):
        assert estimator.estimate(flat).value == pytest.approx(mean, abs=1e-12), estimator.name
    assert marginalised(log).value == pytest.approx(mean, abs=1e-12)
    for model in (DirectMethod(), OptimisticShrinkageDR(5.0)):
        told = model.estimate(log.with_model(np.full((60, log.action_count), mean)))
        assert told.value == pytest.approx(mean, abs=1e-12), model.name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["free", "cascade", "independent"]))
def test_own_slates_have_the_logs_mean(seed: int, kind: str) -> None:
    log, _ = slates(seed, kind=kind, own=True, n=60)
    ahead = np.tile(np.arange(log.slots, 0, -1) * 0.2, (60, 1))  # the same of every item of a slot
    flat = replace(log, q_hat=ahead, v_hat=ahead)
    mean = float(log.weighted_rewards.sum(axis=1).mean())
    for estimator in LINEAR:
        assert estimator.estimate(flat).value == pytest.approx(mean, abs=1e-9), estimator.name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100_000))
def test_own_episodes_have_the_logs_mean(seed: int) -> None:
    log, _ = episodes(seed, own=True, n=60)
    flat = replace(log, q_hat=np.full(len(log.rewards), 0.4), v_hat=np.full(len(log.rewards), 0.4))
    mean = float(log.discounted_rewards.sum(axis=1).mean())
    for estimator in SEQUENTIAL:
        assert estimator.estimate(flat).value == pytest.approx(mean, abs=1e-12), estimator.name
    to_go = log.padded(log.rewards)  # models are believed even here: one that says the mean of what is still to come
    to_go[:, 0] += log.gamma * to_go[:, 1:].sum(axis=1)
    alive = np.arange(to_go.shape[1]) < log.lengths[:, None]
    ahead = np.broadcast_to(to_go.sum(axis=0) / alive.sum(axis=0), to_go.shape)[alive]
    for model in (FittedQ(), Magic()):
        value = model.estimate(replace(log, q_hat=ahead, v_hat=ahead)).value
        assert value == pytest.approx(mean, abs=1e-12), model.name
