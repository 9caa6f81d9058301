"""Q-learning: learn of the best way to go on, whatever was done (Watkins and Dayan 1992)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rec_platform.policies.tabular.learner import TabularSettings
from rec_platform.types import Bool, Float64


class QLearningSettings(TabularSettings):
    """Target r + γ max_a Q(s', a); with slates of k items the mean of the k best."""

    kind: ClassVar[str] = "q_learning"

    def next_values(
        self, values: Float64, next_items: np.ndarray | None, next_available: Bool | None, slate_size: int
    ) -> Float64:
        allowed = values if next_available is None else np.where(next_available, values, -np.inf)
        size = min(slate_size, allowed.shape[1])
        best = np.partition(allowed, allowed.shape[1] - size, axis=1)[:, -size:]
        shown = np.isfinite(best)  # nothing to show there: nothing to earn
        return np.where(shown, best, 0.0).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
