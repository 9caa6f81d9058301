"""How users of the marketplace behave: choice, purchase, boredom, patience. Many sessions a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.generator.world import CATEGORIES, World
from rec_platform.types import Bool, Float64

BATCH = 2000
"""Sessions simulated at once: bounds memory to a few arrays of BATCH × N."""


@dataclass(frozen=True, slots=True)
class MarketState:
    """B live sessions as a policy sees them.

    Attributes:
        users: int64 [B] rows of the world.
        fatigue: [B, C] recent consumption of each category.
        affinity: [B, N] true utility to the rested user.
        category: int64 [N].
        boredom: utility lost for one unit of fatigue.
        step: slates shown before this one.
    """

    users: NDArray[np.int64]
    fatigue: Float64
    affinity: Float64
    category: NDArray[np.int64]
    boredom: float
    step: int

    @property
    def utility(self) -> Float64:
        """True utility [B, N] now."""
        return self.affinity - self.boredom * self.fatigue[:, self.category]


MarketPolicy = Callable[[MarketState, int, np.random.Generator], tuple[NDArray, Float64]]
"""(state, slate size k, rng) -> slate int [B, k] of distinct items, propensities [B, k] (all 1 where deterministic)."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """What happened: one row a decision, sorted by (session, step). S sessions, D decisions.

    Attributes:
        session: int64 [D] which of the S sessions. step: int64 [D] from 0.
        slate: int64 [D, k]. propensities: [D, k].
        chosen: int64 [D] slot clicked, -1 = none. purchased: bool [D].
    """

    session: NDArray[np.int64]
    step: NDArray[np.int64]
    slate: NDArray[np.int64]
    propensities: Float64
    chosen: NDArray[np.int64]
    purchased: NDArray[np.bool_]

    @property
    def clicked_item(self) -> NDArray[np.int64]:
        """Int64 [D], -1 = none."""
        item = np.take_along_axis(self.slate, np.maximum(self.chosen, 0)[:, None], axis=1)[:, 0]
        return np.where(self.chosen >= 0, item, -1)

    def reward(self, purchase_reward: float) -> Float64:
        """[D]: 1 for a click, and ``purchase_reward`` for a purchase."""
        return (self.chosen >= 0) + purchase_reward * self.purchased


def simulate_sessions(world: World, users: NDArray, policy: MarketPolicy, rng: np.random.Generator) -> Sessions:
    """One session for each row of ``users`` int [S] (rows of the world; may repeat), each starting rested.

    A step: the policy shows a slate; the user takes one item of it or nothing by a multinomial logit over utilities and
    `null_utility`; a click becomes a purchase with probability σ(utility − 2); fatigue decays and grows by 1 in the
    clicked category; patience falls by 1, or by less where the click pleased (by 0.5 at utility `null_utility`). The
    session ends when patience, which starts between 0.5 and 1.5 times `patience`, is used up, or after `max_steps`.
    """
    parts = [
        _simulate(world, np.asarray(users[start : start + BATCH], dtype=np.int64), policy, rng, first=start)
        for start in range(0, len(users), BATCH)
    ]
    joined = [np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Sessions)]
    order = np.lexsort((joined[1], joined[0]))
    return Sessions(*(column[order] for column in joined))


def _simulate(world: World, users: NDArray, policy: MarketPolicy, rng: np.random.Generator, *, first: int) -> Sessions:
    config = world.config
    session = np.arange(first, first + len(users))
    fatigue = np.zeros((len(users), len(CATEGORIES)))
    affinity = world.affinity(users)
    patience = config.patience * rng.uniform(0.5, 1.5, size=len(users))
    rows: list[tuple[NDArray, ...]] = []
    for step in range(config.max_steps):
        state = MarketState(users, fatigue, affinity, world.category, config.boredom, step)
        slate, propensities = policy(state, config.slate_size, rng)
        utility = np.take_along_axis(affinity, slate, axis=1)
        utility -= config.boredom * np.take_along_axis(fatigue, world.category[slate], axis=1)
        # Gumbel noise on every utility makes the largest one a multinomial-logit choice.
        noisy = utility + rng.gumbel(size=utility.shape)
        clicked = noisy.max(axis=1) > config.null_utility + rng.gumbel(size=len(users))
        chosen = np.where(clicked, noisy.argmax(axis=1), -1)
        taken = np.take_along_axis(utility, np.maximum(chosen, 0)[:, None], axis=1)[:, 0]
        purchased = clicked & (rng.random(len(users)) < purchase_probability(taken))
        rows.append((session, np.full(len(users), step), slate, propensities, chosen, purchased))
        item = slate[np.arange(len(users)), np.maximum(chosen, 0)]
        fatigue = fatigue * config.fatigue_decay
        fatigue[clicked, world.category[item[clicked]]] += 1.0
        patience = patience - patience_spent(taken, clicked, config.null_utility)
        live = patience > 0
        if not live.any():
            break
        session, users, patience = session[live], users[live], patience[live]
        fatigue, affinity = fatigue[live], affinity[live]
    return Sessions(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def purchase_probability(utility: Float64) -> Float64:
    """Probability that a click on an item of this utility becomes a purchase."""
    return _sigmoid(utility - 2.0)


def patience_spent(utility: Float64, clicked: Bool, null_utility: float) -> Float64:
    """Patience [B] that a slate costs, ``utility`` [B] being that of the item clicked (any number where none was)."""
    return np.where(clicked, 1.0 - _sigmoid(utility - null_utility), 1.0)


def _sigmoid(x: Float64) -> Float64:
    return 1.0 / (1.0 + np.exp(-x))
