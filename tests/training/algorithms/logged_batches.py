"""Made-up rows of a log, modules and learners without RLlib around them, for tests of the offline losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.training.algorithms import RECIPES
from rec_platform.training.engine.columns import NEXT, to_columns
from rec_platform.training.engine.module import model_config
from rec_platform.training.returns.logged import ACTIONS, LOG_PROPENSITY, TO_GO
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN
from rec_platform.training.settings.offline import OfflineSettings
from rec_platform.types import Observation

ITEMS, LENGTH, USER, CONTEXT, K = 7, 3, 2, 2, 2
SIZES = StateSizes(LENGTH, USER, CONTEXT, K)
CONTENT = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
CONFIG = NetworkConfig(hidden=[8], embedding=5)


def module_of(settings: OfflineSettings, config: NetworkConfig = CONFIG) -> Any:
    """A module whose network is not at its start, and whose slow copy says something else."""
    recipe = RECIPES[settings.kind]
    module = recipe.module(model_config=model_config(recipe.network, config, SIZES, CONTENT, settings, seed=1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        module.make_target()
        for parameter in module.network.parameters():
            parameter.mul_(1.5)
    return module


def learner_of(settings: OfflineSettings) -> Any:
    """A learner that can only work out its loss."""
    recipe = RECIPES[settings.kind]
    learner = object.__new__(recipe.learner)
    learner.settings = settings
    return learner


def observation(count: int, seed: int) -> Observation:
    """Users to whom 5 of the 7 items are available."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(ITEMS, dtype=np.int32), (count, 1)), axis=1)
    candidates = np.tile(np.arange(ITEMS, dtype=np.int32), (count, 1))
    np.put_along_axis(candidates, order[:, 5:], -1, axis=1)
    return Observation(
        user_features=rng.normal(size=(count, USER)).astype(np.float32),
        history=rng.integers(-1, ITEMS, size=(count, LENGTH)).astype(np.int32),
        history_feedback=np.ones((count, LENGTH), dtype=np.float32),
        context=rng.random((count, CONTEXT)).astype(np.float32),
        candidates=candidates,
    )


def logged_batch(count: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Rows as `LoggedRows` draws them."""
    rng = np.random.default_rng([seed, 1])
    now, after = observation(count, seed), observation(count, seed + 1000)
    columns = to_columns(now, full_catalogue=True)
    columns |= {NEXT + name: column for name, column in to_columns(after, full_catalogue=True).items()}
    columns[ACTIONS] = np.stack([rng.permutation(np.flatnonzero(row))[:K] for row in now.available])
    columns[NEXT + ACTIONS] = np.stack([rng.permutation(np.flatnonzero(row))[:K] for row in after.available])
    columns[CHOSEN] = rng.integers(-1, K, size=count)
    columns[RETURN] = rng.normal(size=count).astype(np.float32)
    columns[TO_GO] = rng.normal(size=count).astype(np.float32)
    columns[DISCOUNT] = np.where(rng.random(count) < 0.3, 0.0, 0.9).astype(np.float32)
    columns[LOG_PROPENSITY] = np.log(rng.uniform(0.05, 0.5, size=(count, K))).astype(np.float32)
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def available_of(batch: dict[str, Tensor], prefix: str = "") -> np.ndarray:
    """Bool [B, N]."""
    bits: np.ndarray = np.unpackbits(batch[prefix + "available"].numpy(), axis=1)[:, :ITEMS].astype(bool)
    return bits


def after_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The observation after."""
    return {name.removeprefix(NEXT): column for name, column in batch.items() if name.startswith(NEXT)}


def slate_value_by_hand(values: np.ndarray, masses: np.ndarray, null_value: float, null_mass: float) -> float:
    """Σ s Q / Σ s of one slate and nothing."""
    return float((masses @ values + null_mass * null_value) / (masses.sum() + null_mass))
