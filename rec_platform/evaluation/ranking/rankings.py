"""Lists of recommendations beside what users took later: what all ranking metrics are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.item_features import unit_rows
from rec_platform.types import Bool, Float32, Float64, Int32


@dataclass(frozen=True)
class Rankings:
    """The k best of each of n users.

    Attributes:
        items: int32 [n, k] catalogue indices, best first, distinct in a row; -1 where a list is shorter.
        hits: bool [n, k] whether the user took it later.
        relevant: int64 [n] how many items the user took later, at least 1 each.
    """

    items: Int32
    hits: Bool
    relevant: NDArray[np.int64]

    @property
    def k(self) -> int:
        return int(self.items.shape[1])

    @property
    def listed(self) -> Bool:
        """Bool [n, k]: where there is an item."""
        return self.items >= 0


@dataclass(frozen=True)
class ItemFacts:
    """What is known of the catalogue's N items from the training part.

    Attributes:
        counts: int64 [N] training events of each item.
        features: float32 [N, D] content features.
    """

    counts: NDArray[np.int64]
    features: Float32

    @cached_property
    def share(self) -> Float64:
        """Float64 [N]: share of the training events."""
        return self.counts / self.counts.sum()

    @cached_property
    def unit(self) -> Float32:
        """Float32 [N, D]: features scaled to length 1; zeros where an item has none."""
        return unit_rows(self.features)
