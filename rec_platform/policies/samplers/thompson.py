"""Thompson sampling: draw every score from what is believed of it and show the best (Thompson 1933; Russo et al. 2018).

A scorer is deterministic, so it gives the belief (`Scores.spread` or `Scores.loadings`) and this sampler draws.

Beliefs that are independent of one another are drawn as they are, and the propensity of an item in a slot is an
integral in one dimension: `slot_marginals`, right to about 1e-8 of its value.

For beliefs that hang together (linear models), and for independent ones of very many candidates, the integral has as
many dimensions as the model. There the *policy itself* is made finite: for each row R draws of the belief are fixed by
the row's own scores, one of R + 1 is picked at random, and the last one stands for a uniformly random slate. So what
is logged is the exact probability of what is done,

    P(item i takes slot j) = (number of the R draws in which it does + 1 / number available) / (R + 1),

never 0, and summing to 1. Monte Carlo enters only as the distance between this policy and one that draws from the whole
belief: an item with probability p there has a standard error of √(p (1 - p) / R) here, and a bias below 1 / (R + 1).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError, did_you_mean
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers.plackett_luce import sample_plackett_luce, top_k
from rec_platform.policies.samplers.slot_marginals import Beliefs, Family, slot_marginals
from rec_platform.types import Bool, Float32, Float64, Int32, Observation, PropensityKind

BLOCK = 64
"""Draws that are ranked together. The same numbers in the same shape: sampling and propensity agree to the last bit."""

NARROWEST = 1e-7
"""Least standard deviation, relative to the row's largest score or 1: equal scores without spread are shown alike."""


