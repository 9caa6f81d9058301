"""SARSA: learn of going on as one does, exploration included (Rummery and Niranjan 1994)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.tabular.learner import TabularSettings
from rec_platform.types import Bool, Float64


class SARSASettings(TabularSettings):
    """Target r + γ Q(s', a') with a' the item that was shown next; NaN, and so left out, where that is not known."""

    kind: ClassVar[str] = "sarsa"

    def next_values(self, values: Float64, next_items: np.ndarray | None, next_available: Bool | None) -> Float64:
        if next_items is None:
            raise InputError("next_items", "sarsa learns of the item shown next", "give it, or use q_learning")
        known = np.take_along_axis(values, np.maximum(next_items, 0)[:, None], axis=1)[:, 0]
        return np.where(next_items >= 0, known, np.nan)
