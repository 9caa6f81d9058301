"""Items like those a user took, by what they are: the mean of their content, and the cosine to it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from rec_platform.errors import InputError
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.content import ContentScorer


class ContentSettings(FittedSettings):
    """Nothing is fitted: `ContentScorer` over the catalogue's features.

    Attributes:
        decay: see there.
    """

    kind: ClassVar[str] = "content"
    needs_item_features: ClassVar[bool] = True
    decay: float = Field(default=0.9, gt=0, le=1)

    def fit(self, log: FitLog, seed: int) -> ContentScorer:
        features = log.catalog.features
        if not features.shape[1]:
            raise InputError(
                "algorithm.kind", "content needs features of items, the dataset has none", "add an items file"
            )
        return ContentScorer(np.ascontiguousarray(features), self.decay)
