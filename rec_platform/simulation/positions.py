"""What a slate must be before a simulated user sees it: k distinct positions in the candidate list."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rec_platform.errors import InputError
from rec_platform.simulation.simulator import SimulatorSpec
from rec_platform.types import Int32

_PAIRWISE_LIMIT = 8
"""Up to this slate size comparing every pair of slots is faster than sorting every slate."""


def check_positions(positions: ArrayLike, *, batch_size: int, spec: SimulatorSpec) -> Int32:
    """``positions`` as int32 [B, k], known to be in range and distinct in a row.

    Raises:
        InputError: not whole numbers, wrong shape, out of range, or repeated in a slate.
    """
    given = np.asarray(positions)
    expected = (batch_size, spec.slate_size)
    if given.dtype.kind not in "iu":
        raise InputError("positions", f"are of type {given.dtype}", "give whole numbers, int32 [B, k]")
    if given.shape != expected:
        raise InputError("positions", f"have shape {given.shape}", f"give int32 {expected}: users by slots")
    if given.size and (given.min() < 0 or given.max() >= spec.num_candidates):
        row = int(np.flatnonzero(((given < 0) | (given >= spec.num_candidates)).any(axis=1))[0])
        fix = f"positions are 0 to {spec.num_candidates - 1}"
        raise InputError("positions", f"out of range in row {row}: {given[row].tolist()}", fix)
    repeated = _repeats(given)
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        problem = f"repeated in row {row}: {given[row].tolist()}"
        raise InputError("positions", problem, "a slate shows each candidate once")
    return given.astype(np.int32, copy=False)


def _repeats(positions: np.ndarray) -> np.ndarray:
    """Bool [B]: slates in which a position stands twice."""
    size, slate_size = positions.shape
    if slate_size > _PAIRWISE_LIMIT:
        ordered = np.sort(positions, axis=1)
        return np.asarray((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    repeated = np.zeros(size, dtype=np.bool_)
    for a in range(slate_size):
        for b in range(a + 1, slate_size):
            repeated |= positions[:, a] == positions[:, b]
    return repeated
