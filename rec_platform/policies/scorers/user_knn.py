"""What users who took the same things took: cosine between users, the K nearest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.policies.scorers.item_to_item import SMALLEST
from rec_platform.types import Float32, Observation


@dataclass(frozen=True)
class UserKNNScorer:
    """score_i = Σ over the K users most like this one of cosine · (took i).

    Attributes:
        matrix: float32 sparse [U, N] what the users of the log took.
        fallback: float32 [N] in [0, 1], orders what no neighbour took.
        neighbours: K.
    """

    matrix: sparse.csr_matrix
    fallback: Float32
    neighbours: int

    @cached_property
    def _unit(self) -> sparse.csr_matrix:
        """Float64 [N, U]: rows of users scaled to length 1, as columns."""
        length = np.sqrt(np.maximum(np.asarray(self.matrix.sum(axis=1)).ravel(), 1.0))
        return sparse.csr_matrix((sparse.diags(1.0 / length) @ self._taken).T)

    @cached_property
    def _taken(self) -> sparse.csr_matrix:
        return self.matrix.astype(np.float64)

    def score(self, observation: Observation) -> Scores:
        rows, columns = np.nonzero(observation.history_feedback > 0)
        own = sparse.csr_matrix(
            (np.ones(len(rows)), (rows, observation.history[rows, columns])),
            shape=(observation.batch_size, len(self.fallback)),
        )
        own.data[:] = 1.0
        length = np.sqrt(np.maximum(np.asarray(own.sum(axis=1)).ravel(), 1.0))
        alike = (own @ self._unit).toarray() / length[:, None]
        if self.neighbours < alike.shape[1]:
            least = -np.partition(-alike, self.neighbours - 1, axis=1)[:, self.neighbours - 1]
            alike[alike < least[:, None]] = 0.0
        values = sparse.csr_matrix(alike) @ self._taken
        values = values.toarray() + SMALLEST * self.fallback
        return Scores(np.take_along_axis(values, observation.candidates, axis=1).astype(np.float32))

    def export(self) -> ScorerExport:
        matrix = self.matrix
        arrays = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "fallback": self.fallback}
        return ScorerExport({"kind": "user_knn", "neighbours": self.neighbours}, arrays)
