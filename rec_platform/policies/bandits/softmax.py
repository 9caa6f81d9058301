"""Boltzmann exploration: items by a softmax over their mean rewards (Sutton and Barto 1998, section 2.3)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rec_platform.policies.bandits.initial_values import InitialValues
from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.bandits.table import TableSettings
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import PerSlot, PlackettLuce
from rec_platform.types import Float64


class SoftmaxSettings(InitialValues, TableSettings):
    """P(item) ∝ exp(V / τ), slot after slot over the items that are left.

    Attributes:
        temperature: τ, in units of the reward.
    """

    kind: ClassVar[str] = "softmax"
    temperature: float = Field(default=0.1, gt=0)

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, None]:
        return statistics.mean(initial, self.prior_count), None

    def sampler(self) -> Sampler:
        if self.slots == "shared":
            return PlackettLuce(self.temperature)
        return PerSlot(0.0, self.temperature)
