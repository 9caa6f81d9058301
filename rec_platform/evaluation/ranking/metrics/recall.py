"""Recall: the share of what the user took that the list had."""

from __future__ import annotations

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def recall(rankings: Rankings, items: ItemFacts) -> Float64:
    """Hits over relevant items, float64 [n]."""
    return rankings.hits.sum(axis=1) / rankings.relevant
