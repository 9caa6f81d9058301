"""What users who took the same things took: cosine between users, the K nearest."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.user_knn import UserKNNScorer


class UserKNNSettings(FittedSettings):
    """See `UserKNNScorer`; the whole log is kept in the model.

    Attributes:
        neighbours: K. Users as near as the K-th all count.
    """

    kind: ClassVar[str] = "user_knn"
    neighbours: int = Field(default=100, ge=1)

    def fit(self, log: FitLog, seed: int) -> UserKNNScorer:
        return UserKNNScorer(log.matrix, log.popularity, self.neighbours)
