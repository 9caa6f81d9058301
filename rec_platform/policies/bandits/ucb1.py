"""UCB1: the mean reward plus a bonus for what was shown seldom (Auer, Cesa-Bianchi and Fischer 2002, figure 1)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.bandits.table import UNPLAYED, BoundedSettings
from rec_platform.policies.policy import Sampler
from rec_platform.types import Float64


class UCB1Settings(BoundedSettings):
    """mean + c √(ln t / n), with n the item's rewards and t all rewards of the context; first each item once.

    With `discount` it is D-UCB and with `window` SW-UCB (Garivier and Moulines 2011): n and t are the weighed counts.

    Attributes:
        exploration: c. √2 is UCB1, and what the other two come to at ξ = ½ (D-UCB) and ξ = 2 (SW-UCB).
    """

    kind: ClassVar[str] = "ucb1"
    exploration: float = Field(default=2**0.5, ge=0)

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, None]:
        count = statistics.count
        log_time = np.log(np.maximum(count.sum(axis=1, keepdims=True), 1.0))
        bonus = self.exploration * np.sqrt(log_time / np.where(count > 0, count, 1.0))
        return np.where(count > 0, np.minimum(statistics.mean() + bonus, UNPLAYED / 2), UNPLAYED), None

    def sampler(self) -> Sampler:
        return self.greedy_sampler()
