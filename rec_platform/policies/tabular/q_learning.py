"""Q-learning: learn of the best way to go on, whatever was done (Watkins and Dayan 1992)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rec_platform.policies.tabular.learner import TabularSettings
from rec_platform.types import Bool, Float64


class QLearningSettings(TabularSettings):
    """Target r + γ max_a Q(s', a)."""

    kind: ClassVar[str] = "q_learning"

    def next_values(self, values: Float64, next_items: np.ndarray | None, next_available: Bool | None) -> Float64:
        allowed = values if next_available is None else np.where(next_available, values, -np.inf)
        best = allowed.max(axis=1)
        return np.where(np.isfinite(best), best, 0.0)  # nothing to show there: nothing to earn
