"""Ways to hold data back: users, the last event of each user, or all from one moment on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.histories import Histories
from rec_platform.errors import InputError
from rec_platform.types import Bool, Int32


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


@dataclass(frozen=True)
class HeldOut:
    """A log cut in two: what policies are fitted on, and what n evaluated users took later.

    Attributes:
        split: its name.
        train: the earlier events; every user with one has a row.
        users: int64 [n] rows of ``train``.
        offsets: int64 [n + 1]; ``items[offsets[i]:offsets[i + 1]]`` is what user i took later, distinct.
        items: int32 catalogue indices.
        moments: int64 [n] microseconds at which the user is asked for.
        tied: bool [n] only the tie rule says that the held-back event was later than the last one of training; None
            where a split never separates events of one moment.
        moment: microseconds at which the log is cut; None where every user has a moment of his own.
    """

    split: str
    train: Histories
    users: NDArray[np.int64]
    offsets: NDArray[np.int64]
    items: Int32
    moments: NDArray[np.int64]
    tied: Bool | None = None
    moment: int | None = None

    def __len__(self) -> int:
        return len(self.users)


def leave_last_one_out(histories: Histories) -> HeldOut:
    """Hold back the last positive event of every user who has one after another event, by the tie rule of `Histories`.

    What follows it is left out too; users without one keep all and are not evaluated.

    Raises:
        InputError: there is no such user.
    """
    ends = histories.counts.copy()
    positive = histories.feedback > 0
    position = np.zeros(len(histories), dtype=np.int64)
    np.maximum.at(position, histories.user_of_event[positive], histories.positions[positive])
    users = np.flatnonzero(position >= 1)
    if not len(users):
        problem = "no user has a positive event after another event"
        raise InputError("dataset", problem, "there is nothing to hold back; use a longer log")
    ends[users] = position[users]
    last = histories.offsets[users] + ends[users]
    return HeldOut(
        split="leave-last-one-out",
        train=histories.before(ends),
        users=users,
        offsets=np.arange(len(users) + 1),
        items=histories.items[last],
        moments=histories.timestamps[last],
        tied=histories.timestamps[last] == histories.timestamps[last - 1],
    )


def temporal(histories: Histories, fraction: float = 0.8) -> HeldOut:
    """Cut the log at one moment for all: the time of the event before which ``fraction`` of all events lie.

    Events at that moment itself are held back, so none of one moment is on both sides. Users are evaluated who have
    training events and later took (a positive event) an item that anybody met in training and they themselves had not.

    Raises:
        InputError: the fraction is not in (0, 1), or nobody is left to evaluate.
    """
    if not 0 < fraction < 1:
        raise InputError("fraction", f"{fraction}", "give a number between 0 and 1")
    moment = int(np.sort(histories.timestamps)[int(fraction * len(histories.timestamps))])
    later = histories.timestamps >= moment
    owner, item = histories.user_of_event, histories.items.astype(np.int64)
    ends = np.bincount(owner[~later], minlength=len(histories))
    width = int(item.max()) + 1
    pairs = np.setdiff1d((owner * width + item)[later & (histories.feedback > 0)], (owner * width + item)[~later])
    users, items = np.divmod(pairs, width)
    kept = np.isin(items, item[~later]) & (ends[users] > 0)
    users, items = users[kept], items[kept]
    if not len(users):
        problem = "nobody with earlier events took an item of the training part after the cut"
        raise InputError("dataset", problem, "use a longer log, or leave-last-one-out")
    evaluated, counts = np.unique(users, return_counts=True)
    rows = np.cumsum(ends > 0) - 1  # of users in the training part
    return HeldOut(
        split="temporal",
        train=histories.before(ends),
        users=rows[evaluated],
        offsets=np.concatenate(([0], np.cumsum(counts))),
        items=items.astype(np.int32),
        moments=np.full(len(evaluated), moment),
        moment=moment,
    )
