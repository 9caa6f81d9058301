"""The response states of live users, kept up to date as their histories grow.

A state depends on weighted sums over the window whose weights change only with age. So an entry more costs a few
additions a user instead of a pass over the window: with S = sum e_j and D = sum DECAY^age e_j over the entries of one
sign,

    S <- S + e_new - e_dropped,    D <- DECAY D + e_new - DECAY^L e_dropped

(D is kept divided by DECAY^entries, so that ageing costs one number a user), and likewise for the statistics of
`history_statistics`. Only a user who enters is computed from his whole window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rec_platform.simulation.response.ensemble import ResponseEnsemble
from rec_platform.simulation.response.model import (
    DECAY,
    RECENT,
    SHRINKAGE,
    STATISTICS,
    ResponseModel,
    age_powers,
)
from rec_platform.types import Float32, Int32

_SMALLEST = np.float32(1e-12)
"""A scale of decaying sums below this is multiplied in."""


class ResponseTracker:
    """States of B places, each answering as one of the members of an ensemble.

    Members have blocks of places, so that the users of one are a slice and not a list of rows.

    Attributes:
        member: int64 [B] which of the members answers for each place.
        gain, query: float32 [B, E], [B, E, d]; see `ResponseState`.
    """

    def __init__(self, ensemble: ResponseEnsemble, count: int, first: int = 0) -> None:
        """For ``count`` places, the first block being that of member ``first``."""
        model, size = ensemble.members[0], len(ensemble.members)
        width, channels = model.item_vectors.shape[1], model.num_channels
        numbers = (first + np.arange(size)) % size
        self._ensemble = ensemble
        self._members = tuple(ensemble.members[number] for number in numbers)
        self._blocks = np.arange(size + 1) * count // size
        self.member: NDArray[np.int64] = np.repeat(numbers, np.diff(self._blocks))
        self._first_item = (self.member * ensemble.num_items).astype(np.int32)  # of the place's member in the stack
        self._mix = ensemble.age_mix[self.member]
        self._length = model.history_length
        self._powers = age_powers(self._length)
        self._lately = min(RECENT, self._length)
        self._dropped = np.float32(DECAY) ** self._length  # decaying weight of an entry as it leaves the window
        self.gain: Float32 = np.zeros((count, channels), dtype=np.float32)
        self.query: Float32 = np.zeros((count, channels, width), dtype=np.float32)
        self._features: Float32 = np.zeros((count, model.num_user_features), dtype=np.float32)
        # [place, sign (positive, negative), constant or decaying, d], and the sums of the weights alone.
        self._sums: Float32 = np.zeros((count, 2, 2, width), dtype=np.float32)
        self._weights: Float32 = np.zeros((count, 2, 2), dtype=np.float32)
        self._scale: Float32 = np.ones(count, dtype=np.float32)  # of the decaying ones
        # Residual sums and entries, over the window and over what is recent; positives in the window.
        self._residual: Float32 = np.zeros((count, 2), dtype=np.float32)
        self._entries: Float32 = np.zeros((count, 2), dtype=np.float32)
        self._positives: Float32 = np.zeros(count, dtype=np.float32)

    def enter(
        self,
        rows: NDArray[np.int64],
        user_features: Float32,
        history: Int32,
        history_feedback: Float32,
    ) -> None:
        """New users in the places ``rows`` int [n], rising, with windows int32 and float32 [n, L]."""
        self._features[rows] = user_features
        known, positive = history >= 0, history_feedback > 0
        signed = np.stack([positive & known, (history_feedback < 0) & known], axis=1).astype(np.float32)
        weights = signed[:, :, None, :] * self._powers
        self._weights[rows] = weights.sum(axis=3)
        self._scale[rows] = 1.0
        recent = slice(-RECENT, None)
        self._entries[rows, 0], self._entries[rows, 1] = known.sum(axis=1), known[:, recent].sum(axis=1)
        self._positives[rows] = positive.sum(axis=1)
        stacked = np.where(known, history, np.int32(0)) + self._first_item[rows, None]
        flat = weights.reshape(len(rows), 4, self._length)
        vectors = self._ensemble.item_vectors.take(stacked, axis=0)
        self._sums[rows] = np.matmul(flat, vectors).reshape(-1, 2, 2, vectors.shape[2])
        residual = known * (positive - self._ensemble.item_mean.take(stacked))
        self._residual[rows, 0] = residual.sum(axis=1)
        self._residual[rows, 1] = residual[:, recent].sum(axis=1)
        self._renew(rows)

    def append(
        self, rows: NDArray[np.int64], items: Int32, history: Int32, history_feedback: Float32, *, renew: bool = True
    ) -> None:
        """A positive entry more in the windows of the places ``rows``, rising.

        Args:
            items: int32 [n] what was consumed.
            history, history_feedback: [n, L] the windows before it; their first entry falls out.
            renew: also compute the new states; False where further entries follow at once.
        """
        dropped, aged = history[:, 0], history[:, -self._lately]
        gone, older = dropped >= 0, aged >= 0
        liked, aged_liked = history_feedback[:, 0] > 0, history_feedback[:, -self._lately] > 0
        scale = self._scale[rows] * np.float32(DECAY)
        self._scale[rows] = scale
        parts = np.empty((len(rows), 2), dtype=np.float32)  # of a new entry in the constant and the decaying sums
        parts[:, 0], parts[:, 1] = 1.0, 1.0 / scale
        self._weights[rows, 0] += parts
        first_item, mean = self._first_item[rows], self._ensemble.item_mean
        stacked = items + first_item
        added = self._ensemble.item_vectors.take(stacked, axis=0)[:, None, :] * parts[:, :, None]
        added += self._sums[rows, 0]
        self._sums[rows, 0] = added
        residual = self._residual[rows]
        residual += 1.0 - mean.take(stacked)[:, None]
        left = np.flatnonzero(gone)
        if len(left):
            places, side, stacked = rows[left], np.where(liked[left], 0, 1), (dropped + first_item)[left]
            parts[:, 1] *= self._dropped
            gone_parts = parts[left]
            vectors = self._ensemble.item_vectors.take(stacked, axis=0)
            self._sums[places, side] -= vectors[:, None, :] * gone_parts[:, :, None]
            self._weights[places, side] -= gone_parts
            residual[left, 0] -= liked[left] - mean.take(stacked)
        left = np.flatnonzero(older)
        if len(left):
            residual[left, 1] -= aged_liked[left] - mean.take((aged + first_item)[left])
        self._residual[rows] = residual
        if scale.min(initial=1.0) < _SMALLEST:
            self._multiply_in(rows[scale < _SMALLEST])
        self._entries[rows, 0] += ~gone
        self._entries[rows, 1] += ~older
        self._positives[rows] += 1.0 - (gone & liked)
        if renew:
            self._renew(rows)

    def renew(self, rows: NDArray[np.int64]) -> None:
        """Compute the states of the places ``rows`` after entries with ``renew=False``."""
        self._renew(rows)

    def _multiply_in(self, rows: NDArray[np.int64]) -> None:
        self._sums[rows, :, 1] *= self._scale[rows, None, None]
        self._weights[rows, :, 1] *= self._scale[rows, None]
        self._scale[rows] = 1.0

    def _renew(self, rows: NDArray[np.int64]) -> None:
        width = self._sums.shape[3]
        sums, weights, scale = self._sums[rows], self._weights[rows], self._scale[rows, None, None]
        inputs = np.empty((len(rows), 2 * width + STATISTICS + self._features.shape[1]), dtype=np.float32)
        entries, positives = self._entries[rows], self._positives[rows]
        inputs[:, 2 * width : 2 * width + 2] = self._residual[rows] / (entries + np.float32(SHRINKAGE))
        inputs[:, 2 * width + 2] = np.log1p(positives) * np.float32(0.25)
        inputs[:, 2 * width + 3] = np.log1p(entries[:, 0] - positives) * np.float32(0.25)
        inputs[:, 2 * width + STATISTICS :] = self._features[rows]
        mix = self._mix[rows]
        decaying = scale * mix[:, :, 1:]
        total = 1.0 + weights[:, :, :1] * mix[:, :, :1] + weights[:, :, 1:] * decaying
        pools = sums[:, :, 0] * (mix[:, :, :1] / total)
        pools += sums[:, :, 1] * (decaying / total)
        inputs[:, : 2 * width] = pools.reshape(-1, 2 * width)
        for own, model in self._by_member(rows):
            state = model.state_of(inputs[own])
            self.gain[rows[own]], self.query[rows[own]] = state.gain, state.query

    def logits(self, items: Int32, channel: int = 0, rows: NDArray[np.int64] | slice = slice(None)) -> Float32:
        """Log-odds float32 [n, k] of ``items`` int32 [n, k] in the places ``rows``, each by its own member."""
        stacked = items + self._first_item[rows, None]
        vectors = self._ensemble.item_vectors.take(stacked, axis=0)
        logits: Float32 = np.einsum("bkd,bd->bk", vectors, self.query[rows, channel])
        logits += self._ensemble.item_bias[channel].take(stacked)
        logits += self.gain[rows, channel, None]
        return logits

    def _by_member(self, rows: NDArray[np.int64]) -> list[tuple[slice, ResponseModel]]:
        """The slices of ``rows``, rising places, that belong to each model."""
        cuts = np.searchsorted(rows, self._blocks)
        parts = zip(cuts[:-1].tolist(), cuts[1:].tolist(), self._members, strict=True)
        return [(slice(start, stop), model) for start, stop, model in parts if stop > start]
