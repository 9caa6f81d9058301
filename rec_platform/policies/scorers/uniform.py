"""Every candidate alike: with a Plackett–Luce sampler, the uniformly random recommender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Observation


@dataclass(frozen=True, slots=True)
class UniformScorer:
    """Score 0 for all."""

    def score(self, observation: Observation) -> Scores:
        return Scores(np.zeros(observation.candidates.shape, dtype=np.float32))

    def export(self) -> ScorerExport:
        return ScorerExport({"kind": "uniform"})
