"""Thompson sampling over tables: a belief about every mean reward, of Beta or Gaussian shape (Russo et al. 2018)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.bandits.table import BoundedSettings, TableSettings
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import Thompson
from rec_platform.types import Float64


class _SharedSlots(TableSettings):
    """Propensities of drawn scores are those of one draw for the whole slate."""

    @model_validator(mode="after")
    def _one_draw_a_slate(self) -> _SharedSlots:
        if self.slots != "shared":
            raise ValueError(f"slots: {self.slots} is not for {self.kind}: it draws once for the whole slate")
        return self


class BetaThompsonSettings(BoundedSettings, _SharedSlots):
    """Rewards in [0, 1], exact for 0 and 1: the mean is believed Beta(a + Σ r, b + Σ (1 - r)).

    Attributes:
        prior_successes, prior_failures: a and b; 1 and 1 is uniform. Below ½ draws come so near 0 and 1 that float64
            cannot tell them apart.
    """

    kind: ClassVar[str] = "thompson_beta"
    prior_successes: float = Field(default=1.0, ge=0.5)
    prior_failures: float = Field(default=1.0, ge=0.5)

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, Float64]:
        total = np.clip(statistics.total, 0.0, statistics.count)
        alpha = self.prior_successes + total
        beta = self.prior_failures + statistics.count - total
        mean = alpha / (alpha + beta)
        return mean, np.sqrt(mean * (1.0 - mean) / (alpha + beta + 1.0))

    def sampler(self) -> Sampler:
        return Thompson("beta")


class GaussianThompsonSettings(_SharedSlots):
    """Any rewards: prior N(m, s²), rewards N(mean, σ²), so the belief has precision 1/s² + n/σ².

    Attributes:
        prior_mean, prior_deviation: m and s.
        noise: σ, or ``estimated``: each item's own, from its squared deviations and one more of size s², so that few
            rewards do not make it 0. The belief stays Gaussian: its heavier tails with an unknown σ are left out.
    """

    kind: ClassVar[str] = "thompson_gaussian"
    prior_mean: float = 0.0
    prior_deviation: float = Field(default=1.0, gt=0)
    noise: float | Literal["estimated"] = 1.0

    @model_validator(mode="after")
    def _noise_above_zero(self) -> GaussianThompsonSettings:
        if self.noise != "estimated" and self.noise <= 0:
            raise ValueError(f"noise {self.noise} is not above 0")
        return self

    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, Float64]:
        count, total = statistics.count, statistics.total
        if self.noise == "estimated":
            deviations = np.maximum(statistics.squares - count * statistics.mean() ** 2, 0.0)
            variance = (deviations + self.prior_deviation**2) / np.maximum(count, 1.0)
        else:
            variance = np.full(count.shape, self.noise**2)
        precision = 1.0 / self.prior_deviation**2 + count / variance
        mean = (self.prior_mean / self.prior_deviation**2 + total / variance) / precision
        return mean, 1.0 / np.sqrt(precision)

    def sampler(self) -> Sampler:
        return Thompson("gaussian")
