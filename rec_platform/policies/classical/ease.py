"""Embarrassingly shallow autoencoders: the closed-form linear model from items to items (Steck 2019)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from rec_platform.errors import InputError
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.item_to_item import ItemToItemScorer

MOST_ITEMS = 20_000
"""An inverse of N × N float64 and its copies: 10 GB there."""


class EASESettings(FittedSettings):
    """B = I - P / diag(P) with P = (XᵀX + λ I)^-1, equation 8 of the paper; diag(B) = 0.

    Attributes:
        regularisation: λ.
        decay: weight of an item of the history beside the next newer one; 1 is the paper's, which knows no order.
    """

    kind: ClassVar[str] = "ease"
    regularisation: float = Field(default=100.0, gt=0)
    decay: float = Field(default=1.0, gt=0, le=1)

    def fit(self, log: FitLog, seed: int) -> ItemToItemScorer:
        if len(log.catalog) > MOST_ITEMS:
            problem = f"ease inverts a matrix of {len(log.catalog):,} × {len(log.catalog):,} items"
            raise InputError("algorithm.kind", problem, f"above {MOST_ITEMS:,} items use als or item_knn")
        matrix = log.matrix.astype(np.float64)
        gram = (matrix.T @ matrix).toarray()
        gram[np.diag_indices_from(gram)] += self.regularisation
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return ItemToItemScorer(weights.astype(np.float32), log.popularity, decay=self.decay, distinct=True)
