"""The k best scores, best first: no chance, and a log that importance weighting must refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers.plackett_luce import top_k
from rec_platform.types import Float64, Int32, Observation, PropensityKind


@dataclass(frozen=True, slots=True)
class Greedy:
    """Top k by score; of equal scores the earlier candidate wins."""

    propensity_kind: PropensityKind = "deterministic"

    def spec(self) -> dict[str, Any]:
        return {"kind": "greedy"}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        return top_k(np.where(observation.available, scores.values, -np.inf), slate_size)

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        return follows(self.sample(scores, observation, positions.shape[1], np.random.default_rng(0)), positions)


def follows(slate: Int32, positions: Int32) -> Float64:
    """1.0 at every slot up to which ``positions`` agree with a deterministic ``slate``, 0.0 from there on."""
    return np.logical_and.accumulate(slate == positions, axis=1).astype(np.float64)
