"""Logs of known truth, to study and to time estimators: worlds so small that a policy's value is an exact sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.evaluation.off_policy.episode_feedback import EpisodeFeedback
from rec_platform.evaluation.off_policy.slate.pairs import plackett_luce_slates, tables_of
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback

Rng = np.random.Generator


@dataclass(frozen=True)
class Problem:
    """A behaviour policy, a target and a world.

    Attributes:
        name: the setting's.
        truth: the target's value.
        largest: the largest importance weight of a unit times its largest reward: terms lie in [0, largest].
        log: a fresh log of n units.
        categories: int [A] of actions, for single items.
        valid: which estimators' assumptions hold here: those that are consistent in this world, by what they assume of
            it (full support and exact propensities hold in all). Not those that shrink weights or believe a model.
    """

    name: str
    truth: float
    largest: float
    log: Callable[[int, Rng], Any]
    categories: np.ndarray | None
    valid: frozenset[str]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    mass = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return mass / mass.sum(axis=-1, keepdims=True)


def draw(probabilities: np.ndarray, rng: Rng) -> np.ndarray:
    """One index a row of [n, A]."""
    points = rng.random((len(probabilities), 1)) * probabilities.sum(axis=1, keepdims=True)
    return np.minimum((np.cumsum(probabilities, axis=1) < points).sum(axis=1), probabilities.shape[1] - 1)


def bandit(contexts: int = 12, actions: int = 12, kinds: int = 4) -> Problem:
    """Clicks on one item; the chance depends on the user's type and the item's category."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(contexts, 4))
    categories = np.arange(actions) % kinds
    chance = 0.05 + 0.5 / (1.0 + np.exp(-(features @ rng.normal(size=(4, kinds)))[:, categories] + 1.0))
    behaviour = 0.9 * softmax(rng.normal(size=(contexts, actions))) + 0.1 / actions
    target = softmax(6.0 * chance + 0.5 * rng.normal(size=(contexts, actions)))

    def log(n: int, rng: Rng) -> BanditFeedback:
        x = rng.integers(contexts, size=n)
        taken = draw(behaviour[x], rng)
        return BanditFeedback(
            actions=taken,
            rewards=(rng.random(n) < chance[x, taken]).astype(float),
            behaviour=behaviour[x, taken],
            target=target[x, taken],
            contexts=features[x],
            target_all=target[x],
            behaviour_all=behaviour[x],
            available=np.full(n, actions),
        )

    valid = {"ips", "snips", "dr", "sndr", "mips"}
    truth = float((target * chance).sum(axis=1).mean())
    return Problem("bandit", truth, float((target / behaviour).max()), log, categories, frozenset(valid))


