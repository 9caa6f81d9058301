"""Plackett–Luce: draw the slate's slots one after another, each by a softmax over what is left.

P(slate) = Π_j exp(x_{a_j}/τ) / Σ_{i not in a_1..a_{j-1}} exp(x_i/τ)      (Luce 1959; Plackett 1975)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.policy import Scores
from rec_platform.types import Bool, Float64, Int32, Observation, PropensityKind

SMALL = 64
"""Up to so many candidates, one Gumbel key a candidate is faster than drawing with repetition."""

EXTRA_DRAWS = 6


@dataclass(frozen=True, slots=True)
class PlackettLuce:
    """A slate by successive softmaxes at a temperature.

    Attributes:
        temperature: τ > 0; small is nearly greedy, large nearly uniform.
    """

    temperature: float = 1.0
    propensity_kind: PropensityKind = "plackett_luce_step"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(
                "sampler.temperature", f"{self.temperature} is not above 0", "for no chance at all use greedy"
            )

    def spec(self) -> dict[str, Any]:
        return {"kind": "plackett_luce", "temperature": self.temperature}

    def sample(self, scores: Scores, observation: Observation, slate_size: int, rng: np.random.Generator) -> Int32:
        return sample_plackett_luce(
            scores.values / np.float32(self.temperature), observation.available, slate_size, rng
        )

    def propensity(self, scores: Scores, observation: Observation, positions: Int32) -> Float64:
        logits = scores.values.astype(np.float64) / self.temperature
        return np.exp(log_propensity(logits, observation.available, positions))


def sample_plackett_luce(logits: np.ndarray, available: Bool, slate_size: int, rng: np.random.Generator) -> Int32:
    """Exact draws, positions int32 [B, k].

    Above `SMALL` candidates: a few independent draws from the first softmax, of which the distinct ones in order are
    a Plackett–Luce prefix (each draw conditioned on being new is a draw from the rest). Rows with too few distinct
    ones *keep their prefix* and are finished with Gumbel keys over the rest: starting them anew would favour flat
    slates and make every propensity wrong.

    Args:
        logits: float [B, M], already divided by the temperature.
        available: bool [B, M], at least ``slate_size`` true in a row.
    """
    batch, candidates = logits.shape
    if candidates <= SMALL or batch * candidates < 4096:
        return _gumbel_top_k(logits, available, slate_size, rng)
    masked = np.where(available, logits, -np.inf)
    mass = np.exp(masked - masked.max(axis=1, keepdims=True), dtype=np.float64)
    cumulative = np.cumsum(mass, axis=1)
    total = cumulative[:, -1:]
    # One search for all rows: row r's cumulative shares are shifted to (r, r + 1].
    shares = cumulative / total
    shares += np.arange(batch)[:, None]
    draws = slate_size + EXTRA_DRAWS
    points = (1.0 - rng.random((batch, draws))) + np.arange(batch)[:, None]  # in (r, r + 1]: never on a mass of 0
    drawn = np.searchsorted(shares.ravel(), points.ravel(), side="left").reshape(batch, draws)
    drawn -= np.arange(batch)[:, None] * candidates
    np.clip(drawn, 0, candidates - 1, out=drawn)

    repeated = np.zeros((batch, draws), dtype=bool)
    for j in range(1, draws):
        repeated[:, j] = (drawn[:, :j] == drawn[:, j : j + 1]).any(axis=1)
    repeated |= ~np.take_along_axis(available, drawn, axis=1)  # a rounding at the very end of a row
    order = np.argsort(repeated, axis=1, kind="stable")[:, :slate_size]
    positions = np.take_along_axis(drawn, order, axis=1).astype(np.int32)
    distinct = draws - repeated.sum(axis=1)
    for row in np.nonzero(distinct < slate_size)[0]:
        prefix = positions[row, : distinct[row]]
        rest = available[row].copy()
        rest[prefix] = False
        more = _gumbel_top_k(logits[row : row + 1], rest[None], slate_size - len(prefix), rng)[0]
        positions[row, distinct[row] :] = more
    return positions


def _gumbel_top_k(logits: np.ndarray, available: Bool, slate_size: int, rng: np.random.Generator) -> Int32:
    """The k largest of logit + Gumbel noise, in order, are a Plackett–Luce draw (Yellott 1977)."""
    keys = np.where(available, logits - np.log(rng.standard_exponential(logits.shape)), -np.inf)
    return top_k(keys, slate_size)


def top_k(values: np.ndarray, k: int) -> Int32:
    """Positions int32 [B, k] of the k largest, largest first; of equal ones the first position wins."""
    candidates = values.shape[1]
    if k >= candidates or candidates <= SMALL:
        return np.argsort(-values, axis=1, kind="stable")[:, :k].astype(np.int32)
    # The k-th value decides who is in; a stable sort of those not below it keeps the tie rule.
    threshold = np.partition(values, candidates - k, axis=1)[:, candidates - k]
    rows, columns = np.nonzero(values >= threshold[:, None])
    kept = values[rows, columns]
    order = np.lexsort((columns, -kept, rows))
    starts = np.searchsorted(rows, np.arange(len(values)))
    return columns[order][starts[:, None] + np.arange(k)].astype(np.int32)


def log_propensity(logits: np.ndarray, available: Bool, positions: Int32) -> Float64:
    """Log of each slot's probability given the earlier slots, float64 [B, k]; -inf for an unavailable candidate.

    One pass: the log-sum-exp of all that is not in the slate, then a reverse cumulative log-sum-exp over the slate.
    """
    logits = np.where(available, logits.astype(np.float64), -np.inf)
    slate = np.take_along_axis(logits, positions, axis=1)
    peak = logits.max(axis=1, keepdims=True)
    shifted = logits - peak
    np.put_along_axis(shifted, positions, -np.inf, axis=1)
    with np.errstate(divide="ignore"):
        rest = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    slate = slate - peak
    # logaddexp.accumulate from the last slot backwards, the rest first
    tail = np.logaddexp.accumulate(np.concatenate([rest, slate[:, ::-1]], axis=1), axis=1)[:, 1:][:, ::-1]
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(slate), -np.inf, slate - tail)
