"""How likely a user is to respond to an item, given what he responded to before.

    e_i         = W content_i + id_i                                item vectors, d wide
    pool±       = sum_j a±_j e_{h_j} / (1 + sum_j a±_j)             over the positive / negative entries of the window,
                                                                    a±_j = m±_0 + m±_1 DECAY^age_j, both learned
    stats       = how much better or worse than the items' means he answered, all and lately; log counts
    (g_c, q_c)  = V_c tanh(U [pool+, pool-, stats, user features] + u) + v_c
    logit_c(i)  = b_ci + g_c + q_c . e_i

Channel c = 0 is the positive response itself; every other channel (a purchase after the click, a rating of five among
the liked) is the log-odds of its event *given* a positive response.

The weights of age are constants plus one exponential, so that an entry more changes the pools by a few additions
(`tracker`).

No recurrent net: a user-step costs O(L d + k d) for the slate's logits and O(N d) for the whole catalogue's.
`response_fit` fits it with torch; here are only arrays and NumPy, so that evaluating or loading it needs no torch and
runs no stored code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse

from rec_platform.errors import InputError
from rec_platform.types import Float32, Int32

FORMAT_VERSION = 2
STATISTICS = 4
DECAY = 0.8
"""Of the decaying part of an entry's weight, per newer entry."""
RECENT = 10
"""How many of the newest entries "lately" means in the statistics."""
SHRINKAGE = 5.0
"""Entries' worth of "as the items' means" in the mean residuals."""


@dataclass(frozen=True, slots=True)
class ResponseState:
    """What a user's features and history amount to: the part of the model that does not depend on the item.

    Attributes:
        gain: float32 [B, E] g.
        query: float32 [B, E, d] q.
    """

    gain: Float32
    query: Float32