def slate(*, cascade: bool, contexts: int = 4, candidates: int = 6, slots: int = 3) -> Problem:
    """Clicks on a slate of three; with ``cascade`` an item suffers from its likes above it."""
    rng = np.random.default_rng(11)
    appeal = 0.1 + 0.5 * rng.random((contexts, candidates))
    decay = np.array([1.0, 0.8, 0.6])
    base, goal = rng.normal(size=(contexts, candidates)), 3.0 * appeal
    tables = []
    for x in range(contexts):
        slates, logged = plackett_luce_slates(0.7 * base[x], slots)
        _, wanted = plackett_luce_slates(goal[x] + 0.7 * base[x], slots)
        chance = decay * appeal[x][slates]
        if cascade:
            alike = (slates[:, :, None] % 3 == slates[:, None, :] % 3) & np.tri(slots, k=-1, dtype=bool)
            chance = chance * np.where(alike.any(axis=2), 0.2, 1.0)
        tables.append((slates, logged, wanted, chance))
    slates = tables[0][0]
    logged, wanted = np.stack([t[1] for t in tables]), np.stack([t[2] for t in tables])
    chance = np.stack([t[3] for t in tables])
    behaviour_slots, pairs = zip(*(tables_of(slates, row, candidates) for row in logged), strict=True)
    target_slots = [tables_of(slates, row, candidates)[0] for row in wanted]
    mass_b, mass_t = np.exp(0.7 * base), np.exp(goal + 0.7 * base)

    def steps(mass: np.ndarray, x: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Step probabilities of all candidates [n, k, M]."""
        left = np.repeat(mass[x][:, None, :], slots, axis=1)
        rows = np.arange(len(x))
        for slot in range(1, slots):
            for earlier in range(slot):
                left[rows, slot, items[:, earlier]] = 0.0
        return left / left.sum(axis=2, keepdims=True)

    def log(n: int, rng: Rng) -> SlateFeedback:
        x = rng.integers(contexts, size=n)
        which = draw(logged[x], rng)
        items = slates[which]
        rows, columns = np.arange(n)[:, None], np.arange(slots)
        tables_t, tables_b = steps(mass_t, x, items), steps(mass_b, x, items)
        marginals_b, marginals_t = np.stack(behaviour_slots), np.stack(target_slots)
        return SlateFeedback(
            items=items,
            rewards=(rng.random((n, slots)) < chance[x, which]).astype(float),
            behaviour_steps=tables_b[rows, columns, items],
            target_steps=tables_t[rows, columns, items],
            behaviour_marginals=marginals_b[x[:, None], columns, items],
            target_marginals=marginals_t[x[:, None], columns, items],
            target_slots=marginals_t[x],
            behaviour_pairs=np.stack(pairs),
            pair_rows=x,
            target_step_tables=tables_t,
        )

    valid = {"slate_ips", "slate_snips", "reward_interaction_ips", "reward_interaction_snips", "cascade_dr"}
    valid |= {"cascade_sndr"}
    if not cascade:
        valid |= {"independent_ips", "independent_snips", "pseudo_inverse"}
    truth = float((wanted[:, :, None] * chance).sum(axis=(1, 2)).mean())
    name = "slate_cascade" if cascade else "slate_independent"
    return Problem(name, truth, 3.0 * float((wanted / logged).max()), log, None, frozenset(valid))


def sequential(states: int = 4, actions: int = 3, horizon: int = 4, gamma: float = 0.95) -> Problem:
    """Sessions of at most four steps in a small Markov decision process; the step is part of the state."""
    rng = np.random.default_rng(5)
    moves = rng.dirichlet(np.ones(states), size=(states, actions))
    chance = rng.random((states, actions))
    stay = np.full((states, actions), 0.9)
    behaviour = 0.7 * softmax(rng.normal(size=(states, actions))) + 0.3 / actions
    value = np.zeros(states)
    target = softmax(2.0 * chance)
    for _ in range(horizon):
        value = (target * (chance + gamma * stay * (moves @ value))).sum(axis=1)

    def log(n: int, rng: Rng) -> EpisodeFeedback:
        state, alive = rng.integers(states, size=n), np.ones(n, dtype=bool)
        columns: dict[str, list[np.ndarray]] = {key: [] for key in ("state", "action", "reward", "over", "alive")}
        for step in range(horizon):
            action = draw(behaviour[state], rng)
            over = (rng.random(n) > stay[state, action]) | (step == horizon - 1)
            reward = (rng.random(n) < chance[state, action]).astype(float)
            for key, part in zip(columns, (state + step * states, action, reward, over, alive), strict=True):
                columns[key].append(part)
            state, alive = draw(moves[state, action], rng), alive & ~over
        lived = np.stack(columns["alive"], axis=1)
        flat = {key: np.stack(parts, axis=1)[lived] for key, parts in columns.items()}
        here = flat["state"] % states
        return EpisodeFeedback(
            offsets=np.concatenate([[0], np.cumsum(lived.sum(axis=1))]),
            rewards=flat["reward"],
            behaviour=behaviour[here, flat["action"]],
            target=target[here, flat["action"]],
            terminated=flat["over"],
            gamma=gamma,
            states=flat["state"],
            actions=flat["action"],
            target_all=target[here],
        )

    valid = {"trajectory_is", "trajectory_snis", "per_decision_is", "per_decision_snis", "sequential_dr"}
    valid |= {"sequential_sndr"}
    largest = float((target / behaviour).max()) ** horizon * horizon
    return Problem("sequential", float(value.mean()), largest, log, None, frozenset(valid))
