"""Scores by factors of items, with the user folded in from his history (Hu, Koren and Volinsky 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True)
class FactorScorer:
    """score_i = u · y_i, with u the least-squares factors of the history at hand, so that a new user needs no fit.

    u = (YᵀY + Σ_h (α - 1) y_h y_hᵀ + λ I)^-1 Σ_h α y_h over the distinct positive items h (equation 4 of the paper).

    Attributes:
        item_factors: float32 [N, f], Y.
        confidence: α of an item that was taken; 1 of all others.
        regularisation: λ.
    """

    item_factors: Float32
    confidence: float
    regularisation: float

    @cached_property
    def _gram(self) -> np.ndarray:
        factors = self.item_factors.astype(np.float64)
        return factors.T @ factors + self.regularisation * np.eye(factors.shape[1])

    def score(self, observation: Observation) -> Scores:
        users = np.stack([self.user_factors(row) for row in _taken(observation)]) if observation.batch_size else None
        if users is None:
            return Scores(np.zeros(observation.candidates.shape, dtype=np.float32))
        values = users @ self.item_factors.T
        return Scores(np.take_along_axis(values, observation.candidates, axis=1).astype(np.float32))

    def user_factors(self, items: np.ndarray) -> np.ndarray:
        """Float64 [f] of a user who took the distinct ``items`` int [n]; zeros where there are none."""
        taken = self.item_factors[items].astype(np.float64)
        matrix = self._gram + (self.confidence - 1.0) * (taken.T @ taken)
        return np.linalg.solve(matrix, self.confidence * taken.sum(axis=0))

    def export(self) -> ScorerExport:
        spec = {"kind": "factors", "confidence": self.confidence, "regularisation": self.regularisation}
        return ScorerExport(spec, {"item_factors": self.item_factors})


def _taken(observation: Observation) -> list[np.ndarray]:
    positive = observation.history_feedback > 0
    return [np.unique(items[kept]) for items, kept in zip(observation.history, positive, strict=True)]
