"""Prioritised replay: rows that surprised are drawn more often (Schaul et al. 2016, the proportional variant).

P(i) = p_i^α / Σ_j p_j^α,  p_i = |error_i| + ε;    w_i = (n P(i))^-β / max_j w_j
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.training.replay.columnar import ColumnarReplay
from rec_platform.training.replay.sum_tree import SumTree

INDEX = "replay_index"
WEIGHTS = "weights"


class PrioritisedReplay(ColumnarReplay):
    """A `ColumnarReplay` whose draws follow priorities; new rows come in at the largest priority ever given.

    Args:
        capacity: rows kept.
        seed: of the draws.
        alpha: α in [0, 1], how much priorities count; 0 draws uniformly.
        beta: β in [0, 1], how much the weights make up for it; whoever trains raises ``beta`` towards 1.
        epsilon: ε > 0, so that no row is lost for good.
    """

    def __init__(
        self, capacity: int, seed: int, *, alpha: float = 0.6, beta: float = 0.4, epsilon: float = 1e-6
    ) -> None:
        super().__init__(capacity, seed)
        if not 0 <= alpha <= 1:
            raise InputError("algorithm.replay_alpha", f"{alpha} is not between 0 and 1", "0.6 is usual")
        if not 0 <= beta <= 1:
            raise InputError("algorithm.replay_beta", f"{beta} is not between 0 and 1", "0.4 is usual")
        if not (math.isfinite(epsilon) and epsilon > 0):
            raise InputError("algorithm.replay_epsilon", f"{epsilon} is not above 0", "1e-6 is usual")
        self.alpha, self.beta, self.epsilon = alpha, beta, epsilon
        self.tree = SumTree(capacity)
        self.largest = 1.0
        """The largest p^α so far."""

    def add(self, columns: dict[str, np.ndarray]) -> None:
        """Add rows; of more than ``capacity`` only the last are kept."""
        taken = {INDEX, WEIGHTS} & set(columns)
        if taken:
            raise InputError("replay", f"columns {sorted(taken)} are the buffer's own", "drop them before adding")
        before = self.added
        super().add(columns)
        fresh = np.arange(max(before, self.added - self.capacity), self.added)
        if len(fresh):
            self.tree.set(fresh % self.capacity, self.largest)

    def sample(self, rows: int) -> dict[str, np.ndarray]:
        """``rows`` drawn by priority with replacement, one from each of ``rows`` equal shares, in random order.

        The order is random so that the parts of a large sample are as good as samples of their own.

        Returns:
            The rows' columns, and beside them ``replay_index`` int64 for `update_priorities` and ``weights`` float32,
            the largest of which is 1.

        Raises:
            InputError: the buffer is empty.
        """
        if not len(self):
            raise InputError("algorithm.replay_capacity", "the buffer is empty")
        shares = (np.arange(rows) + self.rng.random(rows)) / max(rows, 1)
        slots = self.tree.find(self.rng.permutation(shares) * self.tree.total)
        probability = self.tree.masses(slots) / self.tree.total
        weights = (len(self) * probability) ** -self.beta
        columns = {name: column[slots] for name, column in self.columns.items()}
        columns[INDEX] = self.added - 1 - (self.added - 1 - slots) % self.capacity
        columns[WEIGHTS] = (weights / weights.max(initial=0.0)).astype(np.float32)
        return columns

    def update_priorities(self, index: np.ndarray, errors: np.ndarray) -> None:
        """Set the priorities of drawn rows; a row that was overwritten meanwhile is passed over.

        Args:
            index: int [n] as `sample` gave them: numbers of the rows since the first one. Of a row named twice the last
                error counts.
            errors: float [n], the temporal differences; their sign does not matter.

        Raises:
            InputError: lengths that differ, an error that is not finite, or an index never given.
        """
        index, errors = np.asarray(index, dtype=np.int64), np.asarray(errors, dtype=np.float64)
        if index.ndim != 1 or index.shape != errors.shape:
            raise InputError(INDEX, f"of shape {index.shape} for errors of shape {errors.shape}")
        if not np.isfinite(errors).all():
            raise InputError("replay", "an error is not finite: training has diverged", "lower the learning rate")
        if ((index < 0) | (index >= self.added)).any():
            raise InputError(INDEX, "holds rows that were never added")
        kept = index >= self.added - self.capacity
        if not kept.any():
            return
        masses = (np.abs(errors[kept]) + self.epsilon) ** self.alpha
        self.tree.set(index[kept] % self.capacity, masses)
        self.largest = max(self.largest, float(masses.max()))

    def get_state(self) -> dict[str, Any]:
        """The rows, the count, the generator, the priorities and β, as arrays and JSON values."""
        own = {"priorities": self.tree.masses(np.arange(len(self))), "largest": self.largest}
        return super().get_state() | own | {"alpha": self.alpha, "beta": self.beta}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` took.

        Raises:
            InputError: the state is of a buffer of another capacity, of another α, or without priorities.
        """
        if "priorities" not in state:
            raise InputError("algorithm.replay", "the checkpoint's buffer has no priorities", "train without --resume")
        if state["alpha"] != self.alpha:
            raise InputError("algorithm.replay_alpha", f"{self.alpha}, but the checkpoint has {state['alpha']}")
        super().set_state(state)
        self.tree = SumTree(self.capacity)
        self.tree.set(np.arange(len(self)), state["priorities"])
        self.largest, self.beta = float(state["largest"]), float(state["beta"])
