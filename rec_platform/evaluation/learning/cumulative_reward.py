"""Cumulative reward: all that was earned up to each round; the area that slow learning costs is seen in it."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Float64


def cumulative_reward(rewards: Float64) -> Float64:
    """Float64 [T] of rewards float64 [T, …] of T rounds; NaN, a reward that is not known, counts as none."""
    by_round = np.nansum(np.asarray(rewards, dtype=np.float64).reshape(len(rewards), -1), axis=1)
    return np.cumsum(by_round)
