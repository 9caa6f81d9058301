"""The mean over a list that may be short."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Bool, Float64


def masked_mean(values: Float64, listed: Bool) -> Float64:
    """Mean [n] of [n, k] where ``listed``; 0 where nothing is."""
    return np.where(listed, values, 0.0).sum(axis=1) / np.maximum(listed.sum(axis=1), 1)
