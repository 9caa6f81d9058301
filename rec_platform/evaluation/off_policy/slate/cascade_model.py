"""A small model of what a slot and the later ones bring, for the cascade doubly robust estimator.

Backwards over slots (Kiyohara et al. 2022, sec. 4): Q̂_k is the shrunk mean of α_k r_k by item, Q̂_j that of
α_j r_j + Σ_a π(a | slots 1..j) Q̂_{j+1}(a). It knows slot and item, not the earlier items nor the context.

The target's steps are asked for in chunks of slates, since tables of all candidates in all slots do not fit for whole
catalogues. Futures are means over at most `HELD_BYTES` of slates that are kept at hand; rewards are means over all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.off_policy import checks
from rec_platform.evaluation.off_policy.estimate import Int64
from rec_platform.evaluation.off_policy.slate_feedback import SlateFeedback
from rec_platform.types import Float64

HELD_BYTES = 1 << 28
"""Of the slates whose futures are averaged."""

CHUNK_NUMBERS = 1 << 22
"""Slates asked for at once, times candidates."""

MOST_AT_ONCE = 512


class Steps(Protocol):
    """What the target would have put into the slots of B logged slates, given the earlier ones."""

    def mean(self, slot: int, values: Float64) -> Float64:
        """Float64 [B, F]: means of ``values`` [M, F] over the target's choice of the slot."""
        ...


class LoggedSteps(Protocol):
    """A target at the slates of a log."""

    @property
    def candidates(self) -> int:
        """M."""
        ...

    @property
    def bytes_a_slate(self) -> int:
        """What `at` keeps of one."""
        ...

    def at(self, rows: Int64) -> Steps:
        """Of the slates ``rows`` [B]."""
        ...


@dataclass(frozen=True)
class TabledSteps:
    """Of ``tables`` float64 [n, k, M]."""

    tables: Float64

    @property
    def candidates(self) -> int:
        return int(self.tables.shape[2])

    @property
    def bytes_a_slate(self) -> int:
        return self.tables[0].nbytes

    def at(self, rows: Int64) -> TabledSteps:
        return TabledSteps(self.tables[rows])

    def mean(self, slot: int, values: Float64) -> Float64:
        return self.tables[:, slot] @ values


def cross_fit_cascade(
    feedback: SlateFeedback,
    target: LoggedSteps | None = None,
    *,
    strength: float = 10.0,
    folds: int = 3,
    seed: int = 0,
    held_bytes: int = HELD_BYTES,
) -> SlateFeedback:
    """The feedback with q̂ and v̂ [n, k], each slate predicted from the folds that do not hold its group.

    Args:
        feedback: with ``target_step_tables`` where there is no ``target``.
        target: what it would have done at the slates.
        strength: in slates; an item shown that often in a slot counts half against the slot's mean.
        folds: 2 or more, at most the number of groups.
        seed: of the partition, and of the slates whose futures are averaged.
        held_bytes: see `HELD_BYTES`.
    """
    if target is None:
        purpose = "the cascade model"
        target = TabledSteps(checks.required(feedback.target_step_tables, "target_step_tables", purpose))
    groups = np.arange(len(feedback)) if feedback.groups is None else feedback.groups
    count = int(groups.max()) + 1
    if folds < 2 or count < folds:
        raise InputError("folds", f"{folds} folds of {count} groups", "use at least 2 folds and as many groups")
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(count) % folds)[groups]
    most = max(held_bytes // max(target.bytes_a_slate, 1), MOST_AT_ONCE)
    everything = np.arange(len(feedback))
    held = everything if most >= len(feedback) else np.sort(rng.choice(len(feedback), size=most, replace=False))
    parts = [(rows, target.at(rows)) for rows in _chunks(held, target.candidates)]
    values = _fit(feedback, target.candidates, parts, fold, folds, strength)
    again = parts if len(held) == len(feedback) else _asked(target, everything)
    v_hat = np.empty(feedback.items.shape)
    for rows, steps in again:
        for slot in range(feedback.slots):
            v_hat[rows, slot] = steps.mean(slot, values[slot])[np.arange(len(rows)), fold[rows]]
    slots = np.arange(feedback.slots)
    return replace(feedback, q_hat=values[slots, feedback.items, fold[:, None]], v_hat=v_hat)


def _asked(target: LoggedSteps, rows: Int64) -> Iterator[tuple[Int64, Steps]]:
    for part in _chunks(rows, target.candidates):
        yield part, target.at(part)


def _chunks(rows: Int64, candidates: int) -> Iterator[Int64]:
    size = min(max(CHUNK_NUMBERS // max(candidates, 1), 1), MOST_AT_ONCE)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _fit(
    feedback: SlateFeedback,
    candidates: int,
    parts: list[tuple[Int64, Steps]],
    fold: Int64,
    folds: int,
    strength: float,
) -> Float64:
    """Q̂ [k, M, folds], each fold's from the slates of the others."""
    held = np.concatenate([rows for rows, _ in parts])
    values = np.zeros((feedback.slots, candidates, folds))
    future = np.zeros((len(held), folds))
    for slot in reversed(range(feedback.slots)):
        items, rewards = feedback.items[:, slot], feedback.weighted_rewards[:, slot]
        for number in range(folds):
            others, near = fold != number, fold[held] != number
            at_once = _shrunk_means(items[others], rewards[others], candidates, strength)
            later = _shrunk_means(items[held][near], future[near, number], candidates, strength)
            values[slot, :, number] = at_once + later
        if slot:
            future = np.concatenate([steps.mean(slot, values[slot]) for _, steps in parts])
    return values


def _shrunk_means(items: Int64, outcomes: Float64, candidates: int, strength: float) -> Float64:
    """Float64 [M]: of ``outcomes`` by item, drawn to the mean of all."""
    mean = outcomes.mean()
    counts = np.bincount(items, minlength=candidates)
    sums = np.bincount(items, weights=outcomes - mean, minlength=candidates)
    return mean + sums / (counts + strength)
