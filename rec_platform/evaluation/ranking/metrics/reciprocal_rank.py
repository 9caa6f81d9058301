"""Reciprocal rank; its mean over users is MRR."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def reciprocal_rank(rankings: Rankings, items: ItemFacts) -> Float64:
    """One over the rank of the first hit, 0 without one, float64 [n]."""
    first = rankings.hits.argmax(axis=1)
    return np.where(rankings.hits.any(axis=1), 1.0 / (first + 1.0), 0.0)
