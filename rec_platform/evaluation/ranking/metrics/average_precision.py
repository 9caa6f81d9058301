"""Average precision; its mean over users is MAP."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def average_precision(rankings: Rankings, items: ItemFacts) -> Float64:
    """Σ over hits of the precision up to them, over the number of relevant items (not of min(k, it)), float64 [n]."""
    up_to = np.cumsum(rankings.hits, axis=1) / np.arange(1, rankings.k + 1)
    return (up_to * rankings.hits).sum(axis=1) / rankings.relevant
