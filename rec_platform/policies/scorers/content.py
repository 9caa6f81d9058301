"""Items like those a user took, by what they are: the mean of their content, and the cosine to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.data.item_features import unit_rows
from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True)
class ContentScorer:
    """cosine(content of i, Σ over positive events of decay^age · unit content); 0 without a history.

    Attributes:
        item_features: float32 [N, D].
        decay: weight of an event beside that of the next newer one, in (0, 1].
    """

    item_features: Float32
    decay: float = 1.0

    @cached_property
    def _unit(self) -> Float32:
        return unit_rows(self.item_features)

    def score(self, observation: Observation) -> Scores:
        positive = observation.history_feedback > 0
        age = np.cumsum(positive[:, ::-1], axis=1)[:, ::-1] - 1
        weight = np.where(positive, self.decay ** np.maximum(age, 0), 0.0).astype(np.float32)
        profile = np.einsum("bl,bld->bd", weight, self._unit[observation.history])
        profile /= np.maximum(np.linalg.norm(profile, axis=1, keepdims=True), 1e-8)
        return Scores(np.take_along_axis(profile @ self._unit.T, observation.candidates, axis=1))

    def export(self) -> ScorerExport:
        return ScorerExport({"kind": "content", "decay": self.decay}, {"item_features": self.item_features})
