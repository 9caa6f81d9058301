"""Several recommenders as one: a mixture of what each thinks the user takes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.policies.policy import Scorer, Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float64, Observation

LEAST = 1e-30


@dataclass(frozen=True)
class BlendScorer:
    """score_i = Σ_p w_p P_p(i), the mixture of the parts' probabilities over the available candidates.

    A part whose scores are logarithms of probabilities is a softmax of them; of any other its share of the sum of
    positive scores. A part without a positive score says nothing.

    Attributes:
        parts: P scorers.
        weights: P numbers ≥ 0.
        log_scores: P, which parts give logarithms.
    """

    parts: tuple[Scorer, ...]
    weights: tuple[float, ...]
    log_scores: tuple[bool, ...]

    def score(self, observation: Observation) -> Scores:
        mixed = np.zeros(observation.candidates.shape)
        for part, weight, logs in zip(self.parts, self.weights, self.log_scores, strict=True):
            values = part.score(observation).values.astype(np.float64)
            mixed += weight * (_softmax if logs else _shares)(values, observation)
        return Scores(mixed.astype(np.float32))

    def export(self) -> ScorerExport:
        exports = [part.export() for part in self.parts]  # type: ignore[attr-defined]
        spec = {
            "kind": "blend",
            "weights": list(self.weights),
            "log_scores": list(self.log_scores),
            "parts": [export.spec for export in exports],
        }
        arrays = {f"{i}.{name}": array for i, export in enumerate(exports) for name, array in export.arrays.items()}
        files = {f"{i}-{name}": content for i, export in enumerate(exports) for name, content in export.files.items()}
        return ScorerExport(spec, arrays, files)


def part_of(number: int, stored: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """The arrays or files of one part, under the names that it gave them."""
    prefix = f"{number}{separator}"
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _softmax(values: Float64, observation: Observation) -> Float64:
    values = np.where(observation.available, values, -np.inf)
    top = values.max(axis=1, keepdims=True, initial=-np.inf)
    mass = np.exp(values - np.where(np.isfinite(top), top, 0.0))
    return mass / np.maximum(mass.sum(axis=1, keepdims=True), LEAST)


def _shares(values: Float64, observation: Observation) -> Float64:
    mass = np.where(observation.available, np.maximum(values, 0.0), 0.0)
    return mass / np.maximum(mass.sum(axis=1, keepdims=True), LEAST)
