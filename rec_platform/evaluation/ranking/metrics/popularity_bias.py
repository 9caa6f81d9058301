"""Popularity bias: how popular the recommended items are, average recommendation popularity (Yin et al. 2012)."""

from __future__ import annotations

from rec_platform.evaluation.ranking.metrics.masked_mean import masked_mean
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def popularity_bias(rankings: Rankings, items: ItemFacts) -> Float64:
    """Mean share of the training events that the listed items have, times N: 1 is an average item; float64 [n]."""
    return masked_mean(items.share[rankings.items] * len(items.counts), rankings.listed)
