"""Response models of random numbers, for what holds of every model."""

from __future__ import annotations

import numpy as np

from rec_platform.simulation.response.model import STATISTICS, ResponseModel
from rec_platform.types import Float32, Int32


def random_model(
    seed: int = 0,
    *,
    num_items: int = 40,
    history_length: int = 12,
    channels: int = 1,
    user_features: int = 2,
    dimension: int = 5,
    hidden: int = 7,
) -> ResponseModel:
    """A model whose every part matters."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Float32:
        return rng.standard_normal(shape).astype(np.float32)

    return ResponseModel(
        item_vectors=normal(num_items, dimension),
        item_bias=normal(channels, num_items),
        item_mean=rng.random(num_items).astype(np.float32),
        age_mix=np.array([[0.3, 0.9], [0.5, 0.4]], dtype=np.float32),
        hidden_weights=normal(2 * dimension + STATISTICS + user_features, hidden),
        hidden_bias=normal(hidden),
        output_weights=normal(hidden, channels, dimension + 1),
        output_bias=normal(channels, dimension + 1),
        history_length=history_length,
    )


def random_windows(rng: np.random.Generator, count: int, length: int, num_items: int = 40) -> tuple[Int32, Float32]:
    """Histories int32 [B, L] and their feedback float32 [B, L], of any length from none to full."""
    history = rng.integers(0, num_items, (count, length)).astype(np.int32)
    feedback = np.where(rng.random(history.shape) < 0.6, 1, -1).astype(np.float32)
    empty = np.arange(length) < rng.integers(0, length + 1, count)[:, None]
    history[empty], feedback[empty] = -1, 0.0
    return history, feedback
