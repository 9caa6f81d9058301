"""Items like those a user took, by who took them: cosine or BM25 weights, the K nearest of each item."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.item_to_item import ItemToItemScorer


class ItemKNNSettings(FittedSettings):
    """Neighbourhoods as the library `implicit` computes them.

    Attributes:
        measure: ``cosine`` of the items' columns, or ``bm25``: the same product after the users' rows were weighted as
            documents are by BM25 (Robertson et al. 1995).
        neighbours: K, the item itself included.
        k1, b: of BM25.
        decay: weight of an item of the history beside the next newer one; 1 knows no order.
    """

    kind: ClassVar[str] = "item_knn"
    measure: Literal["cosine", "bm25"] = "bm25"
    neighbours: int = Field(default=20, ge=1)
    k1: float = Field(default=1.2, ge=0)
    b: float = Field(default=0.75, ge=0, le=1)
    decay: float = Field(default=1.0, gt=0, le=1)

    def fit(self, log: FitLog, seed: int) -> ItemToItemScorer:
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

        if self.measure == "bm25":
            model = BM25Recommender(K=self.neighbours, K1=self.k1, B=self.b, num_threads=1)
        else:
            model = CosineRecommender(K=self.neighbours, num_threads=1)
        model.fit(log.matrix, show_progress=False)
        matrix = sparse.csr_matrix(model.similarity).astype(np.float32)
        return ItemToItemScorer(matrix, log.popularity, decay=self.decay, distinct=True)
