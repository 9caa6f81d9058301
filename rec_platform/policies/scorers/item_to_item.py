"""Scores of items by what they are to the items a user took: kNN, EASE, Markov, content, co-purchase."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation

SMALLEST = 1e-9
"""Of the fallback's scores beside real ones: they order only what nothing leads to."""


@dataclass(frozen=True)
class ItemToItemScorer:
    """score_i = Σ over the positive events h of the history, newest first, of decay^age · M[h, i].

    Ages count positive events only. A user without any, and items that nothing leads to, are ranked by the fallback.

    Attributes:
        matrix: float32 [N, N], dense or sparse: what having taken the row's item says for the column's.
        fallback: float32 [N] in [0, 1], e.g. popularity.
        last: how many of the newest positive events count; None for all that the observation has.
        decay: weight of an event beside that of the next newer one, in (0, 1].
        distinct: an item counts once, at its newest event.
    """

    matrix: Float32 | sparse.csr_matrix
    fallback: Float32
    last: int | None = None
    decay: float = 1.0
    distinct: bool = False

    def score(self, observation: Observation) -> Scores:
        weights = self._weights(observation)
        values = weights @ self._operand
        if sparse.issparse(values):
            values = values.toarray()
        values = values + SMALLEST * self.fallback
        return Scores(np.take_along_axis(values, observation.candidates, axis=1).astype(np.float32))

    @cached_property
    def _operand(self) -> np.ndarray | sparse.csr_matrix:
        return self.matrix.astype(np.float64)

    def _weights(self, observation: Observation) -> sparse.csr_matrix:
        """Float64 [B, N]: how much each item of the catalogue counts for each user."""
        history, positive = observation.history, observation.history_feedback > 0
        age = np.cumsum(positive[:, ::-1], axis=1)[:, ::-1] - 1
        counted = positive if self.last is None else positive & (age < self.last)
        rows, columns = np.nonzero(counted)
        items, weight = history[rows, columns], self.decay ** age[rows, columns].astype(np.float64)
        if self.distinct:
            newest = np.lexsort((-columns, items, rows))
            first = np.ones(len(rows), dtype=bool)
            first[1:] = (np.diff(rows[newest]) != 0) | (np.diff(items[newest]) != 0)
            kept = newest[first]
            rows, items, weight = rows[kept], items[kept], weight[kept]
        return sparse.csr_matrix((weight, (rows, items)), shape=(len(history), len(self.fallback)))

    def export(self) -> ScorerExport:
        spec = {"kind": "item_to_item", "last": self.last, "decay": self.decay, "distinct": self.distinct}
        if isinstance(self.matrix, np.ndarray):
            return ScorerExport(spec, {"fallback": self.fallback, "matrix": self.matrix})
        sparse_arrays = {name: getattr(self.matrix, name) for name in ("data", "indices", "indptr")}
        return ScorerExport(spec, {"fallback": self.fallback} | sparse_arrays)
