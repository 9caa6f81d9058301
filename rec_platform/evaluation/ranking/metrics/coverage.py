"""Catalogue coverage: how much of the catalogue anybody is shown."""

from __future__ import annotations

import numpy as np

from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings


def catalogue_coverage(rankings: Rankings, items: ItemFacts) -> float:
    """Distinct listed items over items with a training event."""
    return len(np.unique(rankings.items[rankings.listed])) / int((items.counts > 0).sum())
