"""What random slates show of a simulator: the scale of its values, and what came after each item.

    residual of an exposure   r - mean r                          for the reward of its own slate
                              G_t - mean of G_t over users        for the return from its step t on
    column of an item         shrunk mean of its exposures' residuals

Subtracting the mean return at the same step takes out that later slates have less of the session before them. Means of
n exposures are shrunk by n / (n + κ), κ = (variance of a residual) / (variance of items' true means), the latter by the
method of moments (empirical Bayes), so that an item shown twice does not head the ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.evaluation.honesty.scorers import KnowsSimilarity, candidate_similarity
from rec_platform.policies.policy import Policy
from rec_platform.policies.samplers import PlackettLuce
from rec_platform.policies.scorers import UniformScorer
from rec_platform.simulation.simulator import Simulator
from rec_platform.types import Bool, Float32, Float64, Observation

RANDOM = Policy("random", UniformScorer(), PlackettLuce())

SEEN_STEPS = 1_000
"""Random play is watched for so many slates; returns of longer sessions are cut there."""


@dataclass(frozen=True, slots=True)
class RandomPlay:
    """What was seen.

    Attributes:
        reward_after: float64 [N] shrunk mean reward of slates that showed the item, less the mean of all slates.
        return_after: float64 [N] shrunk mean return from the slate on, less the mean of that step.
        mean_immediate_value: float64 [N] mean of the simulator's immediate value of the item over users; NaN if never
            a candidate.
        immediate_scale: mean standard deviation of the immediate value among a user's available candidates.
        similarity_scale: the same of the similarity to what was lately consumed; NaN where the simulator knows none.
        mean_value: mean immediate value of the available candidates, over all slates.
        value_range: smallest and largest immediate value met.
    """

    reward_after: Float64
    return_after: Float64
    mean_immediate_value: Float64
    immediate_scale: float
    similarity_scale: float
    mean_value: float
    value_range: tuple[float, float]


def watch_random_play(simulator: Simulator, *, users: int, seed: int) -> RandomPlay:
    """Play random slates to ``users`` fresh users, one session each."""
    spec = simulator.spec
    batch = simulator.users(users, seed=seed)
    rng = np.random.default_rng([seed, 1])
    active = np.ones(users, dtype=np.bool_)
    items, rewards, present = [], [], []
    values = _Values(spec.num_items)
    for _ in range(SEEN_STEPS):
        observation = batch.observation
        values.add(simulator, observation.take(np.flatnonzero(active)))
        positions = RANDOM.sampler.sample(RANDOM.scorer.score(observation), observation, spec.slate_size, rng)
        items.append(np.take_along_axis(observation.candidates, positions, axis=1))
        present.append(active.copy())
        feedback = batch.step(positions)
        rewards.append(feedback.reward.astype(np.float64) * active)
        active &= ~feedback.finished
        if not active.any():
            break
    shown, seen, reward = np.stack(items), np.stack(present), np.stack(rewards)
    to_go = np.cumsum(reward[::-1], axis=0)[::-1]
    at_step = (to_go * seen).sum(axis=1) / seen.sum(axis=1)
    return RandomPlay(
        reward_after=shrunk_means(shown[seen], (reward - reward[seen].mean())[seen], spec.num_items),
        return_after=shrunk_means(shown[seen], (to_go - at_step[:, None])[seen], spec.num_items),
        mean_immediate_value=values.item_means(),
        immediate_scale=values.immediate_scale,
        similarity_scale=values.similarity_scale,
        mean_value=values.mean,
        value_range=(values.lowest, values.highest),
    )


def shrunk_means(items: NDArray[np.int32], residuals: Float64, num_items: int) -> Float64:
    """Empirical-Bayes means by item, float64 [N], 0 for an item never shown.

    Args:
        items: int32 [S, k] the items of S slates.
        residuals: float64 [S] one a slate, of mean 0.
    """
    flat, repeated = items.ravel(), np.repeat(residuals, items.shape[1])
    counts = np.bincount(flat, minlength=num_items).astype(np.float64)
    means = np.bincount(flat, weights=repeated, minlength=num_items) / np.maximum(counts, 1.0)
    met = counts > 0
    noise = float(residuals.var())
    between = float((means[met] ** 2).mean() - noise * (1.0 / counts[met]).mean())
    shrinkage = min(noise / between, counts.max() * 100.0) if between > 0 else counts.max() * 100.0
    shrunk: Float64 = means * counts / (counts + shrinkage)
    return shrunk


class _Values:
    """Running sums of what the simulator says of its candidates."""

    def __init__(self, num_items: int) -> None:
        self._sums, self._counts = np.zeros(num_items), np.zeros(num_items)
        self._deviations, self._likeness, self._rows = 0.0, 0.0, 0
        self.lowest, self.highest = np.inf, -np.inf

    def add(self, simulator: Simulator, observation: Observation) -> None:
        available = observation.available
        values = simulator.immediate_value(observation)
        inside = values[available].astype(np.float64)
        items = observation.candidates[available]
        self._sums += np.bincount(items, weights=inside, minlength=len(self._sums))
        self._counts += np.bincount(items, minlength=len(self._counts))
        self.lowest, self.highest = min(self.lowest, float(inside.min())), max(self.highest, float(inside.max()))
        self._rows += len(values)
        self._deviations += float(_row_deviation(values, available).sum())
        if isinstance(simulator, KnowsSimilarity):
            full = simulator.spec.full_catalogue
            likeness = candidate_similarity(simulator, observation, full_catalogue=full)
            self._likeness += float(_row_deviation(likeness, available).sum())
        else:
            self._likeness = np.nan

    def item_means(self) -> Float64:
        means: Float64 = np.full(len(self._sums), np.nan)
        np.divide(self._sums, self._counts, out=means, where=self._counts > 0)
        return means

    @property
    def immediate_scale(self) -> float:
        return self._deviations / self._rows

    @property
    def similarity_scale(self) -> float:
        return self._likeness / self._rows

    @property
    def mean(self) -> float:
        return float(self._sums.sum() / self._counts.sum())


def _row_deviation(values: Float32, available: Bool) -> Float64:
    """Standard deviation float64 [B] of each row's available values."""
    count = np.maximum(available.sum(axis=1), 1)
    kept = np.where(available, values, np.float32(0.0)).astype(np.float64)
    mean = kept.sum(axis=1) / count
    square = (kept**2).sum(axis=1) / count
    deviation: Float64 = np.sqrt(np.maximum(square - mean**2, 0.0))
    return deviation
