"""Normalised discounted cumulative gain with binary gains (Järvelin and Kekäläinen 2002)."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def ndcg(rankings: Rankings, items: ItemFacts) -> Float64:
    """Σ_{hit at rank r} 1/log2(r + 1) over that of the best list of length k, float64 [n]."""
    gains = 1.0 / np.log2(np.arange(2, rankings.k + 2))
    best = np.cumsum(gains)[np.minimum(rankings.relevant, rankings.k) - 1]
    return (rankings.hits * gains).sum(axis=1) / best
