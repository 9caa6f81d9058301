"""Plackett–Luce in one pass over the candidates: a slate and its propensities from the same masses.

For a service, where requests come a few at a time, each with its own chance: scores of thousands of candidates are
exponentiated once, summed once in blocks, and a point that is drawn finds its item by its block. The law is that of
`plackett_luce.sample_plackett_luce`; the random numbers are used differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rec_platform.policies.samplers.plackett_luce import log_propensity
from rec_platform.types import Float64, Int32

BLOCK = 128

SPARE = 3
"""Points drawn at first, in slates: of those that fall on distinct items, in order, a slate is made."""

CANCELLED = 1e-6
"""Share of all mass that must be left before a slot for its propensity to come from a difference."""


def points_needed(slate_size: int) -> int:
    """How many uniform numbers `draw` takes a row."""
    return (SPARE + 1) * slate_size


def draw(logits: np.ndarray, excluded: Sequence[np.ndarray], slate_size: int, points: Float64) -> tuple[Int32, Float64]:
    """Positions int32 [B, k] and the probability of each given the earlier ones, float64 [B, k].

    Independent draws from the softmax, without those that repeat an earlier one, are a Plackett–Luce prefix: each draw
    conditioned on being new is a draw from the rest. What is missing to k is drawn from the rest itself.

    Args:
        logits: float [B, M], already divided by the temperature; finite.
        excluded: B index arrays: positions that cannot be shown. At least k others are left.
        points: float64 [B, points_needed(k)], independent and uniform in [0, 1).
    """
    batch, candidates = logits.shape
    width = -(-candidates // BLOCK) * BLOCK
    mass = np.zeros((batch, width))
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=mass[:, :candidates], dtype=np.float64)
    np.exp(mass[:, :candidates], out=mass[:, :candidates])
    for row, barred in enumerate(excluded):
        mass[row, barred] = 0.0
    first = SPARE * slate_size
    positions = np.empty((batch, slate_size), dtype=np.int32)
    propensities = np.empty((batch, slate_size))
    drawn, total = _find(mass, points[:, :first])
    for row in range(batch):
        slate = _distinct(drawn[row], mass[row], slate_size)
        if len(slate) < slate_size:
            slate = _from_the_rest(logits[row], excluded[row], slate, slate_size, points[row, first:])
        positions[row] = slate
        taken = mass[row, slate]
        left = total[row] - np.cumsum(taken) + taken
        if left[-1] > CANCELLED * total[row]:
            propensities[row] = taken / left
        else:
            propensities[row] = _accurately(logits[row], excluded[row], slate)
    return positions, propensities


def _find(mass: Float64, points: Float64) -> tuple[np.ndarray, Float64]:
    """The items int64 [B, D] that points fall on, and the total mass [B]."""
    batch, width = mass.shape
    blocks = mass.reshape(batch, width // BLOCK, BLOCK)
    ends = np.cumsum(blocks.sum(axis=2), axis=1)
    total = ends[:, -1]
    targets = (1.0 - points) * total[:, None]  # in (0, total]: never on a mass of 0 at the beginning
    block = np.minimum((ends[:, None, :] < targets[:, :, None]).sum(axis=2), ends.shape[1] - 1)
    rows = np.arange(batch)[:, None]
    before = np.where(block > 0, ends[rows, block - 1], 0.0)
    inner = np.cumsum(blocks[rows, block], axis=2)
    place = np.minimum((inner < (targets - before)[:, :, None]).sum(axis=2), BLOCK - 1)
    return block * BLOCK + place, total


def _distinct(drawn: np.ndarray, mass: Float64, slate_size: int) -> list[int]:
    """The first k distinct ones; one that has no mass is a rounding at the end of a block."""
    found = [item for item in dict.fromkeys(drawn.tolist()) if mass[item] > 0]
    return found[:slate_size]


def _from_the_rest(
    logits: np.ndarray, excluded: np.ndarray, slate: list[int], slate_size: int, points: Float64
) -> list[int]:
    """The slate filled up, each slot from the softmax over what is left, however small its mass was before."""
    keys = logits.astype(np.float64)
    keys[excluded] = -np.inf
    keys[slate] = -np.inf
    for point in points[: slate_size - len(slate)]:
        ends = np.cumsum(np.exp(keys - keys.max()))
        item = int(np.searchsorted(ends, (1.0 - point) * ends[-1], side="left"))
        slate.append(item)
        keys[item] = -np.inf
    return slate


def _accurately(logits: np.ndarray, excluded: np.ndarray, slate: Sequence[int]) -> Float64:
    available = np.ones((1, len(logits)), dtype=np.bool_)
    available[0, excluded] = False
    return np.exp(log_propensity(logits[None].astype(np.float64), available, np.array([slate], np.int32)))[0]
