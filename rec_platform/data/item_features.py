"""Content features of items: multi-hot categories, scaled price and rating."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_platform.types import Float32

MAX_CATEGORIES = 64
"""Columns given to categories, the most frequent first; rarer ones have no column."""


def item_features(items: pa.Table) -> tuple[Float32, tuple[str, ...]]:
    """Features float32 [N, D] of an ``items`` table in its row order, and the D names.

    ``category=X``: 1 where the item is in category X. ``price``: log(1 + price), standardised over the items that have
    one, 0 where unknown; ``rating``: standardised likewise. Each has a column only where some item has one.
    """
    columns: list[np.ndarray] = []
    names: list[str] = []
    rows, categories = _exploded(items["category"])
    if len(categories):
        distinct, inverse, counts = np.unique(categories, return_inverse=True, return_counts=True)
        order = np.lexsort((distinct, -counts))[:MAX_CATEGORIES]
        column_of = np.full(len(distinct), -1)
        column_of[order] = np.arange(len(order))
        hot = np.zeros((len(items), len(order)), dtype=np.float32)
        kept = column_of[inverse] >= 0
        hot[rows[kept], column_of[inverse][kept]] = 1.0
        columns.extend(hot.T)
        names.extend(f"category={distinct[i]}" for i in order)
    for name in ("price", "rating"):
        values = items[name].cast(pa.float64()).to_numpy()
        known = np.isfinite(values)
        if known.any():
            columns.append(_standardised(np.log1p(np.maximum(values, 0.0)) if name == "price" else values, known))
            names.append(name)
    features = np.stack(columns, axis=1) if columns else np.zeros((len(items), 0))
    return np.ascontiguousarray(features, dtype=np.float32), tuple(names)


def _exploded(category: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Row and name of every (item, category) pair: int64 [pairs], object [pairs]."""
    array = category.combine_chunks()
    rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
    names = pc.list_flatten(array).to_numpy(zero_copy_only=False).astype(object)
    present = np.array([name is not None for name in names], dtype=bool)
    return rows[present], names[present].astype(str)


def _standardised(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    spread = values[known].std()
    return np.where(known, (values - values[known].mean()) / (spread if spread > 0 else 1.0), 0.0)


def unit_rows(features: Float32) -> Float32:
    """Rows [N, D] scaled to length 1; rows of zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.ascontiguousarray(features / np.maximum(lengths, 1e-8), dtype=np.float32)