@dataclass(frozen=True, slots=True)
class Thompson:
    """The k best of scores drawn from the scorer's belief.

    Attributes:
        posterior: of independent beliefs: ``gaussian``, or ``beta`` with mean ``values`` and deviation ``spread``.
            Correlated ones are Gaussian.
        draws: R, see the module. 1,024 make the standard error at p = 0.1 0.009.
        exact_up_to: candidates up to which independent beliefs are integrated; above, R draws.
    """

    posterior: Family = "gaussian"
    draws: int = 1024
    exact_up_to: int = 2000
    propensity_kind: PropensityKind = "slot_marginal"

    def __post_init__(self) -> None:
        if self.posterior not in get_args(Family):
            hint = did_you_mean(str(self.posterior), get_args(Family))
            raise InputError("sampler.posterior", f"'{self.posterior}' is unknown", hint)
        if self.draws < 1:
            raise InputError("sampler.draws", f"{self.draws} is below 1", "1,000 is usual")

    def spec(self) -> dict[str, Any]:
        return {
            "kind": "thompson",
            "posterior": self.posterior,
            "draws": self.draws,
            "exact_up_to": self.exact_up_to,
        }

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        available = observation.available
        if self._finite(scores):
            return self._sample_finite(scores, available, slate_size, rng)
        beliefs = self._beliefs(scores, available)
        if beliefs.family == "gaussian":
            drawn = beliefs.first + beliefs.second * rng.standard_normal(beliefs.first.shape)
        else:
            drawn = rng.beta(beliefs.first, beliefs.second)
        return top_k(np.where(available, drawn, -np.inf), slate_size)

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        available = observation.available
        if self._finite(scores):
            return self._finite_propensity(scores, available, positions)
        beliefs = self._beliefs(scores, available)
        possible = np.take_along_axis(available, positions, axis=1)
        rows, slots = np.nonzero(possible)
        items = positions[rows, slots]
        same = np.zeros(len(positions), dtype=np.int64)  # requests of one context ask the same: it is computed once
        for _, alike in _alike(scores, available):
            same[alike] = alike[0]
        keys = np.stack([same[rows], items, slots], axis=1)
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        out = np.zeros(positions.shape)
        out[rows, slots] = slot_marginals(beliefs, rows[first], items[first], slots[first])[inverse.reshape(-1)]
        return out

    def _finite(self, scores: Scores) -> bool:
        if scores.spread is None and scores.loadings is None:
            raise InputError(
                "sampler", "thompson needs a scorer that says what it believes", "use a thompson bandit or lin_ts"
            )
        return scores.loadings is not None or scores.values.shape[1] > self.exact_up_to

    def _beliefs(self, scores: Scores, available: Bool) -> Beliefs:
        """The beliefs, float64 [B, M]; candidates that are not available get some that do no harm."""
        assert scores.spread is not None
        mean = np.where(available, scores.values, 0.0).astype(np.float64)
        spread = np.where(available, scores.spread, 1.0).astype(np.float64)
        if self.posterior == "beta":
            return Beliefs("beta", *beta_counts(np.where(available, mean, 0.5), spread), available)
        least = NARROWEST * np.maximum(np.abs(mean).max(axis=1, keepdims=True), 1.0)
        return Beliefs("gaussian", mean, np.maximum(spread, least), available)

    def _sample_finite(self, scores: Scores, available: Bool, slate_size: int, rng: np.random.Generator) -> Int32:
        picked = rng.integers(self.draws + 1, size=len(available))
        positions = sample_plackett_luce(np.zeros(available.shape, np.float32), available, slate_size, rng)
        for seed, rows in _alike(scores, available):
            own, block = self._own_draws(scores.take(rows[:1]), available[rows[0]], seed), picked[rows] // BLOCK
            for number in np.unique(block[picked[rows] < self.draws]).tolist():
                there = rows[(block == number) & (picked[rows] < self.draws)]
                positions[there] = own.slates(number, slate_size)[picked[there] - number * BLOCK]
        return positions

    def _finite_propensity(self, scores: Scores, available: Bool, positions: Int32) -> Float64:
        slate_size, candidates = positions.shape[1], available.shape[1]
        counts = np.zeros(positions.shape)
        for seed, rows in _alike(scores, available):
            own = self._own_draws(scores.take(rows[:1]), available[rows[0]], seed)
            slates = np.concatenate([own.slates(n, slate_size) for n in range(-(-self.draws // BLOCK))])
            for slot in range(slate_size):
                counts[rows, slot] = np.bincount(slates[:, slot], minlength=candidates)[positions[rows, slot]]
        uniform = 1.0 / np.maximum(available.sum(axis=1, keepdims=True), 1)
        possible = np.take_along_axis(available, positions, axis=1)
        return np.where(possible, (counts + uniform) / (self.draws + 1), 0.0)

    def _own_draws(self, one: Scores, available: Bool, seed: bytes) -> _OwnDraws:
        """The draws that belong to the scores ``one`` of a single row."""
        rng = np.random.default_rng(int.from_bytes(seed, "big"))
        if one.loadings is not None:
            directions = rng.standard_normal((self.draws, one.loadings.shape[2]))
            mean, loadings = one.values[0].astype(np.float64), one.loadings[0].astype(np.float64)
            return _OwnDraws(directions, available, mean, loadings)
        beliefs = self._beliefs(one, available[None])
        shape = (self.draws, len(available))
        if beliefs.family == "gaussian":
            return _OwnDraws(beliefs.first + beliefs.second * rng.standard_normal(shape), available)
        return _OwnDraws(rng.beta(beliefs.first, beliefs.second, shape), available)


@dataclass(frozen=True)
class _OwnDraws:
    """R draws of one row: of its scores [R, M], or of z [R, d] with scores mean [M] + loadings [M, d] · z."""

    drawn: Float64
    available: Bool
    mean: Float64 | None = None
    loadings: Float64 | None = None

    def slates(self, block: int, slate_size: int) -> Int32:
        """Slates int32 [up to `BLOCK`, k] of one block of the draws."""
        part = self.drawn[block * BLOCK : (block + 1) * BLOCK]
        if self.mean is not None and self.loadings is not None:
            part = self.mean + part @ self.loadings.T
        return top_k(np.where(self.available, part, -np.inf), slate_size)


def _alike(scores: Scores, available: Bool) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
    """Rows of equal scores together, int64 [n], with what their draws are seeded by: those scores themselves."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    parts = [part for part in (scores.values, scores.spread, scores.loadings, available) if part is not None]
    for row in range(len(available)):
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            digest.update(np.ascontiguousarray(part[row]).tobytes())
        groups[digest.digest()].append(row)
    for seed, rows in groups.items():
        yield seed, np.array(rows)


def beta_counts(mean: Float64 | Float32, spread: Float64 | Float32) -> tuple[Float64, Float64]:
    """α and β of the Beta distributions with these means and standard deviations, float64.

    Of float32 input with n = α + β both are right to about (n / min(α, β)) · 1e-7: enough for any that shows items.
    """
    inside = np.clip(np.asarray(mean, np.float64), 1e-7, 1.0 - 1e-7)
    total = np.maximum(inside * (1.0 - inside) / np.square(np.asarray(spread, np.float64)) - 1.0, 1e-3)
    return inside * total, (1.0 - inside) * total
