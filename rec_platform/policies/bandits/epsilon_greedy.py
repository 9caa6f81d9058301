"""ε-greedy by sample averages: mostly the item of the best mean reward, sometimes any (Sutton and Barto, chapter 2)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rec_platform.policies.bandits.initial_values import InitialValues
from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.bandits.table import TableSettings
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import EpsilonGreedy, PerSlot
from rec_platform.types import Float64


class EpsilonGreedySettings(InitialValues, TableSettings):
    """V ← V + (r - V)/n with n the times that the item was shown in the context, which is the mean of its rewards.

    Attributes:
        epsilon: ε. Over whole slates where values are shared, for each slot on its own where they are per slot.
    """

    kind: ClassVar[str] = "epsilon_greedy"
    epsilon: float = Field(default=0.1, ge=0, le=1)

    @staticmethod
    def rfm() -> EpsilonGreedySettings:
        """The RFM recommender: segment, month, half of month and weekday; V₀ ~ N(quantity, 1); ε = 0.1.

        Its rewards are the defaults of `RewardRule`: 5 for a purchase, 1 for a click, -2 for an ignored item.
        """
        return EpsilonGreedySettings(
            context=["segment", "month", "half_month", "weekday"], initial_from_counts=True, initial_noise=1.0
        )

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, None]:
        return statistics.mean(initial, self.prior_count), None

    def sampler(self) -> Sampler:
        return EpsilonGreedy(self.epsilon) if self.slots == "shared" else PerSlot(self.epsilon)
