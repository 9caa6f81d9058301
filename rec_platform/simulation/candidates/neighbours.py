"""Items near an item or near a taste, by inverted file: the items sorted into cells around centroids.

k-means with about the root of N cells (Lloyd 1982; the inverted file of Jégou, Douze and Schmid 2011, "Product
quantization for nearest neighbor search"). Looking something up costs the number of cells, not N; what comes back is a
random part of the best cell, so it is approximate on purpose: a retrieval stage is not exact either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.item_features import unit_rows
from rec_platform.types import Float32, Int32

ROUNDS = 8
SAMPLE = 100_000
"""Items that the centroids are fitted to, at most."""
CHUNK = 65_536


@dataclass(frozen=True)
class ItemCells:
    """N items in C cells.

    Attributes:
        centroids: float32 [C, d].
        cell: int32 [N] the cell of each item.
        members: int32 [N] the items of cell 0, of cell 1, …
        offsets: int64 [C + 1] where each cell begins in ``members``; no cell is empty.
    """

    centroids: Float32
    cell: Int32
    members: Int32
    offsets: NDArray[np.int64]

    @staticmethod
    def build(vectors: Float32, *, seed: int = 0) -> ItemCells:
        """Cells of unit-length copies of ``vectors`` float32 [N, d]."""
        rng = np.random.default_rng(seed)
        unit = unit_rows(vectors)
        sample = unit if len(unit) <= SAMPLE else unit[rng.choice(len(unit), SAMPLE, replace=False)]
        count = max(1, min(round(len(unit) ** 0.5), len(sample)))
        centroids = sample[rng.choice(len(sample), count, replace=False)].copy()
        for _ in range(ROUNDS):
            cell = _nearest(sample, centroids)
            sizes = np.bincount(cell, minlength=count)
            order = np.argsort(cell, kind="stable")
            filled = sizes > 0
            sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[filled], axis=0)
            centroids[filled] = sums / sizes[filled, None]
        cell = _nearest(unit, centroids)
        present, cell = np.unique(cell, return_inverse=True)
        sizes = np.bincount(cell)
        return ItemCells(
            centroids=np.ascontiguousarray(centroids[present], dtype=np.float32),
            cell=cell.astype(np.int32),
            members=np.argsort(cell, kind="stable").astype(np.int32),
            offsets=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        )

    def draw(self, cells: NDArray, uniforms: NDArray, count: int) -> Int32:
        """``count`` items of each of the ``cells`` int [n], int32 [n, count].

        A run of the cell that starts at a random place and goes round; in a cell with fewer items they come again.
        """
        start, size = self.offsets[cells], np.diff(self.offsets)[cells]
        first = (uniforms * size).astype(np.int64)
        return self.members[start[:, None] + (first[:, None] + np.arange(count)) % size[:, None]]

    def best_cells(self, queries: Float32) -> NDArray[np.int64]:
        """Int64 [n]: the cell whose centroid has the largest inner product with each query float32 [n, d]."""
        return np.asarray((queries @ self.centroids.T).argmax(axis=1))


def _nearest(vectors: Float32, centroids: Float32) -> NDArray[np.int64]:
    """Int64 [n]: the centroid nearest to each vector by Euclidean distance."""
    half = 0.5 * (centroids**2).sum(axis=1)
    parts = [
        (vectors[start : start + CHUNK] @ centroids.T - half).argmax(axis=1) for start in range(0, len(vectors), CHUNK)
    ]
    return np.concatenate(parts)