@dataclass(frozen=True, slots=True)
class ResponseModel:
    """A fitted model. N items, d width, L window, F user features, H hidden units, E channels, P = 2 d + 4 + F inputs.

    Attributes:
        item_vectors: float32 [N, d] e.
        item_bias: float32 [E, N] b.
        item_mean: float32 [N] smoothed share of positive responses in the log.
        age_mix: float32 [2, 2] m: of positive and negative entries; constant and decaying part.
        history_length: L.
        hidden_weights: float32 [P, H] U.
        hidden_bias: float32 [H] u.
        output_weights: float32 [H, E, d + 1] V; the last column gives g.
        output_bias: float32 [E, d + 1] v.
    """

    item_vectors: Float32
    item_bias: Float32
    item_mean: Float32
    age_mix: Float32
    hidden_weights: Float32
    hidden_bias: Float32
    output_weights: Float32
    output_bias: Float32
    history_length: int

    @property
    def num_items(self) -> int:
        return int(self.item_vectors.shape[0])

    @property
    def num_channels(self) -> int:
        return int(self.item_bias.shape[0])

    @property
    def num_user_features(self) -> int:
        return int(self.hidden_weights.shape[0] - STATISTICS - 2 * self.item_vectors.shape[1])

    def state(self, user_features: Float32, history: Int32, history_feedback: Float32) -> ResponseState:
        """The state of B users: float32 [B, F], int32 [B, L], float32 [B, L] (as in `Observation`).

        Raises:
            InputError: a history of another length, or another number of user features.
        """
        size, length = history.shape
        if length != self.history_length or user_features.shape != (size, self.num_user_features):
            raise InputError(
                "history",
                f"history {history.shape} with user features {user_features.shape}",
                f"the model wants [B, {self.history_length}] and [B, {self.num_user_features}]",
            )
        inputs = np.concatenate(
            [
                self._pool(history, history_feedback > 0, self.age_mix[0]),
                self._pool(history, history_feedback < 0, self.age_mix[1]),
                history_statistics(history, history_feedback, self.item_mean),
                user_features,
            ],
            axis=1,
        )
        return self.state_of(inputs)

    def state_of(self, inputs: Float32) -> ResponseState:
        """The state from the inputs of the hidden layer, float32 [B, P]."""
        size = len(inputs)
        hidden = np.tanh(inputs @ self.hidden_weights + self.hidden_bias)
        output = (hidden @ self.output_weights.reshape(len(self.hidden_bias), -1)).reshape(
            size, *self.output_bias.shape
        )
        output += self.output_bias
        return ResponseState(gain=output[:, :, -1], query=output[:, :, :-1])

    def logits(self, user_features: Float32, history: Int32, history_feedback: Float32) -> Float32:
        """Float32 [B, N]: the log-odds of a positive response to every item of the catalogue."""
        return self.catalogue_logits(self.state(user_features, history, history_feedback))

    def catalogue_logits(self, state: ResponseState, channel: int = 0) -> Float32:
        """As `logits`, from a state that is already known."""
        logits: Float32 = state.query[:, channel] @ self.item_vectors.T
        logits += self.item_bias[channel]
        logits += state.gain[:, channel, None]
        return logits

    def slate_logits(
        self, user_features: Float32, history: Int32, history_feedback: Float32, items: Int32, channel: int = 0
    ) -> Float32:
        """Float32 [B, k]: the log-odds for ``items`` int32 [B, k] only."""
        return self.item_logits(self.state(user_features, history, history_feedback), items, channel)

    def item_logits(self, state: ResponseState, items: Int32, channel: int = 0) -> Float32:
        """As `slate_logits`, from a state that is already known."""
        vectors = self.item_vectors.take(items, axis=0)
        logits: Float32 = np.einsum("bkd,bd->bk", vectors, state.query[:, channel])
        logits += self.item_bias[channel].take(items)
        logits += state.gain[:, channel, None]
        return logits

    def _pool(self, history: Int32, wanted: np.ndarray, mix: Float32) -> Float32:
        """Float32 [B, d]: the weighted mean of the vectors of the history entries where ``wanted`` bool [B, L]."""
        size = len(history)
        rows, columns = np.nonzero(wanted & (history >= 0))
        weights = (mix @ age_powers(self.history_length))[columns]
        starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=size))))
        matrix = sparse.csr_matrix((weights, history[rows, columns], starts), shape=(size, self.num_items))
        total = np.bincount(rows, weights=weights, minlength=size).astype(np.float32)
        return np.asarray(matrix @ self.item_vectors) / (1.0 + total)[:, None]

    def save(self, folder: Path) -> None:
        """Write ``response_model.safetensors`` and ``response_model.json`` into a folder, made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [f.name for f in fields(self) if f.name != "history_length"]
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in names}, _arrays(folder))
        sizes = {"format_version": FORMAT_VERSION, "items": self.num_items, "history_length": self.history_length}
        (folder / "response_model.json").write_text(json.dumps(sizes, indent=2) + "\n")

    @staticmethod
    def load(folder: Path) -> ResponseModel:
        """Read what `save` wrote.

        Raises:
            InputError: a file is missing or not what it should be.
        """
        try:
            sizes = json.loads((folder / "response_model.json").read_text())
            if sizes["format_version"] != FORMAT_VERSION:
                problem = f"response model format {sizes['format_version']}"
                raise InputError(str(folder), problem, f"this version reads format {FORMAT_VERSION}: fit anew")
            return ResponseModel(**load_file(_arrays(folder)), history_length=int(sizes["history_length"]))
        except InputError:
            raise
        except Exception as error:
            raise InputError(str(folder), f"no readable response model: {error}") from error


def age_powers(length: int) -> Float32:
    """1 and DECAY^age of each entry of a window, newest last: float32 [2, length]."""
    ages = np.arange(length - 1, -1, -1, dtype=np.float32)
    return np.stack([np.ones(length, dtype=np.float32), np.float32(DECAY) ** ages])


def history_statistics(history: Int32, history_feedback: Float32, item_mean: Float32) -> Float32:
    """What a window says of the user beside which items they were: float32 [B, 4].

    Columns: mean of (answered positively - item's mean), shrunk to 0 by `SHRINKAGE` entries; the same over the newest
    `RECENT` entries; log(1 + positives) / 4; log(1 + negatives) / 4.
    """
    known = history >= 0
    positive = history_feedback > 0
    residual = np.where(known, positive - item_mean[history], np.float32(0.0))
    recent = slice(-RECENT, None)
    positives = positive.sum(axis=1)
    entries = known.sum(axis=1)
    columns = [
        residual.sum(axis=1) / (entries + SHRINKAGE),
        residual[:, recent].sum(axis=1) / (known[:, recent].sum(axis=1) + SHRINKAGE),
        np.log1p(positives) / 4.0,
        np.log1p(entries - positives) / 4.0,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _arrays(folder: Path) -> Path:
    return folder / "response_model.safetensors"
