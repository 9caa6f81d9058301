"""A replay buffer of columns: one preallocated array a column, oldest rows overwritten first."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rec_platform.errors import InputError


class ColumnarReplay:
    """Uniform replay.

    Args:
        capacity: rows kept; memory is ``capacity`` times the bytes of a row, allocated at the first `add`.
        seed: of the draws.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        if capacity < 1:
            raise InputError("algorithm.replay_capacity", f"{capacity} is below 1")
        self.capacity = capacity
        self.columns: dict[str, np.ndarray] = {}
        self.added = 0
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, columns: dict[str, np.ndarray]) -> None:
        """Add rows; of more than ``capacity`` only the last are kept."""
        rows = len(next(iter(columns.values())))
        if not self.columns:
            self._check_room(columns)
            self.columns = {n: np.zeros((self.capacity, *c.shape[1:]), dtype=c.dtype) for n, c in columns.items()}
        kept = min(rows, self.capacity)
        where = (self.added + rows - kept + np.arange(kept)) % self.capacity
        for name, column in columns.items():
            self.columns[name][where] = column[rows - kept :]
        self.added += rows

    @property
    def full_bytes(self) -> int:
        """Size of the arrays; 0 before the first row, then constant."""
        return sum(column.nbytes for column in self.columns.values())

    def _check_room(self, columns: dict[str, np.ndarray]) -> None:
        row = sum(column.nbytes // max(len(column), 1) for column in columns.values())
        needed, there = self.capacity * row, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > there:
            size = f"{needed / 1e9:.1f} GB, the machine has {there / 1e9:.1f}"
            raise InputError(
                "algorithm.replay_capacity",
                f"{self.capacity:,} rows of {row:,} bytes need {size}",
                f"keep at most {int(0.5 * there / row):,} rows",
            )

    def sample(self, rows: int) -> dict[str, np.ndarray]:
        """``rows`` drawn uniformly with replacement.

        Raises:
            InputError: the buffer is empty.
        """
        if not len(self):
            raise InputError("algorithm.replay_capacity", "the buffer is empty")
        pick = self.rng.integers(0, len(self), rows)
        return {name: column[pick] for name, column in self.columns.items()}

    def get_state(self) -> dict[str, Any]:
        """The rows, the count and the generator, as arrays and JSON values."""
        filled = {name: column[: len(self)] for name, column in self.columns.items()}
        return {"columns": filled, "added": self.added, "rng": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` took.

        Raises:
            InputError: the state is of a buffer of another capacity.
        """
        rows = min(state["added"], self.capacity)
        if any(len(column) != rows for column in state["columns"].values()):
            raise InputError("algorithm.replay_capacity", "the checkpoint's buffer is of another size")
        self.columns = {}
        for name, column in state["columns"].items():
            self.columns[name] = np.zeros((self.capacity, *column.shape[1:]), dtype=column.dtype)
            self.columns[name][:rows] = column
        self.added = int(state["added"])
        self.rng.bit_generator.state = state["rng"]
