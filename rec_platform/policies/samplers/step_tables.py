"""What a sampler would have put into a slot, given what stood before it: of all candidates, not of those shown alone.

Doubly robust evaluation asks for the mean of a value over the target's choice of a slot. Slot by slot a table of all
candidates is B × k × M numbers; here they are held as what they follow from, and means are taken without the table
where there is a shorter way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rec_platform.errors import InputError
from rec_platform.policies.policy import Sampler, Scores
from rec_platform.policies.samplers.epsilon_greedy import EpsilonGreedy
from rec_platform.policies.samplers.greedy import Greedy, follows
from rec_platform.policies.samplers.per_slot import PerSlot
from rec_platform.policies.samplers.plackett_luce import PlackettLuce
from rec_platform.policies.samplers.ratio_optimal import RatioOptimal
from rec_platform.types import Bool, Float64, Int32, Observation

SLOT_AFTER_SLOT = (PlackettLuce, PerSlot, Greedy, RatioOptimal, EpsilonGreedy)
"""Samplers that `step_tables` knows."""


class StepTables(Protocol):
    """P(item in slot | earlier slots) of all M candidates at B slates."""

    def table(self, slot: int) -> Float64:
        """Float64 [B, M]; rows sum to 1, or to 0 where nothing is available."""
        ...

    def mean(self, slot: int, values: Float64) -> Float64:
        """Float64 [B, F]: `table` @ ``values`` [M, F]."""
        ...


def step_tables(sampler: Sampler, scores: Scores, observation: Observation, positions: Int32) -> StepTables:
    """The sampler's steps given the earlier slots of ``positions`` [B, k], distinct in a row.

    Where a sampler would never have shown the earlier slots, its step is what it shows in that slot of its own slate;
    no weight is on it.

    Raises:
        InputError: the sampler is not one that fills slot after slot.
    """
    available, slots = observation.available, positions.shape[1]
    match sampler:
        case PlackettLuce():
            return _Softmax.of(scores.values.astype(np.float64) / sampler.temperature, available, positions)
        case PerSlot():
            return _SlotBySlot(sampler, scores, available, positions)
        case Greedy() | RatioOptimal():
            own = sampler.sample(scores, observation, slots, np.random.default_rng(0))
            return _Fixed(own, available.shape[1])
        case EpsilonGreedy():
            own = sampler.base.sample(scores, observation, slots, np.random.default_rng(0))
            uniform = _Softmax.of(np.zeros(available.shape), available, positions)
            share = _share_of_uniform(sampler.epsilon, own, available, positions)
            return _Mixture(uniform, _Fixed(own, available.shape[1]), share)
    problem = f"{sampler.spec()['kind']} gives no probabilities slot by slot of everything it could have shown"
    raise InputError("sampler", problem, "use an estimator without a reward model")


@dataclass(frozen=True)
class _Softmax:
    """Softmaxes over what is left.

    Candidates outside the slate are left in every slot: their shares among each other stay, and each slot weighs them
    against the slate's own items from there on. Nothing is subtracted, so that nothing cancels.

    Attributes:
        rest: float64 [B, M] shares of candidates outside the slate.
        positions: int32 [B, k].
        weights: float64 [B, k, 1 + k] for each slot, of the rest and of the slate's items.
    """

    rest: Float64
    positions: Int32
    weights: Float64

    @staticmethod
    def of(logits: Float64, available: Bool, positions: Int32) -> _Softmax:
        logits = np.where(available, logits, -np.inf)
        shown = np.take_along_axis(logits, positions, axis=1)
        np.put_along_axis(logits, positions, -np.inf, axis=1)
        rest, total = _normalised(logits)
        slots = positions.shape[1]
        later = np.where(np.arange(slots) >= np.arange(slots)[:, None], shown[:, None, :], -np.inf)
        first = np.broadcast_to(total[:, None, None], (len(rest), slots, 1))
        return _Softmax(rest, positions, _normalised(np.concatenate([first, later], axis=2))[0])

    def table(self, slot: int) -> Float64:
        weights = self.weights[:, slot]
        found = self.rest * weights[:, :1]
        np.put_along_axis(found, self.positions, weights[:, 1:], axis=1)
        return found

    def mean(self, slot: int, values: Float64) -> Float64:
        weights = self.weights[:, slot]
        of_shown = np.einsum("bk,bkf->bf", weights[:, 1:], values[self.positions])
        return weights[:, :1] * (self.rest @ values) + of_shown


def _normalised(logits: Float64) -> tuple[Float64, Float64]:
    """Softmaxes over the last axis, and its log-sum-exp; zeros and -inf where all logits are -inf."""
    peak = logits.max(axis=-1, keepdims=True)
    masses = np.exp(logits - np.where(np.isneginf(peak), 0.0, peak))
    total = masses.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return masses / np.where(total > 0, total, 1.0), (np.log(total) + peak)[..., 0]


@dataclass(frozen=True)
class _Fixed:
    """One slate, ``own`` int32 [B, k]."""

    own: Int32
    candidates: int

    def table(self, slot: int) -> Float64:
        found = np.zeros((len(self.own), self.candidates))
        found[np.arange(len(self.own)), self.own[:, slot]] = 1.0
        return found

    def mean(self, slot: int, values: Float64) -> Float64:
        return values[self.own[:, slot]]


@dataclass(frozen=True)
class _Mixture:
    """``share`` float64 [B, k] of one, the rest of the other."""

    one: _Softmax
    other: _Fixed
    share: Float64

    def table(self, slot: int) -> Float64:
        share = self.share[:, slot, None]
        return share * self.one.table(slot) + (1.0 - share) * self.other.table(slot)

    def mean(self, slot: int, values: Float64) -> Float64:
        share = self.share[:, slot, None]
        return share * self.one.mean(slot, values) + (1.0 - share) * self.other.mean(slot, values)


def _share_of_uniform(epsilon: float, own: Int32, available: Bool, positions: Int32) -> Float64:
    """Float64 [B, k]: given the earlier slots, how likely the slate is one of the uniformly random ones."""
    slots = positions.shape[1]
    left = available.sum(axis=1)[:, None] - np.arange(slots)
    ones = np.ones((len(own), 1))
    explored = epsilon * np.concatenate([ones, np.cumprod(1.0 / np.maximum(left, 1), axis=1)[:, :-1]], axis=1)
    agreed = np.concatenate([ones, follows(own, positions)[:, :-1]], axis=1) > 0
    total = explored + (1.0 - epsilon)
    return np.where(agreed, explored / np.where(total > 0, total, 1.0), float(epsilon > 0))


@dataclass(frozen=True)
class _SlotBySlot:
    """Each slot by its own scores: nothing is shared between slots."""

    sampler: PerSlot
    scores: Scores
    available: Bool
    positions: Int32

    def table(self, slot: int) -> Float64:
        left = self.available.copy()
        np.put_along_axis(left, self.positions[:, :slot], False, axis=1)
        return self.sampler.probabilities(self.scores, left, slot)

    def mean(self, slot: int, values: Float64) -> Float64:
        return self.table(slot) @ values
