"""Items that are alike by what is known of them: the cosine of their content features (Salton's vector space model,
Salton, Wong & Yang 1975, "A vector space model for automatic indexing").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_platform.data.catalog import Catalog
from rec_platform.serving.problems import Problem
from rec_platform.types import Float32


class SimilarItems:
    """Keeps the unit vectors of the catalogue that it was asked about last. Safe for several threads."""

    def __init__(self) -> None:
        self._kept: tuple[Catalog, Float32] | None = None

    def of(self, catalog: Catalog, item_id: str, limit: int, exclude: Sequence[str] = ()) -> list[tuple[str, float]]:
        """At most ``limit`` (item id, cosine), the most similar first, the item itself left out.

        An item without any feature is similar to none: its cosine is 0. Ties: the catalogue's order.

        Raises:
            Problem: the item is not in the catalogue (not-found), or the catalogue has no features (validation).
        """
        index = int(catalog.index_of([item_id])[0])
        if index < 0:
            raise Problem("not-found", f"there is no item '{item_id[:80]}' in the model's catalogue")
        if not catalog.feature_names:
            message = "the model's catalogue has no content features"
            error = {"loc": ["path", "item_id"], "msg": message, "type": "no_features"}
            raise Problem("validation", f"item_id: {message}; register a model with them", errors=[error])
        units = self._units(catalog)
        cosines = np.clip(units @ units[index], -1.0, 1.0)
        others = np.ones(len(catalog), dtype=bool)
        barred = catalog.index_of(exclude)
        others[barred[barred >= 0]] = False
        others[index] = False
        left = np.flatnonzero(others)
        if limit < len(left):  # all that can be among the first, ties of the last included
            worst = np.partition(cosines[left], len(left) - limit)[len(left) - limit]
            left = left[cosines[left] >= worst]
        best = left[np.argsort(-cosines[left], kind="stable")][:limit]
        return [(catalog.item_ids[item], float(cosines[item])) for item in best]

    def _units(self, catalog: Catalog) -> Float32:
        kept = self._kept
        if kept is None or kept[0] is not catalog:
            kept = self._kept = catalog, unit_vectors(catalog.features)
        return kept[1]


def unit_vectors(features: Float32) -> Float32:
    """Rows [N, D] of length 1, or 0 where a row is; scaled first, so that large numbers do not overflow."""
    largest = np.abs(features).max(axis=1, keepdims=True)
    scaled = features / np.where(largest > 0, largest, 1)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.where(length > 0, length, 1)).astype(np.float32)
