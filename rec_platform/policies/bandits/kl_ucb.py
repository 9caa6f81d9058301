"""KL-UCB: the largest mean that the rewards do not yet rule out (Garivier and Cappé 2011, algorithm 1)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy.special import rel_entr

from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.bandits.table import UNPLAYED, BoundedSettings
from rec_platform.policies.policy import Sampler
from rec_platform.types import Float64

BISECTIONS = 40
"""Halvings of [mean, 1]: the bound is right to 1e-12, far below the float32 it is served in."""


class KLUCBSettings(BoundedSettings):
    """max{q: n kl(mean, q) ≤ ln t + c ln ln t} with kl of Bernoulli rewards, which bounds that of any in [0, 1].

    Attributes:
        loglog: c; 3 in the paper's proof, 0 in what it recommends for use.
    """

    kind: ClassVar[str] = "kl_ucb"
    loglog: float = Field(default=0.0, ge=0)

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, None]:
        count = statistics.count
        time = np.maximum(count.sum(axis=1, keepdims=True), 1.0)
        level = np.log(time) + self.loglog * np.log(np.maximum(np.log(time), 1.0))
        allowed = level / np.where(count > 0, count, 1.0)
        return np.where(count > 0, upper_bound(np.clip(statistics.mean(), 0.0, 1.0), allowed), UNPLAYED), None

    def sampler(self) -> Sampler:
        return self.greedy_sampler()


def upper_bound(mean: Float64, allowed: Float64) -> Float64:
    """The largest q ≥ ``mean`` in [0, 1] with kl(mean, q) ≤ ``allowed``, by bisection; shapes broadcast."""
    low, high = np.broadcast_arrays(mean, np.ones_like(allowed))
    low, high = low.copy(), high.copy()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        inside = rel_entr(mean, middle) + rel_entr(1.0 - mean, 1.0 - middle) <= allowed
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low
