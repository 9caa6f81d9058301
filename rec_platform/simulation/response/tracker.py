"""The response states of live users, kept up to date as their histories grow.

A state depends on weighted sums over the window whose weights change only with age. So an entry more costs a few
additions a user instead of a pass over the window: with S = sum e_j and D = sum DECAY^age e_j over the entries of one
sign,

    S <- S + e_new - e_dropped,    D <- DECAY D + e_new - DECAY^L e_dropped

(D is kept divided by DECAY^entries, so that ageing costs one number a user), and likewise for the statistics of
`history_statistics`. Only a user who enters is computed from his whole window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.simulation.response.ensemble import ResponseEnsemble
from rec_platform.simulation.response.model import (
    DECAY,
    RECENT,
    SHRINKAGE,
    STATISTICS,
    age_powers,
)
from rec_platform.simulation.users_state import OF
from rec_platform.types import Float32, Int32

_SMALLEST = np.float32(1e-12)
"""A scale of decaying sums below this is multiplied in."""

CHUNK = 4096


@dataclass(frozen=True, slots=True)
class _Parts:
    """Named views of the columns of a state matrix float32 [n, K]; writing to them writes to it.

    Attributes:
        sums: [n, 2, 2, d] by sign (positive, negative) and kind (constant, decaying).
        weights: [n, 2, 2] the sums of the weights alone.
        scale: [n] of the decaying ones.
        residual, entries: [n, 2] over the window, and over what is recent.
        positives: [n] in the window.
        gain, query: [n, E], [n, E, d] the response state.
    """

    sums: Float32
    weights: Float32
    scale: Float32
    residual: Float32
    entries: Float32
    positives: Float32
    gain: Float32
    query: Float32

    @staticmethod
    def columns(width: int, channels: int) -> int:
        """K."""
        return 4 * width + 10 + channels * (width + 1)

    @staticmethod
    def of(state: Float32, width: int, channels: int) -> _Parts:
        size, at = len(state), 4 * width
        after = at + 10 + channels
        return _Parts(
            sums=state[:, :at].reshape(size, 2, 2, width),
            weights=state[:, at : at + 4].reshape(size, 2, 2),
            scale=state[:, at + 4],
            residual=state[:, at + 5 : at + 7],
            entries=state[:, at + 7 : at + 9],
            positives=state[:, at + 9],
            gain=state[:, at + 10 : after],
            query=state[:, after:].reshape(size, channels, width),
        )


class ResponseTracker:
    """States of B places, each answering as one of the members of an ensemble.

    Members have blocks of places, so that the users of one are a slice and not a list of rows. All that is kept of a
    place is one row of a matrix, so that changing some places is one gather and one scatter.

    Attributes:
        member: int64 [B] which of the members answers for each place.
        gain, query: float32 [B, E], [B, E, d]; see `ResponseState`.
    """

    def __init__(self, ensemble: ResponseEnsemble, count: int, first: int = 0) -> None:
        """For ``count`` places, the first block being that of member ``first``."""
        model, size = ensemble.members[0], len(ensemble.members)
        self._width, self._channels = model.item_vectors.shape[1], model.num_channels
        self._ensemble = ensemble
        self._blocks = np.arange(size + 1) * count // size
        self._assign(first)
        self._length = model.history_length
        self._powers = age_powers(self._length)
        self._lately = min(RECENT, self._length)
        self._dropped = np.float32(DECAY) ** self._length  # decaying weight of an entry as it leaves the window
        self._features: Float32 = np.zeros((count, model.num_user_features), dtype=np.float32)
        columns = _Parts.columns(self._width, self._channels)
        self._state: Float32 = np.zeros((count, columns), dtype=np.float32)
        parts = _Parts.of(self._state, self._width, self._channels)
        self.gain, self.query = parts.gain, parts.query

    def enter(
        self,
        rows: NDArray[np.int64],
        user_features: Float32,
        history: Int32,
        history_feedback: Float32,
    ) -> None:
        """New users in the places ``rows`` int [n], rising, with windows int32 and float32 [n, L]."""
        self._features[rows] = user_features
        state = np.empty((len(rows), self._state.shape[1]), dtype=np.float32)
        parts = _Parts.of(state, self._width, self._channels)
        known, positive = history >= 0, history_feedback > 0
        signed = np.stack([positive & known, (history_feedback < 0) & known], axis=1).astype(np.float32)
        weights = signed[:, :, None, :] * self._powers
        parts.weights[:] = weights.sum(axis=3)
        parts.scale[:] = 1.0
        recent = slice(-RECENT, None)
        parts.entries[:, 0], parts.entries[:, 1] = known.sum(axis=1), known[:, recent].sum(axis=1)
        parts.positives[:] = positive.sum(axis=1)
        stacked = np.where(known, history, np.int32(0)) + self._first_item[rows, None]
        flat = weights.reshape(len(rows), 4, self._length)
        parts.sums[:] = np.matmul(flat, self._ensemble.item_vectors.take(stacked, axis=0)).reshape(parts.sums.shape)
        residual = known * (positive - self._ensemble.item_mean.take(stacked))
        parts.residual[:, 0], parts.residual[:, 1] = residual.sum(axis=1), residual[:, recent].sum(axis=1)
        self._renew(parts, rows)
        self._state[rows] = state

    def enter_known(
        self, rows: NDArray[np.int64], user_features: Float32, tables: Sequence[Float32], index: NDArray[np.int64]
    ) -> None:
        """New users whose states were computed before: rows ``index`` int [n] of their member's table (`tabulate`)."""
        self._features[rows] = user_features
        for own, number in self._by_member(rows):
            self._state[rows[own]] = tables[number].take(index[own], axis=0)

    def append(
        self, rows: NDArray[np.int64], items: Int32, history: Int32, history_feedback: Float32, *, renew: bool = True
    ) -> None:
        """A positive entry more in the windows of the places ``rows``, rising.

        Args:
            items: int32 [n] what was consumed.
            history, history_feedback: [n, L] the windows before it; their first entry falls out.
            renew: also compute the new states; False where further entries follow at once.
        """
        state = self._state.take(rows, axis=0)
        parts = _Parts.of(state, self._width, self._channels)
        first_item, vectors, mean = self._first_item[rows], self._ensemble.item_vectors, self._ensemble.item_mean
        stacked = items + first_item
        parts.scale[:] *= np.float32(DECAY)
        share = np.empty((len(rows), 2), dtype=np.float32)  # of a new entry in the constant and the decaying sums
        share[:, 0], share[:, 1] = 1.0, 1.0 / parts.scale
        parts.weights[:, 0] += share
        parts.sums[:, 0] += vectors.take(stacked, axis=0)[:, None, :] * share[:, :, None]
        parts.residual[:] += 1.0 - mean.take(stacked)[:, None]
        parts.entries[:] += 1.0
        parts.positives[:] += 1.0
        left = np.flatnonzero(history[:, 0] >= 0)
        if len(left):
            dropped, liked = history[left, 0] + first_item[left], history_feedback[left, 0] > 0
            side, share = np.where(liked, 0, 1), share[left]
            share[:, 1] *= self._dropped
            parts.sums[left, side] -= vectors.take(dropped, axis=0)[:, None, :] * share[:, :, None]
            parts.weights[left, side] -= share
            parts.residual[left, 0] -= liked - mean.take(dropped)
            parts.entries[left, 0] -= 1.0
            parts.positives[left] -= liked
        left = np.flatnonzero(history[:, -self._lately] >= 0)
        if len(left):
            aged, liked = history[left, -self._lately] + first_item[left], history_feedback[left, -self._lately] > 0
            parts.residual[left, 1] -= liked - mean.take(aged)
            parts.entries[left, 1] -= 1.0
        if parts.scale.min(initial=1.0) < _SMALLEST:
            _multiply_in(parts)
        if renew:
            self._renew(parts, rows)
        self._state[rows] = state

    def renew(self, rows: NDArray[np.int64]) -> None:
        """Compute the states of the places ``rows`` after entries with ``renew=False``."""
        state = self._state.take(rows, axis=0)
        self._renew(_Parts.of(state, self._width, self._channels), rows)
        self._state[rows] = state

    def logits(self, items: Int32, channel: int = 0, rows: NDArray[np.int64] | slice = slice(None)) -> Float32:
        """Log-odds float32 [n, k] of ``items`` int32 [n, k] in the places ``rows``, each by its own member."""
        stacked = items + self._first_item[rows, None]
        vectors = self._ensemble.item_vectors.take(stacked, axis=0)
        logits: Float32 = np.einsum("bkd,bd->bk", vectors, np.ascontiguousarray(self.query[rows, channel]))
        logits += self._ensemble.item_bias[channel].take(stacked)
        logits += self.gain[rows, channel, None]
        return logits

    def get_state(self) -> dict[str, Any]:
        """All that is known of the places; copies."""
        of = {"response_models": len(self._numbers)}
        return {OF: of, "first": self._numbers[0], "features": self._features.copy(), "state": self._state.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what ``get_state`` took of as many places of the same ensemble."""
        self._assign(state["first"])
        self._features[:] = state["features"]
        self._state[:] = state["state"]  # in place: gain and query are views of it

    def _assign(self, first: int) -> None:
        """Give the blocks of places to the members, the first block to number ``first``."""
        size = len(self._ensemble.members)
        numbers = (first + np.arange(size)) % size
        self._numbers: list[int] = numbers.tolist()
        self.member: NDArray[np.int64] = np.repeat(numbers, np.diff(self._blocks))
        self._first_item = (self.member * self._ensemble.num_items).astype(np.int32)  # of the member in the stack
        self._mix = self._ensemble.age_mix[self.member]

    def _renew(self, parts: _Parts, rows: NDArray[np.int64]) -> None:
        """Gain and query of ``parts``, which belong to the places ``rows``, from its sums."""
        wide = 2 * self._width
        mix = self._mix[rows]
        decaying = parts.scale[:, None, None] * mix[:, :, 1:]
        total = 1.0 + parts.weights[:, :, :1] * mix[:, :, :1] + parts.weights[:, :, 1:] * decaying
        inputs = np.empty((len(rows), wide + STATISTICS + self._features.shape[1]), dtype=np.float32)
        pools = inputs[:, :wide].reshape(len(rows), 2, self._width)
        np.multiply(parts.sums[:, :, 0], mix[:, :, :1] / total, out=pools)
        pools += parts.sums[:, :, 1] * (decaying / total)
        inputs[:, wide : wide + 2] = parts.residual / (parts.entries + np.float32(SHRINKAGE))
        inputs[:, wide + 2] = np.log1p(parts.positives) * np.float32(0.25)
        inputs[:, wide + 3] = np.log1p(parts.entries[:, 0] - parts.positives) * np.float32(0.25)
        inputs[:, wide + STATISTICS :] = self._features[rows]
        for own, number in self._by_member(rows):
            state = self._ensemble.members[number].state_of(inputs[own])
            parts.gain[own], parts.query[own] = state.gain, state.query

    def _by_member(self, rows: NDArray[np.int64]) -> list[tuple[slice, int]]:
        """The slices of ``rows``, rising places, that belong to each member, by number."""
        cuts = np.searchsorted(rows, self._blocks)
        parts = zip(cuts[:-1].tolist(), cuts[1:].tolist(), self._numbers, strict=True)
        return [(slice(start, stop), number) for start, stop, number in parts if stop > start]


def tabulate(
    ensemble: ResponseEnsemble, windows: Callable[[slice], tuple[Float32, Int32, Float32]], count: int
) -> tuple[Float32, ...]:
    """The states of ``count`` users as each member has them, for `ResponseTracker.enter_known`: float32 [count, K].

    Args:
        windows: features, histories and feedback of a slice of the users, as `ResponseTracker.enter` wants them.
    """
    tables = []
    for model in ensemble.members:
        alone = ResponseEnsemble.of((model,))
        parts = []
        for start in range(0, count, CHUNK):
            features, history, feedback = windows(slice(start, min(start + CHUNK, count)))
            tracker = ResponseTracker(alone, len(features))
            tracker.enter(np.arange(len(features)), features, history, feedback)
            parts.append(tracker._state)
        tables.append(np.concatenate(parts))
    return tuple(tables)


def _multiply_in(parts: _Parts) -> None:
    """Rows whose scale has become tiny: put it into their decaying sums."""
    rows = np.flatnonzero(parts.scale < _SMALLEST)
    parts.sums[rows, :, 1] *= parts.scale[rows, None, None]
    parts.weights[rows, :, 1] *= parts.scale[rows, None]
    parts.scale[rows] = 1.0
