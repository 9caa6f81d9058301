"""Which items a simulated user could be shown: those that do not stand in his visible history."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Int32

_DENSE_RATIO = 4
"""Below this many times the items wanted, shuffling the whole catalogue is faster than drawing and rejecting."""


def full_catalogue(history: Int32, num_items: int) -> Int32:
    """Every item j at position j, -1 where it stands in ``history`` int32 [B, L]: int32 [B, N]."""
    candidates = np.repeat(np.arange(num_items, dtype=np.int32)[None], len(history), axis=0)
    rows, columns = np.nonzero(history >= 0)
    candidates[rows, history[rows, columns]] = -1
    return candidates


def random_candidates(history: Int32, num_items: int, count: int, rng: np.random.Generator) -> Int32:
    """``count`` distinct items a user that are not in ``history`` int32 [B, L], every such set equally likely.

    Needs count + L <= N, so that there are always enough. Returns int32 [B, count], in random order.
    """
    size, length = history.shape
    if num_items <= _DENSE_RATIO * (count + length):
        keys = rng.random((size, num_items), dtype=np.float32)
        rows, columns = np.nonzero(history >= 0)
        keys[rows, history[rows, columns]] = 2.0
        return np.argsort(keys, axis=1)[:, :count].astype(np.int32)
    candidates = np.full((size, count), -1, dtype=np.int32)
    for column in range(count):
        rows = np.arange(size)
        while len(rows):
            drawn = rng.integers(0, num_items, len(rows), dtype=np.int32)
            taken = (history[rows] == drawn[:, None]).any(axis=1)
            taken |= (candidates[rows, :column] == drawn[:, None]).any(axis=1)
            candidates[rows, column] = drawn
            rows = rows[taken]
    return candidates
