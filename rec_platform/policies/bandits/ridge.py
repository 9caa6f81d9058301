"""Ridge regression that is updated a row at a time, as LinUCB and LinTS need it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rec_platform.policies.learned_state import checked_state
from rec_platform.types import Float64

RENEW_AFTER = 1000
"""Rank-one updates after which the inverse is computed anew, so that rounding does not pile up."""


class Ridge:
    """θ = A^-1 b with A = λ I + Σ w x xᵀ and b = Σ w r x, w = γ^age.

    Args:
        dimensions: d.
        regularisation: λ > 0.
        discount: γ in (0, 1]; the ridge itself does not fade (Russac, Vernade and Cappé 2019).
    """

    def __init__(self, dimensions: int, regularisation: float, discount: float = 1.0) -> None:
        self._regularisation, self._discount = regularisation, discount
        self._gram, self._target = np.zeros((dimensions, dimensions)), np.zeros(dimensions)
        self._inverse = np.eye(dimensions) / regularisation
        self._updates = 0

    @property
    def inverse(self) -> Float64:
        """A^-1 float64 [d, d]."""
        return self._inverse

    @property
    def theta(self) -> Float64:
        """Float64 [d]."""
        return self._inverse @ self._target

    @property
    def root(self) -> Float64:
        """L float64 [d, d], lower triangular, with L Lᵀ = A^-1."""
        return np.asarray(np.linalg.cholesky((self._inverse + self._inverse.T) / 2), np.float64)

    def add(self, x: Float64, rewards: Float64) -> None:
        """Rows float64 [n, d] with rewards [n], oldest first."""
        weights = self._discount ** np.arange(len(x) - 1, -1, -1)
        fading = self._discount ** len(x)
        weighed = x * weights[:, None]
        self._gram = fading * self._gram + weighed.T @ x
        self._target = fading * self._target + weighed.T @ rewards
        self._updates += len(x)
        if self._discount < 1.0 or len(x) >= len(self._target) or self._updates >= RENEW_AFTER:
            self._renew()
            return
        for row in x:  # Sherman and Morrison 1950
            step = self._inverse @ row
            self._inverse = self._inverse - np.outer(step, step) / (1.0 + row @ step)

    def _renew(self) -> None:
        whole = self._gram + self._regularisation * np.eye(len(self._target))
        self._inverse = np.asarray(np.linalg.inv(whole), np.float64)
        self._updates = 0

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all that `set_state` needs."""
        updates = np.array([self._updates], dtype=np.int64)
        return {
            "gram": self._gram.copy(),
            "target": self._target.copy(),
            "inverse": self._inverse.copy(),
            "updates": updates,
        }

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` gave.

        Raises:
            InputError: an array of another size, or one that is missing.
        """
        arrays = checked_state(state, self.state())
        self._gram, self._target, self._inverse = (arrays[name] for name in ("gram", "target", "inverse"))
        self._updates = int(arrays["updates"][0])
