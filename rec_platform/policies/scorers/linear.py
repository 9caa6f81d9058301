"""Scores linear in features of user, moment and item, with what is not known about them: LinUCB and LinTS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rec_platform.policies.context_key import ContextKey
from rec_platform.policies.policy import Scores
from rec_platform.policies.scorers.export import ScorerExport
from rec_platform.types import Float32, Float64, Int32, Observation

LARGEST_BLOCK = 1 << 23
"""Numbers in one array of rows × candidates × features."""

Confidence = Literal["upper_bound", "posterior"]


@dataclass(frozen=True)
class JointFeatures:
    """x(user, moment, item) = [1, z, y, z ⊗ y] with z of the request and y of the item.

    Attributes:
        key: its groups are one-hot columns of z.
        user, context: whether `Observation.user_features` and `Observation.context` stand in z as they are.
        interactions: whether z ⊗ y is there.
        item_features: float32 [N, D], y; D may be 0.
    """

    key: ContextKey
    user: bool
    context: bool
    interactions: bool
    item_features: Float32

    def request(self, observation: Observation) -> Float64:
        """[1, z] float64 [B, 1 + P]."""
        parts: list[np.ndarray] = [np.ones((observation.batch_size, 1)), self.key.one_hot(observation)]
        parts += [observation.user_features] if self.user else []
        parts += [observation.context] if self.context else []
        return np.concatenate([part.astype(np.float64) for part in parts], axis=1)

    def joint(self, request: Float64, items: Int32) -> Float64:
        """x float64 [B, M, d] of items [B, M] for ``request`` [B, 1 + P]; arbitrary where an item is -1."""
        item = self.item_features[items].astype(np.float64)
        wide = np.broadcast_to(request[:, None, :], (*items.shape, request.shape[1]))
        if not self.interactions:
            return np.concatenate([wide, item], axis=2)
        crossed = (request[:, None, 1:, None] * item[:, :, None, :]).reshape(*items.shape, -1)
        return np.concatenate([wide, item, crossed], axis=2)

    def to_dict(self) -> dict[str, Any]:
        return {
            "context": self.key.to_list(),
            "user_columns": self.user,
            "context_columns": self.context,
            "interactions": self.interactions,
        }

    @staticmethod
    def from_dict(spec: Mapping[str, Any], item_features: Float32) -> JointFeatures:
        key = ContextKey.from_list(spec["context"])
        return JointFeatures(key, spec["user_columns"], spec["context_columns"], spec["interactions"], item_features)


@dataclass(frozen=True)
class LinearScorer:
    """mean = x · θ, deviation = α |x L| with L Lᵀ = A^-1.

    With one model for all items x is joint; with one an item (``theta`` [N, d]) x is the request's own.

    Attributes:
        features: see `JointFeatures`.
        theta: float64 [d] or [N, d].
        root: float64 [d, d] or [N, d, d], L.
        width: α (LinUCB) or v (LinTS).
        confidence: ``upper_bound``: the score is mean + deviation. ``posterior``: it is the mean, with the deviation as
            `Scores.spread` (a model an item: independent) or α x L as `Scores.loadings` (one model).
    """

    features: JointFeatures
    theta: Float64
    root: Float64
    width: float
    confidence: Confidence

    def score(self, observation: Observation) -> Scores:
        request = self.features.request(observation)
        if self.theta.ndim == 2:
            return self._by_item(request, observation.candidates)
        batch, candidates = observation.candidates.shape
        step = max(1, LARGEST_BLOCK // max(1, candidates * len(self.theta)))
        starts = range(0, max(batch, 1), step)
        parts = [self._joint(request[s : s + step], observation.candidates[s : s + step]) for s in starts]
        values = np.concatenate([value for value, _ in parts])
        if self.confidence == "upper_bound":
            return Scores(values)
        return Scores(values, loadings=np.concatenate([loadings for _, loadings in parts if loadings is not None]))

    def _joint(self, request: Float64, items: Int32) -> tuple[Float32, Float32 | None]:
        x = self.features.joint(request, items)
        mean, loadings = x @ self.theta, self.width * (x @ self.root)
        if self.confidence == "upper_bound":
            return (mean + np.linalg.norm(loadings, axis=2)).astype(np.float32), None
        return mean.astype(np.float32), loadings.astype(np.float32)

    def _by_item(self, request: Float64, items: Int32) -> Scores:
        """Every item's model at once, then the candidates: [N, B] numbers, and `LARGEST_BLOCK` between."""
        mean = request @ self.theta.T
        deviation = np.empty_like(mean)
        step = max(1, LARGEST_BLOCK // max(1, request.size))
        for start in range(0, len(self.theta), step):
            part = self.root[start : start + step]
            deviation[:, start : start + step] = self.width * np.linalg.norm(request @ part, axis=2).T
        values, spread = (np.take_along_axis(part, items, axis=1) for part in (mean, deviation))
        if self.confidence == "upper_bound":
            return Scores((values + spread).astype(np.float32))
        return Scores(values.astype(np.float32), spread=spread.astype(np.float32))

    def export(self) -> ScorerExport:
        spec = {"kind": "linear", "width": self.width, "confidence": self.confidence} | self.features.to_dict()
        arrays: dict[str, np.ndarray] = {
            "theta": self.theta,
            "root": self.root,
            "item_features": self.features.item_features,
        }
        return ScorerExport(spec, arrays)

    @staticmethod
    def rebuilt(spec: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> LinearScorer:
        features = JointFeatures.from_dict(spec, arrays["item_features"])
        return LinearScorer(features, arrays["theta"], arrays["root"], spec["width"], spec["confidence"])
