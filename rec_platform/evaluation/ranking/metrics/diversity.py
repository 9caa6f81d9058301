"""Intra-list diversity: how unlike the items of one list are (Ziegler et al. 2005)."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64


def intra_list_diversity(rankings: Rankings, items: ItemFacts) -> Float64:
    """Mean of 1 - cosine of content over the list's pairs, float64 [n]; 0 for lists of one.

    An item without content is like none other.
    """
    listed = rankings.listed
    vectors = items.unit[rankings.items] * listed[..., None]
    count = listed.sum(axis=1)
    pairs = count * (count - 1) / 2
    # Σ_{i<j} <v_i, v_j> = (|Σ v|² - Σ |v|²) / 2
    total, own = vectors.sum(axis=1, dtype=np.float64), (vectors.astype(np.float64) ** 2).sum(axis=(1, 2))
    alike = ((total**2).sum(axis=1) - own) / 2
    return np.where(pairs > 0, 1.0 - alike / np.maximum(pairs, 1), 0.0)
