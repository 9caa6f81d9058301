"""Gini coefficient of how often items are shown: 0 all alike, 1 one item only."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings


def gini(rankings: Rankings, items: ItemFacts) -> float:
    """Over items with a training event or a place in a list."""
    shown = np.bincount(rankings.items[rankings.listed], minlength=len(items.counts))
    shown = np.sort(shown[(items.counts > 0) | (shown > 0)]).astype(np.float64)
    n = len(shown)
    if not shown.sum():
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * shown).sum() / (n * shown.sum()))
