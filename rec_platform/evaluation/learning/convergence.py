"""Convergence: how far what a learner believes still moves between two looks at the same requests."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Bool, Float32, Int32


def value_change(before: Float32, after: Float32, available: Bool) -> float:
    """Mean |change| of the scores [B, M] of available candidates."""
    if not available.any():
        return float("nan")
    return float(np.abs(after.astype(np.float64) - before)[available].mean())


def settled_share(before: Int32, after: Int32) -> float:
    """Share of requests whose greedy slate [B, k] is the same list as before."""
    if not len(before):
        return float("nan")
    return float((before == after).all(axis=1).mean())
