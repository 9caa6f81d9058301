"""Implicit matrix factorisation by alternating least squares (Hu, Koren and Volinsky 2008), fitted by `implicit`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.factors import FactorScorer


class ALSSettings(FittedSettings):
    """See `FactorScorer`.

    Attributes:
        factors: f.
        confidence: α.
        regularisation: λ.
        iterations: sweeps over users and items.
        decay: of α in the history of who is served; 1 knows no order. Factors of items are fitted without.
    """

    kind: ClassVar[str] = "als"
    factors: int = Field(default=64, ge=1)
    confidence: float = Field(default=40.0, gt=0)
    regularisation: float = Field(default=0.01, ge=0)
    iterations: int = Field(default=15, ge=1)
    decay: float = Field(default=1.0, gt=0, le=1)

    def fit(self, log: FitLog, seed: int) -> FactorScorer:
        from implicit.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=self.factors,
            alpha=self.confidence,
            regularization=self.regularisation,
            iterations=self.iterations,
            random_state=seed,
            num_threads=1,
        )
        model.fit(log.matrix, show_progress=False)
        factors = np.asarray(model.item_factors, dtype=np.float32)
        return FactorScorer(factors, self.confidence, self.regularisation, self.decay)
