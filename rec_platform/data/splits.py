"""Ways to hold data back: by user, by time, or the last event of each user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError


def split_users(num_users: int, fractions: Sequence[float], seed: int) -> tuple[NDArray[np.int64], ...]:
    """Disjoint user rows, one sorted array a fraction, drawn with ``seed``.

    Where the fractions sum to 1 every user is in exactly one part; below 1 the rest is in none.

    Raises:
        InputError: a fraction is not in (0, 1], they sum to more than 1, or a part would be empty.
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if not len(shares) or not ((shares > 0) & (shares <= 1)).all() or shares.sum() > 1 + 1e-9:
        raise InputError("fractions", f"{list(fractions)}", "give fractions above 0 that sum to at most 1")
    ends = np.round(np.cumsum(shares) * num_users).astype(np.int64)
    starts = np.concatenate(([0], ends[:-1]))
    if (ends == starts).any():
        raise InputError("fractions", f"{num_users} users are too few for parts {list(fractions)}", "take fewer parts")
    order = np.random.default_rng(seed).permutation(num_users)
    return tuple(np.sort(order[start:end]) for start, end in zip(starts, ends, strict=True))


def temporal_split(histories: Histories, fraction: float) -> tuple[NDArray[np.int64], int]:
    """Split at one moment for all users: the time before which ``fraction`` of all events lie.

    Returns:
        end positions int64 [U] (a user's events before it are training, from it on are held back), and the moment in
        microseconds. Events at the moment itself are held back, so one timestamp is never on both sides.

    Raises:
        InputError: the fraction is not in (0, 1), or there are no events.
    """
    if not 0 < fraction < 1:
        raise InputError("fraction", f"{fraction}", "give a number between 0 and 1")
    if not len(histories.timestamps):
        raise InputError("histories", "no events to split")
    moment = int(np.quantile(histories.timestamps, fraction, method="higher"))
    before = histories.timestamps < moment
    return np.bincount(histories.user_of_event[before], minlength=len(histories)).astype(np.int64), moment


def leave_last_out(histories: Histories, min_history: int = 1) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The last event of each user with at least ``min_history`` before it: user rows and positions, int64 [n]."""
    rows = np.flatnonzero(histories.counts > min_history)
    return rows, histories.counts[rows] - 1
