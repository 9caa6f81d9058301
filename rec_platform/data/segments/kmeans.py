"""Segments by clustering R, F and M each for itself, as the RFM bandit of The Bayesian Quest has its states.

Clusters of one dimension are exact, not sought from a random start: the same users always get the same segments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.segments.rfm import Rfm
from rec_platform.types import Float64

CLUSTERS = 4

KMEANS_SEGMENTS = ("q1", "q2", "q3", "q4")

SEGMENT_OF_SCORE = ("q2", "q2", "q3", "q1", "q4", "q4", "q4", "q1", "q1", "q1")
"""By the sum of the three cluster numbers, 0 to 9. A sum of 3 goes with the best ones: so the source has it."""


def kmeans_scores(rfm: Rfm) -> NDArray[np.int64]:
    """Int64 [U, 3]: the cluster of R, F and M from 0 to 3, ordered by mean; larger is better in all three.

    Recency is the time since the last event, so the cluster of the smallest is number 3. (The source takes recency from
    `lifetimes`, where it is a user's age at his last event and the largest mean gets number 3: the same sense.)
    """
    columns = (-rfm.recency, rfm.frequency, rfm.monetary)
    return np.stack([clusters(column, CLUSTERS) for column in columns], axis=1)


def kmeans_segments(rfm: Rfm) -> NDArray[np.int64]:
    """Int64 [U]: indices into `KMEANS_SEGMENTS`, by `SEGMENT_OF_SCORE`."""
    by_score = np.array([KMEANS_SEGMENTS.index(name) for name in SEGMENT_OF_SCORE])
    return by_score[kmeans_scores(rfm).sum(axis=1)]


def clusters(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The partition of numbers with the least sum of squares about its clusters' means.

    Equal values share a cluster. With fewer than ``count`` distinct values each is a cluster of its own. Of equally
    good partitions the one whose later clusters are larger stands.

    H. Wang, M. Song (2011), Ckmeans.1d.dp, The R Journal 3(2); layers are filled by halving as in their later versions,
    in O(count · n log n).

    Args:
        values: numbers [n], finite.
        count: number of clusters, at least 1.

    Returns:
        Int64 [n]: clusters from 0 in order of mean.
    """
    distinct, member, weights = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    size = len(distinct)
    if size <= count:
        return member.ravel().astype(np.int64)
    squares = _Squares(distinct, weights)
    best = squares.between(np.zeros(size, dtype=np.int64), np.arange(size))
    starts = []
    for number in range(1, count):
        best, start = _next_layer(best, squares, number)
        starts.append(start)
    number_of = np.zeros(size, dtype=np.int64)
    end = size - 1
    for start in reversed(starts):
        number_of[start[end] :] += 1
        end = int(start[end]) - 1
    return number_of[member.ravel()]


class _Squares:
    """Weighted sums of squares about the mean of runs of sorted values [n]."""

    def __init__(self, values: Float64, weights: NDArray[np.int64]) -> None:
        # About the middle, so that the difference of sums below loses few digits.
        centred = values - np.average(values, weights=weights)
        self._counts, self._sums, self._squares = (
            np.concatenate(([0.0], np.cumsum(weights * centred**power))) for power in (0, 1, 2)
        )

    def between(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> Float64:
        """Float64: of the runs ``first`` to ``last``, both included."""
        total = self._sums[last + 1] - self._sums[first]
        count = self._counts[last + 1] - self._counts[first]
        return np.maximum(self._squares[last + 1] - self._squares[first] - total**2 / count, 0.0)


def _next_layer(previous: Float64, squares: _Squares, earlier: int) -> tuple[Float64, NDArray[np.int64]]:
    """One cluster more.

    Args:
        previous: float64 [n] the least sum for values 0…i in ``earlier`` clusters.

    Returns:
        The same with one cluster more, and int64 [n] the value with which the last cluster then starts. It never falls
        with i, so that a value is sought between those of its neighbours: the middle first, then those of the halves.
    """
    size = len(previous)
    best, start = np.full(size, np.inf), np.full(size, earlier, dtype=np.int64)
    step = 1 << (size - 1).bit_length()
    while step:
        ends = np.arange(step - 1, size, 2 * step)
        ends = ends[ends >= earlier]
        low = np.where(ends >= step, start[ends - step], earlier)
        right = ends + step
        high = np.where(right < size, np.minimum(start[np.minimum(right, size - 1)], ends), ends)
        best[ends], start[ends] = _least(previous, squares, ends, low, high)
        step //= 2
    return best, start


def _least(
    previous: Float64, squares: _Squares, ends: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> tuple[Float64, NDArray[np.int64]]:
    """For each of ``ends``: the least sum over starts ``low`` to ``high`` of its cluster, and the first such start."""
    if not len(ends):
        return np.zeros(0), ends
    counts = high - low + 1
    offsets = np.cumsum(counts) - counts
    owner = np.repeat(np.arange(len(ends)), counts)
    begin = np.arange(counts.sum()) - offsets[owner] + low[owner]
    total = previous[begin - 1] + squares.between(begin, ends[owner])
    least = np.minimum.reduceat(total, offsets)
    hits = np.flatnonzero(total == least[owner])
    _, first = np.unique(owner[hits], return_index=True)
    return least, begin[hits[first]]
