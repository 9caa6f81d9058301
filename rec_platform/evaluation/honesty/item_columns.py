"""What a ranking for everybody can be made of: a few numbers an item, each of mean 0 and deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rec_platform.evaluation.honesty.random_play import RandomPlay
from rec_platform.types import Float32, Float64

FEATURE_COLUMNS = 24
"""More features than this are replaced by as many principal components."""

SQUARED_FEATURES = 8
"""Up to so many features also give their squares, so that a ranking can prefer the middle of one."""

FLAT = 1e-9
"""A column that varies less among the items is left out."""


@dataclass(frozen=True)
class ItemColumns:
    """A basis for rankings.

    Attributes:
        names: C names.
        values: float64 [N, C].
    """

    names: tuple[str, ...]
    values: Float64

    def named(self, names: tuple[str, ...]) -> ItemColumns:
        """Those of the columns ``names`` that there are."""
        kept = [j for j, name in enumerate(self.names) if name in names]
        return ItemColumns(tuple(self.names[j] for j in kept), self.values[:, kept])


ESTIMATED = ("reward after", "return after", "mean immediate value")
POPULARITY = "log popularity"


def item_columns(item_features: Float32, seen: RandomPlay, popularity: Float64 | Float32 | None = None) -> ItemColumns:
    """Features (and squares when few), log popularity if given, and what random play told of each item.

    Args:
        item_features: float32 [N, D].
        popularity: [N] counts or shares of the log, not negative.
    """
    raw = dict(zip(ESTIMATED, (seen.reward_after, seen.return_after, seen.mean_immediate_value), strict=True))
    if popularity is not None:
        counts = np.asarray(popularity, dtype=np.float64)
        floor = counts[counts > 0].min() if (counts > 0).any() else 1.0
        raw[POPULARITY] = np.log(np.maximum(counts, 0.5 * floor))
    features = item_features.astype(np.float64)
    names = [f"feature {j}" for j in range(features.shape[1])]
    if features.shape[1] > FEATURE_COLUMNS:
        centred = features - features.mean(axis=0)
        left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
        features = (left * sizes)[:, :FEATURE_COLUMNS]
        names = [f"feature component {j}" for j in range(features.shape[1])]
    raw |= dict(zip(names, features.T, strict=True))
    if item_features.shape[1] <= SQUARED_FEATURES:
        for name, column in zip(names, features.T, strict=True):
            if len(np.unique(column)) > 2:
                raw[f"{name} squared"] = (column - column.mean()) ** 2
    kept = {name: standardised(column) for name, column in raw.items()}
    kept = {name: column for name, column in kept.items() if column.any()}
    values = np.stack(list(kept.values()), axis=1) if kept else np.zeros((len(features), 0))
    return ItemColumns(tuple(kept), values)


def standardised(column: Float64) -> Float64:
    """Mean 0 and deviation 1, unknown (NaN) values at the mean; all 0 where the column is flat."""
    known = np.isfinite(column)
    if not known.any():
        return np.zeros(len(column))
    centred = np.where(known, column, column[known].mean()) - column[known].mean()
    deviation = float(centred.std())
    if deviation <= FLAT * max(1.0, float(np.abs(column[known]).max())):
        return np.zeros(len(column))
    result: Float64 = centred / deviation
    return result
