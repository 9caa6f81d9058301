"""Sets of items that do not stand in a user's visible history: all of them, or a few at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.types import Int32


def full_catalogue(history: Int32, num_items: int) -> Int32:
    """Every item j at position j, -1 where it stands in ``history`` int32 [B, L]: int32 [B, N]."""
    candidates = np.repeat(np.arange(num_items, dtype=np.int32)[None], len(history), axis=0)
    rows, columns = np.nonzero(history >= 0)
    candidates[rows, history[rows, columns]] = -1
    return candidates


class ShiftedSets:
    """``count`` distinct items a user out of N, none from his history, drawn anew by `draw`.

    One random ordered subset of count + L items is drawn for the whole batch, and every user sees it rotated by a
    shift of his own, modulo N. A user's set is therefore exactly uniform over all ordered sets without his history
    (what stands in it gives way to the next spare); the sets of two users in one step are not independent of each
    other, which no policy can use.

    Cost of a user: count + L array elements, whatever N.
    """

    def __init__(self, num_items: int, count: int, history_length: int, size: int) -> None:
        """For a batch of ``size`` users; needs count + history_length <= N."""
        self._num_items, self._count = num_items, count
        self._width = count + history_length
        self._base = np.zeros(0, dtype=np.int32)
        self._shifts = np.zeros(size, dtype=np.int32)
        # Where an item stands in the subset, -1 = nowhere; twice in a row, so that a rotation needs no modulo.
        self._place: NDArray[Any] = np.full(2 * num_items, -1, dtype=np.int32 if self._width > 32_000 else np.int16)

    def draw(self, rng: np.random.Generator) -> None:
        """A new subset, and a new shift a user."""
        base = rng.choice(self._num_items, self._width, replace=False).astype(np.int32)
        self._show(base, (rng.random(len(self._shifts)) * self._num_items).astype(np.int32))

    def take(self, rows: NDArray[np.int64] | slice, history: Int32) -> Int32:
        """The sets of the users in ``rows`` with these histories int32 [n, L]: int32 [n, count]."""
        shifts = self._shifts[rows][:, None]
        items = self._base[: self._count] + shifts
        rotated = items.view(np.uint32)
        # Unsigned, what was below N wraps round to more than it was: the lesser one is the remainder.
        np.minimum(rotated, rotated - np.uint32(self._num_items), out=rotated)
        places = self._place.take(history + (np.int32(self._num_items) - shifts))
        hits = np.flatnonzero(places >= 0)
        hits = hits[history.ravel()[hits] >= 0]
        if len(hits):
            self._replace(items, shifts[:, 0], hits // history.shape[1], places.ravel()[hits].astype(np.int64))
        return items

    def get_state(self) -> dict[str, Any]:
        """What the last `draw` drew; copies."""
        return {"base": self._base.copy(), "shifts": self._shifts.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` of sets of the same sizes took."""
        self._show(state["base"].copy(), state["shifts"].copy())

    def _show(self, base: Int32, shifts: Int32) -> None:
        """Take this subset, and these shifts."""
        self._place[self._base] = -1
        self._place[self._base + self._num_items] = -1
        self._base, self._shifts = base, shifts
        self._place[base] = np.arange(len(base))
        self._place[base + self._num_items] = np.arange(len(base))

    def _replace(self, items: Int32, shifts: Int32, rows: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Put free spares where a user's set holds an item of his history; ``rows`` rising."""
        inside = np.flatnonzero(places < self._count)
        if not len(inside):
            return
        spares = self._width - self._count
        outside = np.flatnonzero(places >= self._count)
        blocked = np.zeros((len(items), spares), dtype=np.bool_)
        blocked.ravel()[rows[outside] * spares + (places[outside] - self._count)] = True
        rows, places = rows[inside], places[inside]
        counts = np.bincount(rows, minlength=len(items))
        begins = counts.cumsum() - counts
        spare = np.arange(len(rows)) - begins[rows]  # the how-manieth replacement of its row
        # Few spares are in the history themselves: those replacements take the next spares behind the row's others.
        pending = np.flatnonzero(blocked.ravel().take(rows * spares + spare))
        behind = counts
        while len(pending):
            again = rows[pending]
            begins = np.searchsorted(again, again)
            spare[pending] = behind[again] + np.arange(len(again)) - begins
            behind = behind + np.bincount(again, minlength=len(items))
            pending = pending[blocked[again, spare[pending]]]
        replacements = self._base[self._count + spare] + shifts[rows]
        replacements -= (replacements >= self._num_items) * np.int32(self._num_items)
        items.ravel()[rows * self._count + places] = replacements
