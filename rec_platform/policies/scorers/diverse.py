"""Another scorer's relevance less a penalty for being like what the user consumed last.

The strongest simple rule against boredom (Carbonell and Goldstein 1998, MMR, with the recent history in the place of
the list): score_i - w · mean cosine(content of i, content of the last W consumed items). One weight for everybody,
tuned in a simulator; a learned policy has to be held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rec_platform.data.item_features import unit_rows
from rec_platform.policies.policy import Scorer, Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True)
class DiverseScorer:
    """Likeness to the history alone: items of one slate may be as like each other as they please (see `MMRScorer`).

    Attributes:
        base: gives the relevance.
        item_features: float32 [N, D] content features.
        weight: w ≥ 0.
        window: W, how many of the newest history entries count.
    """

    base: Scorer
    item_features: Float32
    weight: float
    window: int = 10

    @cached_property
    def _unit(self) -> Float32:
        """Content scaled to length 1, float32 [N, D]; once, not a request."""
        return unit_rows(self.item_features)

    def score(self, observation: Observation) -> Scores:
        base = self.base.score(observation)
        unit = self._unit
        history = observation.history[:, -self.window :]
        consumed = (observation.history_feedback[:, -self.window :] > 0) & (history >= 0)
        mean = (unit[history] * consumed[..., None]).sum(axis=1) / np.maximum(consumed.sum(axis=1), 1)[:, None]
        similarity = np.take_along_axis((mean @ unit.T).astype(np.float32), observation.candidates, axis=1)
        return Scores(np.subtract(base.values, np.float32(self.weight) * similarity))

    def export(self) -> ScorerExport:
        inner = self.base.export()  # type: ignore[attr-defined]
        spec = {"kind": "diverse", "weight": self.weight, "window": self.window, "base": inner.spec}
        return ScorerExport(spec, {**inner.arrays, "content": self.item_features}, inner.files)
