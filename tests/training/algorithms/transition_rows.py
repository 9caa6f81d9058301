"""Rows to learn from, as a replay buffer gives them, for tests of losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.training.algorithms.dqn import ACTIONS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN

ITEMS, CANDIDATES, USER, K, WIDTH = 9, 7, 3, 2, 4
SIZES = StateSizes(0, USER, 0, K)
CONTENT = np.random.default_rng(0).normal(size=(ITEMS, WIDTH)).astype(np.float32)
CONFIG = NetworkConfig(encoder="none", hidden=[8], embedding=5)


def rows(count: int, *, seed: int = 0, items: int = ITEMS, candidates: int = CANDIDATES) -> dict[str, Tensor]:
    """``count`` users with some of the items each, of which some are not available in the observation after."""
    rng = np.random.default_rng(seed)

    def observation(prefix: str, missing: float) -> dict[str, np.ndarray]:
        shown = rng.permuted(np.tile(np.arange(items, dtype=np.int32), (count, 1)), axis=1)[:, :candidates]
        shown[rng.random(shown.shape) < missing] = -1
        empty = np.zeros((count, 0), np.float32)
        return {
            prefix + "user_features": rng.normal(size=(count, USER)).astype(np.float32),
            prefix + "history": empty.astype(np.int32),
            prefix + "history_feedback": empty,
            prefix + "context": empty,
            prefix + "candidates": shown,
        }

    columns = observation("", 0.0) | observation("next_", 0.5)
    columns[ACTIONS] = rng.permuted(np.tile(np.arange(candidates), (count, 1)), axis=1)[:, :K]
    columns[RETURN] = rng.normal(size=count).astype(np.float32)
    columns[DISCOUNT] = np.where(rng.random(count) < 0.3, 0.0, 0.9).astype(np.float32)
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def shake(module: torch.nn.Module, *, seed: int) -> None:
    """Far from the initial weights, and differently for every seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
