"""Novelty: how unlikely users are to know the items already (Vargas and Castells 2011, self-information)."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.metrics.masked_mean import masked_mean
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def novelty(rankings: Rankings, items: ItemFacts) -> Float64:
    """Mean of -log2(share of the training users' events) over the list, in bits, float64 [n].

    An item without a training event counts as if it had one.
    """
    bits = -np.log2(np.maximum(items.counts, 1) / items.counts.sum())
    return masked_mean(bits[rankings.items], rankings.listed)
