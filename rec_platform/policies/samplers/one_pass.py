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

ROWS = 4
"""Worked on at once: their masses stay in a core's cache."""

SPARE = 5
"""Points drawn at first beyond a slate and a half: of those that fall on distinct items, in order, a slate is made."""

CANCELLED = 1e-6
"""Share of all mass that must be left before a slot for its propensity to come from a difference."""


def points_needed(slate_size: int) -> int:
    """How many uniform numbers `draw` takes a row."""
    return _first_points(slate_size) + slate_size


def _first_points(slate_size: int) -> int:
    return slate_size + slate_size // 2 + SPARE


def draw(
    logits: np.ndarray, excluded: Sequence[np.ndarray], slate_size: int, points: Float64, *, temperature: float = 1.0
) -> tuple[Int32, Float64]:
    """Positions int32 [B, k] and the probability of each given the earlier ones, float64 [B, k].

    Independent draws from the softmax, without those that repeat an earlier one, are a Plackett–Luce prefix: each draw
    conditioned on being new is a draw from the rest. What is missing to k is drawn from the rest itself.

    Args:
        logits: float [B, M], finite.
        excluded: B index arrays: positions that cannot be shown. At least k others are left.
        points: float64 [B, points_needed(k)], independent and uniform in [0, 1).
        temperature: what the logits are divided by.
    """
    batch = len(logits)
    positions = np.empty((batch, slate_size), dtype=np.int32)
    propensities = np.empty((batch, slate_size))
    for start in range(0, batch, ROWS):
        rows = slice(start, min(start + ROWS, batch))
        positions[rows], propensities[rows] = _draw(logits[rows], excluded[rows], slate_size, points[rows], temperature)
    return positions, propensities


def _draw(
    logits: np.ndarray, excluded: Sequence[np.ndarray], slate_size: int, points: Float64, temperature: float
) -> tuple[Int32, Float64]:
    batch, candidates = logits.shape
    width = -(-candidates // BLOCK) * BLOCK
    mass = np.zeros((batch, width))
    inside = mass[:, :candidates]
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=inside, dtype=np.float64)
    if temperature != 1.0:
        inside /= temperature
    np.exp(inside, out=inside)
    for row, barred in enumerate(excluded):
        mass[row, barred] = 0.0
    first = _first_points(slate_size)
    drawn, total = _find(mass, points[:, :first])
    slates = np.empty((batch, slate_size), dtype=np.int32)
    for row, found in enumerate(drawn.tolist()):
        slate = [item for item in dict.fromkeys(found) if item >= 0][:slate_size]
        if len(slate) < slate_size:
            slate = _from_the_rest(logits[row], excluded[row], slate, slate_size, points[row, first:], temperature)
        slates[row] = slate
    taken = np.take_along_axis(mass, slates, axis=1)
    left = total[:, None] - np.cumsum(taken, axis=1) + taken
    with np.errstate(divide="ignore", invalid="ignore"):
        propensities = taken / left
    for small in np.flatnonzero(~(left[:, -1] > CANCELLED * total)).tolist():
        propensities[small] = _accurately(logits[small], excluded[small], slates[small], temperature)
    return slates, propensities


def _find(mass: Float64, points: Float64) -> tuple[np.ndarray, Float64]:
    """The items int64 [B, D] that points fall on, and the total mass [B]; -1 where rounding led to one without mass."""
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
    found = block * BLOCK + place
    return np.where(mass[rows, found] > 0, found, -1), total


def _from_the_rest(
    logits: np.ndarray, excluded: np.ndarray, slate: list[int], slate_size: int, points: Float64, temperature: float
) -> list[int]:
    """The slate filled up, each slot from the softmax over what is left, however small its mass was before."""
    keys = logits.astype(np.float64) / temperature
    keys[excluded] = -np.inf
    keys[slate] = -np.inf
    for point in points[: slate_size - len(slate)]:
        ends = np.cumsum(np.exp(keys - keys.max()))
        item = int(np.searchsorted(ends, (1.0 - point) * ends[-1], side="left"))
        slate.append(item)
        keys[item] = -np.inf
    return slate


def _accurately(logits: np.ndarray, excluded: np.ndarray, slate: Int32, temperature: float) -> Float64:
    available = np.ones((1, len(logits)), dtype=np.bool_)
    available[0, excluded] = False
    return np.exp(log_propensity(logits[None].astype(np.float64) / temperature, available, slate[None]))[0]
