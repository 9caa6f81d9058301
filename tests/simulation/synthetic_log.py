"""A small log with genres that users like or not."""

from __future__ import annotations

import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.data.user_log import UserLog
from rec_platform.simulation.learned import LearnedSimulatorConfig

ITEMS, GENRES, USERS, EVENTS = 60, 4, 120, 40


def synthetic_log(*, positive_only: bool = False, seed: int = 0) -> UserLog:
    """Item i has genre i mod 4; each user likes two genres with probability .9 and the others with .1."""
    rng = np.random.default_rng(seed)
    features = np.eye(GENRES, dtype=np.float32)[np.arange(ITEMS) % GENRES]
    catalog = Catalog(
        item_ids=tuple(f"i{j:03d}" for j in range(ITEMS)),
        titles=("",) * ITEMS,
        features=features,
        feature_names=tuple(f"category={j}" for j in range(GENRES)),
        popularity=np.full(ITEMS, 1 / ITEMS, dtype=np.float32),
    )
    taste = np.array([rng.permutation([0.9, 0.9, 0.1, 0.1]) for _ in range(USERS)])
    items = np.array([rng.permutation(ITEMS)[:EVENTS] for _ in range(USERS)], dtype=np.int32)
    likes = rng.random(items.shape) < np.take_along_axis(taste, items % GENRES, axis=1)
    kept = likes if positive_only else np.ones_like(likes)
    histories = Histories(
        user_ids=tuple(f"u{j:03d}" for j in range(USERS)),
        offsets=np.concatenate(([0], np.cumsum(kept.sum(axis=1)))).astype(np.int64),
        items=items[kept],
        feedback=np.where(likes, 1.0, -1.0).astype(np.float32)[kept],
        timestamps=np.arange(kept.sum(), dtype=np.int64),
    )
    user_features = rng.standard_normal((USERS, 2)).astype(np.float32)
    return UserLog(catalog, histories, user_features)


CONFIG = LearnedSimulatorConfig(slate_size=3, history_length=12)
