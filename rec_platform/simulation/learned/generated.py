"""A made-up log of any size, for measuring: users who like some of sixteen categories, items of unlike quality."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from rec_platform.data.catalog import Catalog
from rec_platform.data.histories import Histories
from rec_platform.data.user_log import UserLog

CATEGORIES = 16
EVENTS = 100
"""Of each user."""


def generated_log(num_items: int, *, num_users: int = 2_000, seed: int = 0) -> UserLog:
    """``num_users`` users who answered 100 items each, the first of the catalogue more often than the last."""
    rng = np.random.default_rng(seed)
    category = rng.integers(0, CATEGORIES, num_items)
    quality = 0.7 * rng.standard_normal(num_items)
    taste = 1.5 * rng.standard_normal((num_users, CATEGORIES))
    items = (num_items * rng.random((num_users, EVENTS)) ** 3).astype(np.int32)
    liked = rng.random(items.shape) < expit(np.take_along_axis(taste, category[items], axis=1) + quality[items])
    features = np.zeros((num_items, CATEGORIES), dtype=np.float32)
    features[np.arange(num_items), category] = 1.0
    counts = np.bincount(items[liked], minlength=num_items)
    catalog = Catalog(
        item_ids=tuple(f"item-{number:07d}" for number in range(num_items)),
        titles=("",) * num_items,
        features=features,
        feature_names=tuple(f"category={number:02d}" for number in range(CATEGORIES)),
        popularity=(counts / max(counts.sum(), 1)).astype(np.float32),
    )
    histories = Histories(
        user_ids=tuple(f"user-{number:06d}" for number in range(num_users)),
        offsets=np.arange(num_users + 1, dtype=np.int64) * EVENTS,
        items=items.ravel(),
        feedback=np.where(liked, 1.0, -1.0).astype(np.float32).ravel(),
        timestamps=np.tile(np.arange(EVENTS, dtype=np.int64), num_users),
    )
    return UserLog(catalog, histories, np.zeros((num_users, 0), dtype=np.float32))
