"""How much an item is like what a user consumed lately."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Float32, Int32


def recently_consumed(content: Float32, history: Int32, history_feedback: Float32, recent: int) -> Float32:
    """The mean content of the items lately consumed, float32 [B, D]; 0 where there are none.

    Its inner product with an item's content is the item's mean cosine similarity to them.

    Args:
        content: float32 [N, D], rows of length 1 (or 0).
        history: int32 [B, L], -1 = padding, newest last.
        history_feedback: float32 [B, L].
        recent: how many of the newest entries count.
    """
    consumed = recent_entries(history, history_feedback, recent)
    total = np.matmul(consumed[:, None, :], content.take(history[:, -recent:], axis=0, mode="wrap"))[:, 0]
    return total / np.maximum(consumed.sum(axis=1), np.float32(1.0))[:, None]


def category_counts(categories: Float32, history: Int32, history_feedback: Float32, recent: int) -> Float32:
    """How often each category stands among the items lately consumed, float32 [B, C].

    Args:
        categories: float32 [N, C] 0 or 1.
        history, history_feedback, recent: as in `recently_consumed`.
    """
    consumed = recent_entries(history, history_feedback, recent)
    return np.matmul(consumed[:, None, :], categories.take(history[:, -recent:], axis=0, mode="wrap"))[:, 0]


def recent_entries(history: Int32, history_feedback: Float32, recent: int) -> Float32:
    """1 where one of the newest entries was consumed, else 0: float32 [B, recent]."""
    newest = history[:, -recent:]
    return ((history_feedback[:, -recent:] > 0) & (newest >= 0)).astype(np.float32)
