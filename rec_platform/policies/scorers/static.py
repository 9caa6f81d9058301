"""One score an item, the same for everyone: popularity, mean rating, a topic's quality."""

from __future__ import annotations

from dataclasses import dataclass

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True, slots=True)
class StaticScorer:
    """Attributes:
    item_scores: float32 [N].
    """

    item_scores: Float32

    def score(self, observation: Observation) -> Scores:
        return Scores(self.item_scores[observation.candidates])

    def export(self) -> ScorerExport:
        return ScorerExport({"kind": "static"}, {"item_scores": self.item_scores})
