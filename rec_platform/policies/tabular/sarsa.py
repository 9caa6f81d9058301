"""SARSA: learn of going on as one does, exploration included (Rummery and Niranjan 1994)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.tabular.learner import TabularSettings
from rec_platform.types import Bool, Float64


class SARSASettings(TabularSettings):
    """Target r + γ Q(s', a') with a' the items that were shown next; NaN, and so left out, where that is not known."""

    kind: ClassVar[str] = "sarsa"
    on_policy: ClassVar[bool] = True

    def next_values(
        self, values: Float64, next_items: np.ndarray | None, next_available: Bool | None, slate_size: int
    ) -> Float64:
        if next_items is None:
            raise InputError("next_items", "sarsa learns of the item shown next", "give it, or use q_learning")
        shown = next_items >= 0
        known = np.where(shown, np.take_along_axis(values, np.maximum(next_items, 0), axis=1), 0.0).sum(axis=1)
        return np.where(shown.any(axis=1), known / np.maximum(shown.sum(axis=1), 1), np.nan)
