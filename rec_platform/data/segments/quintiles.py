"""The usual RFM grid: quintile scores 1 to 5, and a name for each pair of a recency and a frequency score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.segments.rfm import Rfm

GROUPS = 5

QUINTILE_SEGMENTS = (
    "champions",
    "loyal",
    "potential_loyalist",
    "new_customers",
    "promising",
    "need_attention",
    "about_to_sleep",
    "at_risk",
    "cannot_lose_them",
    "hibernating",
    "lost",
)

GRID = (
    # F = 1, 2, 3, 4, 5
    ("lost", "hibernating", "at_risk", "at_risk", "cannot_lose_them"),  # R = 1, the longest ago
    ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose_them"),
    ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    ("promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"),
    ("new_customers", "potential_loyalist", "potential_loyalist", "champions", "champions"),  # R = 5, the most recent
)
"""The name of each pair of scores. It is the grid in common use, whose ``hibernating`` is cut in two: those with the
lowest score in both are ``lost``."""


def quintile_scores(rfm: Rfm) -> NDArray[np.int64]:
    """Int64 [U, 3]: R, F and M from 1 to 5, 5 the best: most recent, most frequent, highest.

    A score is the fifth in which the user's rank falls, ``1 + ⌊5 · rank / U⌋`` with ranks from 0: groups differ by one
    user at most (below 5 users some are empty). Of equal values the one of the later id ranks higher (`pandas` calls it
    rank method ``first``), so equal users may get scores one apart.
    """
    return np.stack([_fifths(-rfm.recency), _fifths(rfm.frequency), _fifths(rfm.monetary)], axis=1)


def quintile_segments(rfm: Rfm) -> NDArray[np.int64]:
    """Int64 [U]: indices into `QUINTILE_SEGMENTS`, from R and F by `GRID`."""
    grid = np.array([[QUINTILE_SEGMENTS.index(name) for name in row] for row in GRID])
    recency, frequency, _ = quintile_scores(rfm).T
    return grid[recency - 1, frequency - 1]


def _fifths(values: NDArray[Any]) -> NDArray[np.int64]:
    """Int64 [U] scores of values that stand in order of user id; larger is better."""
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return 1 + GROUPS * rank // len(values)
