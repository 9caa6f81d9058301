"""What users took after what they took last: a first-order chain over windows, seconds to fit and hard to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.item_to_item import ItemToItemScorer


class MarkovSettings(FittedSettings):
    """M[i, j] = C[i, j] / (Σ_j C[i, j])^a (Σ_i C[i, j])^b, with C the pairs (i, then j) of one user, each 1/distance.

    Attributes:
        window: pairs of events up to so many steps apart.
        row_power, column_power: a and b. 1 and 0 is a transition probability; ½ and ½ takes popularity out evenly.
        last: how many of the user's newest items count.
        decay: weight of one beside that of the next newer.
    """

    kind: ClassVar[str] = "markov"
    window: int = Field(default=10, ge=1)
    row_power: float = Field(default=0.5, ge=0, le=1)
    column_power: float = Field(default=0.5, ge=0, le=1)
    last: int = Field(default=10, ge=1)
    decay: float = Field(default=0.8, gt=0, le=1)

    def fit(self, log: FitLog, seed: int) -> ItemToItemScorer:
        events, size = log.histories, len(log.catalog)
        positive = events.feedback > 0
        items, users = events.items[positive].astype(np.int64), events.user_of_event[positive]
        rows, columns, weights = [], [], []
        for distance in range(1, self.window + 1):
            same = users[:-distance] == users[distance:]
            rows.append(items[:-distance][same])
            columns.append(items[distance:][same])
            weights.append(np.full(len(rows[-1]), 1.0 / distance))
        pairs = sparse.coo_matrix(
            (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        ).tocsr()
        scaled = _power(pairs.sum(axis=1), -self.row_power) @ pairs @ _power(pairs.sum(axis=0), -self.column_power)
        return ItemToItemScorer(scaled.astype(np.float32), log.popularity, last=self.last, decay=self.decay)


def _power(sums: np.matrix, exponent: float) -> sparse.dia_matrix:
    values = np.asarray(sums).ravel()
    return sparse.diags(np.where(values > 0, np.maximum(values, 1e-12) ** exponent, 0.0))
