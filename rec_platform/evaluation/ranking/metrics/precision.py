"""Precision: the share of the list that the user took."""

from __future__ import annotations

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def precision(rankings: Rankings, items: ItemFacts) -> Float64:
    """Hits over k, float64 [n]; an empty place of a short list is a miss."""
    return rankings.hits.sum(axis=1) / rankings.k
