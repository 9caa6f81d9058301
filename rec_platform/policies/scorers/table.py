"""A value for every context and item: what bandits and tabular learners know, looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.policies.context_key import ContextKey
from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Observation


@dataclass(frozen=True)
class TableScorer:
    """score of item i in context g = values[0, g, i]; with K > 1 the score of each slot besides.

    Attributes:
        key: says which context an observation is of.
        values: float32 [K, G, N], K slots or 1 for all.
        spread: float32 [G, N] standard deviations of what is believed; None where nothing is drawn.
    """

    key: ContextKey
    values: Float32
    spread: Float32 | None = None

    def score(self, observation: Observation) -> Scores:
        context, items = self.key.ids(observation)[:, None], observation.candidates
        values = self.values[0][context, items]
        spread = None if self.spread is None else self.spread[context, items]
        per_slot = None
        if len(self.values) > 1:
            per_slot = np.ascontiguousarray(self.values[:, context, items].transpose(1, 0, 2))
        return Scores(values, spread=spread, per_slot=per_slot)

    def export(self) -> ScorerExport:
        arrays = {"values": self.values} | ({} if self.spread is None else {"spread": self.spread})
        return ScorerExport({"kind": "table", "context": self.key.to_list()}, arrays)

    @staticmethod
    def rebuilt(spec: dict[str, Any], arrays: Any) -> TableScorer:
        return TableScorer(ContextKey.from_list(spec["context"]), arrays["values"], arrays.get("spread"))
