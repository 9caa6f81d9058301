"""Maximal marginal relevance: a list whose items are each good and unlike those above them.

Carbonell and Goldstein (1998, equation 1): fill the slots one after another, each with the item of the largest

    r_i - w · max over the items j chosen already of max(0, cosine(content of i, content of j)).

The relevance r_i is 1 / log₂(1 + rank of i), the rank being another scorer's among the available candidates (equal
scores share the best of their ranks): 1 for the first, .63 for the second, .29 for the tenth, .15 for the hundredth.
It is what that place is worth in a discounted cumulative gain, so a weight means the same whatever the scale of the
scores: at w = 1 an item like one above it must come first to be worth 0.

The greedy order does not depend on how many slots are filled, and what an item is worth only falls while they fill. So
the order is told by scores alone, each item's being its worth when it was chosen, and every sampler can read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.data.item_features import unit_rows
from rec_platform.policies.policy import Scorer, Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Bool, Float32, Observation

BLOCK = 4_000_000
"""Numbers of content that are looked at together."""


@dataclass(frozen=True)
class MMRScorer:
    """An item's score depends on which others are on offer.

    Attributes:
        base: gives the relevance.
        item_features: float32 [N, D] content features.
        weight: w ≥ 0; 0 is the base's own order.
        depth: slots that are filled with regard to one another; those below regard these first ones only.
    """

    base: Scorer
    item_features: Float32
    weight: float
    depth: int = 20

    @cached_property
    def _unit(self) -> Float32:
        return unit_rows(self.item_features)

    def score(self, observation: Observation) -> Scores:
        relevance = by_rank(self.base.score(observation).values, observation.available)
        return Scores(marginal_values(relevance, observation, self._unit, weight=self.weight, depth=self.depth))

    def export(self) -> ScorerExport:
        inner = self.base.export()  # type: ignore[attr-defined]
        spec = {"kind": "mmr", "weight": self.weight, "depth": self.depth, "base": inner.spec}
        arrays = {f"base.{name}": array for name, array in inner.arrays.items()}
        return ScorerExport(spec, {**arrays, "content": self.item_features}, inner.files)


def by_rank(values: Float32, available: Bool) -> Float32:
    """1 / log₂(1 + rank), float32 [B, M], by ``values`` [B, M] among those available; 0 for the others."""
    masked = np.where(available, values, -np.inf)
    order = np.argsort(-masked, axis=1, kind="stable")
    falling = np.take_along_axis(masked, order, axis=1)
    first = np.zeros(order.shape, dtype=np.int64)  # place of the first that is equal
    if order.shape[1]:
        first[:, 1:] = np.where(falling[:, 1:] != falling[:, :-1], np.arange(1, order.shape[1]), 0)
    np.maximum.accumulate(first, axis=1, out=first)
    relevance = np.empty(order.shape, dtype=np.float32)
    np.put_along_axis(relevance, order, (1.0 / np.log2(2.0 + first)).astype(np.float32), axis=1)
    return np.where(available, relevance, np.float32(0))


def marginal_values(
    relevance: Float32, observation: Observation, unit: Float32, *, weight: float, depth: int
) -> Float32:
    """What each candidate is worth when the greedy order comes to it, float32 [B, M].

    Args:
        relevance: [B, M].
        unit: [N, D], rows of length 1.
    """
    candidates, available = observation.candidates, observation.available
    if weight == 0.0 or not candidates.size:
        return relevance
    values = np.empty_like(relevance)
    rows = max(1, BLOCK // max(1, candidates.shape[1] * unit.shape[1]))
    for start in range(0, len(relevance), rows):
        part = slice(start, start + rows)
        values[part] = _filled(relevance[part], available[part], unit[candidates[part]], np.float32(weight), depth)
    return values


def _filled(relevance: Float32, available: Bool, content: Float32, weight: np.float32, depth: int) -> Float32:
    """The same of some rows, with their candidates' ``content`` [B, M, D]."""
    values, left, row = relevance.copy(), available.copy(), np.arange(len(relevance))
    likeness = np.zeros_like(relevance)
    for _ in range(min(depth, relevance.shape[1])):
        worth = relevance - weight * likeness
        chosen = np.argmax(np.where(left, worth, -np.inf), axis=1)
        new = left[row, chosen]  # false where none is left
        values[row[new], chosen[new]] = worth[row[new], chosen[new]]
        left[row, chosen] = False
        cosine = np.matmul(content, content[row, chosen][:, :, None])[:, :, 0]
        likeness = np.maximum(likeness, np.where(new[:, None], cosine, np.float32(0)))
    return np.where(left, relevance - weight * likeness, values)
