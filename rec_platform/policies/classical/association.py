"""Bought together: rules from one item to another, by baskets (Agrawal et al. 1993)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from rec_platform.data.histories import DAY, Histories
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.item_to_item import ItemToItemScorer


class AssociationSettings(FittedSettings):
    """Pairs of items of one basket: a session of the log, or a user's day where it has none.

    Attributes:
        measure: ``confidence`` n_ij / n_i, or ``lift`` n n_ij / (n_i n_j), n counting baskets.
        min_support: pairs of fewer baskets are left out.
        last: how many of the user's newest items count.
    """

    kind: ClassVar[str] = "association"
    measure: Literal["confidence", "lift"] = "confidence"
    min_support: int = Field(default=2, ge=1)
    last: int = Field(default=10, ge=1)

    def fit(self, log: FitLog, seed: int) -> ItemToItemScorer:
        events = log.histories
        positive = events.feedback > 0
        basket = np.unique(baskets(events)[positive], return_inverse=True)[1]
        taken = sparse.csr_matrix(
            (np.ones(len(basket)), (basket, events.items[positive])), shape=(int(basket.max()) + 1, len(log.catalog))
        )
        taken.data[:] = 1.0
        together = (taken.T @ taken).tocsr()
        together.setdiag(0)
        together.data[together.data < self.min_support] = 0.0
        together.eliminate_zeros()
        counts = np.asarray(taken.sum(axis=0)).ravel()
        inverse = sparse.diags(np.where(counts > 0, 1.0 / np.maximum(counts, 1.0), 0.0))
        rules = inverse @ together
        if self.measure == "lift":
            rules = rules @ inverse * taken.shape[0]
        return ItemToItemScorer(sparse.csr_matrix(rules).astype(np.float32), log.popularity, last=self.last)


def baskets(events: Histories) -> np.ndarray:
    """Int64 [rows]: the number of each event's session, or of its user and day (UTC) where the log has no sessions."""
    if events.sessions is not None:
        return events.sessions
    pairs = np.stack([events.user_of_event, events.timestamps // DAY], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
