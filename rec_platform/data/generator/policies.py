"""Known policies of the marketplace, each with exact propensities where it is random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.generator.sessions import MarketPolicy, MarketState
from rec_platform.data.generator.world import World
from rec_platform.types import Float64


def logging_policy(world: World) -> MarketPolicy:
    """Plackett–Luce over what the platform believes of tastes and qualities; it does not see boredom."""
    return _plackett_luce(lambda users: logging_scores(world, users) / world.config.temperature)


def logging_scores(world: World, users: NDArray) -> Float64:
    """Scores [B, N] of the logging policy, before the temperature."""
    return world.shown_taste[users][:, world.category] + world.shown_quality


def uniform_random(world: World) -> MarketPolicy:
    """k distinct items, all slates equally likely."""
    return _plackett_luce(lambda users: np.zeros((len(users), len(world.category))))


def best_affinity(world: World) -> MarketPolicy:
    """The k items of the highest true utility to the rested user: right about tastes, blind to boredom."""
    return _greedy(lambda state: world.affinity(state.users))


def myopic(world: World) -> MarketPolicy:
    """The k items of the highest true utility now, boredom included: the best next slate or near it."""
    return _greedy(lambda state: state.utility)


def _greedy(score: Callable[[MarketState], Float64]) -> MarketPolicy:
    def decide(state: MarketState, slate_size: int, rng: np.random.Generator) -> tuple[NDArray, Float64]:
        slate = _best(-score(state), slate_size)
        return slate, np.ones(slate.shape)

    return decide


def _plackett_luce(score: Callable[[NDArray], Float64]) -> MarketPolicy:
    def decide(state: MarketState, slate_size: int, rng: np.random.Generator) -> tuple[NDArray, Float64]:
        logits = score(state.users)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        # An exponential race: the order of arrival at rates `weights` is a Plackett–Luce ranking.
        slate = _best(rng.standard_exponential(weights.shape) / weights, slate_size)
        return slate, plackett_luce_steps(weights, slate)

    return decide


def plackett_luce_steps(weights: Float64, slate: NDArray) -> Float64:
    """Probability [B, k] of each item of ``slate`` [B, k] given the slots before it, for ``weights`` [B, N] > 0."""
    left = weights.copy()
    rows = np.arange(len(slate))
    out = np.empty(slate.shape)
    for slot in range(slate.shape[1]):
        item = slate[:, slot]
        out[:, slot] = left[rows, item] / left.sum(axis=1)
        left[rows, item] = 0.0
    return out


def _best(keys: Float64, count: int) -> NDArray:
    """Indices [B, count] of the least keys [B, N], in order."""
    if count < keys.shape[1]:
        least = np.argpartition(keys, count - 1, axis=1)[:, :count]
    else:
        least = np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
    order = np.argsort(np.take_along_axis(keys, least, axis=1), axis=1, kind="stable")
    return np.take_along_axis(least, order, axis=1)
