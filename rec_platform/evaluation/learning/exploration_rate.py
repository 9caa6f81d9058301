"""Exploration rate: how much of what is shown would not be shown by someone who only wants to earn now."""

from __future__ import annotations

from rec_platform.types import Int32


def exploration_rate(shown: Int32, greedy: Int32) -> float:
    """Share of shown items that the greedy slate of the same request does not hold, wherever they stand.

    Args:
        shown, greedy: [B, k] positions or items, distinct in a row.
    """
    if not shown.size:
        return float("nan")
    return float(1.0 - (shown[:, :, None] == greedy[:, None, :]).any(axis=2).mean())
