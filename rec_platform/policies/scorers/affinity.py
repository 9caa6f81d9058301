"""Inner product of user features and item features: the myopic recommender of interest evolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True, slots=True)
class AffinityScorer:
    """Attributes:
    item_features: float32 [N, F], in the space of the user features.
    """

    item_features: Float32

    def score(self, observation: Observation) -> Scores:
        affinity = observation.user_features @ self.item_features.T
        return Scores(np.take_along_axis(affinity, observation.candidates, axis=1))

    def export(self) -> ScorerExport:
        return ScorerExport({"kind": "affinity"}, {"item_features": self.item_features})
