"""Where proto-actions live: fixed vectors of the items, among which an actor names a point.

Vectors that were learned would move the actions under the critic that judges them, and under the actor's feet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from rec_platform.errors import InputError
from rec_platform.policies.networks.dot import as_tensor
from rec_platform.types import Float32

FEW_ITEMS = 4
"""Up to so many items a candidate, working all of them out and picking is faster than gathering vectors first."""

RANK = 1e-10
"""Share of the largest squared extent below which a direction counts as none."""


def fixed_vectors(item_features: np.ndarray, width: int) -> Float32:
    """Content features less their mean as vectors float32 [N, d] of length 1, d at most ``width``.

    What all items have in common is taken away: a critic cannot tell it from the state's own value, and an actor would
    climb it all the same. Wider features are projected at random, always in the same way; inner products survive that
    about as well as ``width`` allows (Johnson and Lindenstrauss 1984). A single feature has no direction: it keeps its
    size, and the largest becomes 1.

    Args:
        item_features: [N, features].

    Raises:
        InputError: there are no features.
    """
    features = np.asarray(item_features, dtype=np.float64)
    if features.shape[1] == 0:
        raise InputError("algorithm.kind", "items without features have no vectors to be near to", "use dqn or slateq")
    features = features - features.mean(0)
    if features.shape[1] > width:
        features = features @ np.random.default_rng(0).normal(size=(features.shape[1], width))
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if features.shape[1] == 1:
        length = length.max(axis=0, keepdims=True)
    return (features / np.maximum(length, 1e-8)).astype(np.float32)


def projector(vectors: np.ndarray) -> Float32:
    """Float32 [d, d]: projects points on the span of vectors [N, d], in which alone a critic has seen anything."""
    exact = vectors.astype(np.float64)
    squares, axes = np.linalg.eigh(exact.T @ exact)
    axes = axes[:, squares > RANK * squares.max(initial=0.0)]
    return (axes @ axes.T).astype(np.float32)


class ItemSpace(nn.Module):
    """Fixed item vectors and what is worked out of them.

    Attributes:
        vectors: [N, d]; no part of the state, as they come with the catalogue.
        width: d.
    """

    vectors: Tensor
    span: Tensor

    def __init__(self, item_features: np.ndarray, width: int) -> None:
        super().__init__()
        vectors = fixed_vectors(item_features, width)
        self.register_buffer("vectors", as_tensor(vectors), persistent=False)
        self.register_buffer("span", as_tensor(projector(vectors)), persistent=False)
        self.width = self.vectors.shape[1]

    def within(self, points: Tensor) -> Tensor:
        """Points [..., d] brought into the span of the items; their inner products with items stay what they are."""
        return points @ self.span

    def of(self, items: Tensor | None, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """What ``compute`` makes of vectors, [B, N] of all items or [B, M] of some ``items`` int64 [B, M].

        Args:
            compute: from vectors [N, d], or [B, M, d] a row's own, to [B, N] or [B, M].
        """
        if items is None:
            return compute(self.vectors)
        if len(self.vectors) <= FEW_ITEMS * items.shape[1]:
            # Also: items that occur twice then tie exactly, whoever computes.
            return compute(self.vectors).gather(1, items)
        return compute(self.vectors[items])
