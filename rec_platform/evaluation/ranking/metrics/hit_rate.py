"""Hit rate: whether the list had anything that the user took."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def hit_rate(rankings: Rankings, items: ItemFacts) -> Float64:
    """1 with a hit, else 0, float64 [n]."""
    return np.where(rankings.hits.any(axis=1), 1.0, 0.0)
