"""A binary tree of sums: draws proportional to masses that change, many at a time, in O(log n) each."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Float64


class SumTree:
    """Masses of ``size`` leaves, all 0 at first.

    Every inner node is the sum of its two children and is never changed by a difference: rounding does not pile up,
    and the tree is a function of the leaves alone, whatever the order in which they were set.

    Args:
        size: number of leaves; memory is at most 32 bytes each.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.depth = max(size - 1, 0).bit_length()
        self.nodes: Float64 = np.zeros(2 << self.depth)  # node n has the children 2n and 2n + 1; the root is 1
        self.first = 1 << self.depth

    @property
    def total(self) -> float:
        return float(self.nodes[1])

    def masses(self, leaves: np.ndarray) -> Float64:
        """Masses of some leaves, given by an integer index; a copy."""
        held: Float64 = self.nodes[self.first + leaves]
        return held

    def set(self, leaves: np.ndarray, masses: np.ndarray | float) -> None:
        """Set masses ≥ 0; of a leaf named twice the last mass stands."""
        nodes = self.first + leaves
        self.nodes[nodes] = masses
        for _ in range(self.depth):
            nodes = np.unique(nodes >> 1)
            self.nodes[nodes] = self.nodes[2 * nodes] + self.nodes[2 * nodes + 1]

    def find(self, points: np.ndarray) -> np.ndarray:
        """Leaves int64 at which the running sum of masses passes ``points`` in [0, total); never one of mass 0."""
        node, rest = np.ones(len(points), dtype=np.int64), points.astype(np.float64)
        for _ in range(self.depth):
            left = self.nodes[2 * node]
            right = (rest >= left) & (self.nodes[2 * node + 1] > 0)  # rounding must not lead into an empty branch
            rest = rest - left * right
            node = 2 * node + right
        return node - self.first
