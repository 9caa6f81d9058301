"""Observations and scores for tests of policies."""

from __future__ import annotations

import numpy as np

from rec_platform.types import Observation


def observation(candidates: np.ndarray, *, history: int = 0) -> Observation:
    """B users who differ only in their candidates."""
    batch = len(candidates)
    return Observation(
        user_features=np.zeros((batch, 2), np.float32),
        history=np.full((batch, history), -1, np.int32),
        history_feedback=np.zeros((batch, history), np.float32),
        context=np.zeros((batch, 1), np.float32),
        candidates=candidates.astype(np.int32),
    )
