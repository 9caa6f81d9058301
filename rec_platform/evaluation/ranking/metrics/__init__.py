"""Ranking metrics by name, one a file."""

from __future__ import annotations

from collections.abc import Callable

from rec_platform.evaluation.ranking.metrics.average_precision import average_precision
from rec_platform.evaluation.ranking.metrics.coverage import catalogue_coverage
from rec_platform.evaluation.ranking.metrics.diversity import intra_list_diversity
from rec_platform.evaluation.ranking.metrics.gini import gini
from rec_platform.evaluation.ranking.metrics.hit_rate import hit_rate
from rec_platform.evaluation.ranking.metrics.ndcg import ndcg
from rec_platform.evaluation.ranking.metrics.novelty import novelty
from rec_platform.evaluation.ranking.metrics.popularity_bias import popularity_bias
from rec_platform.evaluation.ranking.metrics.precision import precision
from rec_platform.evaluation.ranking.metrics.recall import recall
from rec_platform.evaluation.ranking.metrics.reciprocal_rank import reciprocal_rank
from rec_platform.evaluation.ranking.metrics.serendipity import serendipity
from rec_platform.evaluation.ranking.rankings import ItemFacts, Rankings
from rec_platform.types import Float64

PER_USER: dict[str, Callable[[Rankings, ItemFacts], Float64]] = {
    "ndcg": ndcg,
    "hit_rate": hit_rate,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "intra_list_diversity": intra_list_diversity,
    "novelty": novelty,
    "serendipity": serendipity,
    "popularity_bias": popularity_bias,
}
"""A value for each user; what is reported is the mean."""

OVERALL: dict[str, Callable[[Rankings, ItemFacts], float]] = {"coverage": catalogue_coverage, "gini": gini}
"""One value for all lists together."""
