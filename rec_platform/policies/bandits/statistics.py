"""Counts and sums of rewards by context and item: all that value-table bandits remember, of all time or of late.

Time is counted in shown items, of whatever context: a rare context is forgotten as fast as a frequent one, because
it is the world that changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.policies.learned_state import checked_state
from rec_platform.types import Float64

MOST_CELLS = 50_000_000
"""Contexts × slots × items: 1.2 GB of counts, sums and squares."""

SMALLEST_SCALE = 1e-100


def check_cells(shape: tuple[int, int]) -> None:
    """Raise `InputError` where a table [contexts, N] would be too large."""
    if shape[0] * shape[1] > MOST_CELLS:
        problem = f"{shape[0]:,} contexts × {shape[1]:,} items are more than {MOST_CELLS:,} values"
        raise InputError("algorithm.context", problem, "leave a group out, or use lin_ucb")


@dataclass
class RewardStatistics:
    """Sufficient statistics of rewards, changed in place by `add`.

    Attributes:
        shape: (rows, N): rows are contexts, or slots × contexts.
        discount: γ in (0, 1]: a reward weighs γ^age, age in shown items (Garivier and Moulines 2011).
        window: only the last so many shown items count, kept in a ring; None for all.
    """

    shape: tuple[int, int]
    discount: float = 1.0
    window: int | None = None
    _count: Float64 = field(init=False)
    _total: Float64 = field(init=False)
    _squares: Float64 = field(init=False)
    _scale: float = field(init=False, default=1.0)
    _cursor: int = field(init=False, default=0)
    _ring_cells: NDArray[np.int64] = field(init=False)
    _ring_rewards: Float64 = field(init=False)

    def __post_init__(self) -> None:
        check_cells(self.shape)
        self._count, self._total, self._squares = (np.zeros(self.shape) for _ in range(3))
        self._ring_cells = np.full(self.window or 0, -1, dtype=np.int64)
        self._ring_rewards = np.zeros(self.window or 0)

    @property
    def count(self) -> Float64:
        """Float64 [rows, N]: rewards seen, weighed."""
        return self._count * self._scale

    @property
    def total(self) -> Float64:
        """Float64 [rows, N]: sum of rewards, weighed."""
        return self._total * self._scale

    @property
    def squares(self) -> Float64:
        """Float64 [rows, N]: sum of squared rewards, weighed."""
        return self._squares * self._scale

    def mean(self, initial: Float64 | float = 0.0, prior_count: float = 0.0) -> Float64:
        """(n₀ V₀ + Σ r) / (n₀ + n); V₀ where that is 0/0. float64 [rows, N]."""
        weight = self.count + prior_count
        unseen = np.broadcast_to(np.asarray(initial, dtype=np.float64), self.shape)
        return np.divide(self.total + prior_count * unseen, weight, out=unseen.copy(), where=weight > 0)

    def add(self, rows: NDArray[np.int64], items: NDArray[np.int64], rewards: Float64) -> None:
        """Rewards float64 [n] of items [n] shown in ``rows`` [n], oldest first; without drift in any order."""
        cells = rows * self.shape[1] + items
        if self.window is not None:
            self._add_to_ring(cells, rewards)
            return
        weights: Float64 = np.ones(len(cells))
        if self.discount < 1.0:
            ages = np.arange(len(cells) - 1, -1, -1)
            self._scale *= self.discount ** len(cells)
            if self._scale < SMALLEST_SCALE:  # the weights are kept divided by it, so that nothing old is touched
                for part in self._parts:
                    part *= self._scale
                self._scale = 1.0
            weights = np.asarray(self.discount**ages / self._scale)
        self._accumulate(cells, rewards, weights)

    def _accumulate(self, cells: NDArray[np.int64], rewards: Float64, weights: Float64) -> None:
        for part, values in zip(self._parts, (weights, weights * rewards, weights * rewards**2), strict=True):
            np.add.at(part.reshape(-1), cells, values)

    def _add_to_ring(self, cells: NDArray[np.int64], rewards: Float64) -> None:
        size = len(self._ring_cells)
        cells, rewards = cells[-size:], rewards[-size:]
        places = (self._cursor + np.arange(len(cells))) % size
        old, old_rewards = self._ring_cells[places], self._ring_rewards[places]
        gone = old >= 0
        self._accumulate(old[gone], old_rewards[gone], -np.ones(int(gone.sum())))
        self._accumulate(cells, rewards, np.ones(len(cells)))
        self._ring_cells[places], self._ring_rewards[places] = cells, rewards
        self._cursor = (self._cursor + len(cells)) % size
        emptied = self._count.reshape(-1)[old[gone]] == 0
        for part in (self._total, self._squares):  # what adding and taking away left behind
            part.reshape(-1)[old[gone][emptied]] = 0.0

    @property
    def _parts(self) -> tuple[Float64, Float64, Float64]:
        return self._count, self._total, self._squares

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all that `set_state` needs, as arrays."""
        return {
            "count": self._count.copy(),
            "total": self._total.copy(),
            "squares": self._squares.copy(),
            "scale": np.array([self._scale]),
            "ring_cells": self._ring_cells.copy(),
            "ring_rewards": self._ring_rewards.copy(),
            "cursor": np.array([self._cursor], dtype=np.int64),
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave.

        Raises:
            InputError: arrays of other sizes, or one that is missing.
        """
        arrays = checked_state(state, self.state())
        self._count, self._total, self._squares = (arrays[name] for name in ("count", "total", "squares"))
        self._ring_cells, self._ring_rewards = arrays["ring_cells"], arrays["ring_rewards"]
        self._cursor, self._scale = int(arrays["cursor"][0]), float(arrays["scale"][0])
