"""Serendipity: right, and not what anybody would have recommended (Ge et al. 2010)."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def serendipity(rankings: Rankings, items: ItemFacts) -> Float64:
    """Hits that are not among the k most popular items, over k, float64 [n]."""
    popular = np.zeros(len(items.counts), dtype=bool)
    popular[np.argsort(-items.counts, kind="stable")[: rankings.k]] = True
    return (rankings.hits & ~popular[rankings.items]).sum(axis=1) / rankings.k
