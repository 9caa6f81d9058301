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

    u = (YᵀY + Σ_h (c_h - 1) y_h y_hᵀ + λ I)^-1 Σ_h c_h y_h over the distinct positive items h (equation 4 of the
    paper), with c_h = α decay^age; ages count positive events, and an item has that of its newest.

    Attributes:
        item_factors: float32 [N, f], Y.
        confidence: α of an item that was taken; 1 of all others.
        regularisation: λ.
        decay: of the confidence from one event to the one before, in (0, 1]; 1 is the paper's.
    """

    item_factors: Float32
    confidence: float
    regularisation: float
    decay: float = 1.0

    @cached_property
    def _gram(self) -> np.ndarray:
        factors = self.item_factors.astype(np.float64)
        return factors.T @ factors + self.regularisation * np.eye(factors.shape[1])

    def score(self, observation: Observation) -> Scores:
        positive = observation.history_feedback > 0
        users = np.zeros((observation.batch_size, self.item_factors.shape[1]))
        for row, (items, kept) in enumerate(zip(observation.history, positive, strict=True)):
            users[row] = self.user_factors(items[kept])
        values = users @ self.item_factors.T
        return Scores(np.take_along_axis(values, observation.candidates, axis=1).astype(np.float32))

    def user_factors(self, items: np.ndarray) -> np.ndarray:
        """Float64 [f] of a user who took ``items`` int [n], newest last; zeros where there are none."""
        distinct, age = np.unique(items[::-1], return_index=True)
        taken, confidence = self.item_factors[distinct].astype(np.float64), self.confidence * self.decay**age
        matrix = self._gram + taken.T @ ((confidence - 1.0)[:, None] * taken)
        return np.linalg.solve(matrix, confidence @ taken)

    def export(self) -> ScorerExport:
        spec = {
            "kind": "factors",
            "confidence": self.confidence,
            "regularisation": self.regularisation,
            "decay": self.decay,
        }
        return ScorerExport(spec, {"item_factors": self.item_factors})
