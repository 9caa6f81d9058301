"""Small models of the expected reward of every action, for the direct method and as doubly robust baselines.

They need not be right: a doubly robust estimator is unbiased whatever the model says, and the better the model, the
narrower. Both shrink what few decisions say of an action towards what all decisions say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy.bandit_feedback import BanditFeedback
from rec_platform.types import Float64


class RewardModel(Protocol):
    """Fits on one part of a log and predicts for another."""

    def predict(self, train: BanditFeedback, other: BanditFeedback) -> Float64:
        """q̂ float64 [m, A] for the m decisions of ``other``, each at its own position."""
        ...


@dataclass(frozen=True, slots=True)
class ShrunkMeans:
    """q̂ = mean of the position + (n_a / (n_a + s)) · mean residual of the action, whatever the context.

    Attributes:
        strength: s > 0, in decisions: an action shown s times counts half.
    """

    strength: float = 10.0

    def __post_init__(self) -> None:
        _check_positive("strength", self.strength)

    def predict(self, train: BanditFeedback, other: BanditFeedback) -> Float64:
        by_position = _position_means(train)
        residuals = train.rewards - by_position[_positions(train)]
        counts = np.bincount(train.actions, minlength=train.action_count)
        sums = np.bincount(train.actions, weights=residuals, minlength=train.action_count)
        known = np.minimum(_positions(other), len(by_position) - 1)
        return by_position[known][:, None] + (sums / (counts + self.strength))[None, :]


@dataclass(frozen=True, slots=True)
class RidgeByAction:
    """q̂ = φ(x)ᵀ β_a with β_a drawn to the β of all actions: min Σ_{i: a_i = a} (r_i - φ_iᵀ β_a)² + λ |β_a - β|².

    φ is an intercept, the context and one column a position but the first; β itself is a ridge over all decisions
    whose intercept is free. An action that was never shown has β_a = β.

    Attributes:
        penalty: λ > 0, in decisions where features have unit scale: contexts should be standardised.
    """

    penalty: float = 10.0

    def __post_init__(self) -> None:
        _check_positive("penalty", self.penalty)

    def predict(self, train: BanditFeedback, other: BanditFeedback) -> Float64:
        slots = max(int(_positions(train).max()), int(_positions(other).max())) + 1
        features = _features(train, slots)
        size = features.shape[1]
        ridge = self.penalty * np.eye(size)
        free = ridge.copy()
        free[0, 0] = 1e-9
        pooled = np.linalg.solve(features.T @ features + free, features.T @ train.rewards)
        residuals = train.rewards - features @ pooled
        order = np.argsort(train.actions, kind="stable")
        shown, starts = np.unique(train.actions[order], return_index=True)
        grams = np.empty((len(shown), size, size))
        moments = np.empty((len(shown), size))
        for row, rows in enumerate(np.split(order, starts[1:])):
            block = features[rows]
            grams[row], moments[row] = block.T @ block, block.T @ residuals[rows]
        coefficients = np.repeat(pooled[None], train.action_count, axis=0)
        coefficients[shown] += np.linalg.solve(grams + ridge, moments[:, :, None])[:, :, 0]
        return _features(other, slots) @ coefficients.T


def _positions(feedback: BanditFeedback) -> np.ndarray:
    """[n], all 0 where the log has no positions."""
    return np.zeros(len(feedback), dtype=np.int64) if feedback.positions is None else feedback.positions


def _position_means(train: BanditFeedback) -> Float64:
    """Mean reward of each position; of all decisions for positions that are empty."""
    positions = _positions(train)
    counts = np.bincount(positions)
    sums = np.bincount(positions, weights=train.rewards)
    return np.where(counts > 0, sums / np.maximum(counts, 1), train.rewards.mean())


def _features(feedback: BanditFeedback, slots: int) -> Float64:
    """φ [n, 1 + F + slots - 1]."""
    parts = [np.ones((len(feedback), 1))]
    if feedback.contexts is not None:
        parts.append(feedback.contexts)
    parts.append((_positions(feedback)[:, None] == np.arange(1, slots)).astype(np.float64))
    return np.concatenate(parts, axis=1)


def _check_positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"reward_model.{name}", f"{value} is not above 0", "10 is a fair start")
