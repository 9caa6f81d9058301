"""The plain scorer: encoder, trunk, and an inner product with item vectors."""

from __future__ import annotations

import sys
import warnings
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.encoders import ENCODERS


def layers(inputs: int, hidden: list[int], outputs: int, *, last_gain: float = 1.0) -> nn.Sequential:
    """A multilayer perceptron with ELU between linear layers; ``last_gain`` scales the last layer's initial weights."""
    widths = [inputs, *hidden]
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), nn.ELU()]
    last = nn.Linear(widths[-1], outputs)
    with torch.no_grad():
        last.weight.mul_(last_gain)
        last.bias.zero_()
    return nn.Sequential(*parts, last)


class ItemVectors(nn.Module):
    """Item vectors [N, d]: projected content features, and a learned vector an item where asked for.

    The content is no part of the state: it comes with the catalogue, is never trained, and would weigh down every
    checkpoint and every send of weights.
    """

    content: Tensor
    mean_content: Tensor

    def __init__(self, item_features: np.ndarray, embedding: int, *, item_ids: bool) -> None:
        super().__init__()
        self.register_buffer("content", as_tensor(item_features), persistent=False)
        self.register_buffer("mean_content", self.content.mean(0), persistent=False)
        self.project: nn.Module = nn.Linear(item_features.shape[1], embedding, bias=False)
        self.ids = nn.Parameter(torch.zeros(len(item_features), embedding)) if item_ids else None

    def forward(self) -> Tensor:
        """Of all items."""
        vectors = self.project(self.content)
        return vectors if self.ids is None else vectors + self.ids

    @torch.no_grad()
    def fold(self) -> None:
        """Work the vectors out once and for all: for a network that is only used from here on, never trained."""
        vectors = self()
        self.content, self.mean_content, self.ids = vectors, vectors.mean(0), None
        self.project = nn.Identity()

    def mean(self) -> Tensor:
        """The mean vector [d] of all items; a projection is linear, so it is asked once."""
        vector = self.project(self.mean_content)
        return vector if self.ids is None else vector + self.ids.mean(0)

    def at(self, items: Tensor) -> Tensor:
        """Of some ``items`` int64 [...], their vectors [..., d], without touching the others."""
        vectors = self.project(self.content[items])
        return vectors if self.ids is None else vectors + self.ids[items]


class ItemBias(nn.Module):
    """A number an item beside its inner product where ``learned``; else 0, and its features alone tell items apart."""

    def __init__(self, num_items: int, *, learned: bool) -> None:
        super().__init__()
        self.ids = nn.Parameter(torch.zeros(num_items)) if learned else None

    def forward(self, items: Tensor | None) -> Tensor | float:
        """Of all items [N], or of some ``items`` int64, in their shape."""
        if self.ids is None:
            return 0.0
        return self.ids if items is None else self.ids[items]


class ItemLookup:
    """Vectors of items within one forward pass: of the whole catalogue, or only of those that are asked for.

    Whichever is fewer: a small catalogue is projected once and indexed, of a large one only what occurs is touched.
    """

    def __init__(self, vectors: ItemVectors, expected: int) -> None:
        """``expected``: how many vectors will be asked for."""
        self._vectors = vectors
        self._all = vectors() if expected >= len(vectors.content) else None

    def all(self) -> Tensor:
        """[N, d]."""
        if self._all is None:
            self._all = self._vectors()
        return self._all

    def at(self, items: Tensor) -> Tensor:
        """[..., d] of ``items`` int64 [...]."""
        return self._vectors.at(items) if self._all is None else self._all[items]


def as_tensor(array: np.ndarray) -> Tensor:
    """Float32, without a copy where the array is float32 already (it may be read-only: nobody writes into it)."""
    contiguous = np.ascontiguousarray(array, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of arrays that are not writable
        return torch.from_numpy(contiguous)


def vectors_of(history: Tensor, lookup: ItemLookup) -> Tensor:
    """Vectors [B, L, d] of a history's items [B, L]; zeros at padding."""
    items = history.long()
    return lookup.at(items.clamp(min=0)) * (items >= 0).unsqueeze(-1)


def product(vectors: Tensor, query: Tensor) -> Tensor:
    """Inner products [B, M] of queries [B, d] with vectors [N, d] of all items, or [B, M, d] of each row's own."""
    if vectors.dim() == 2:
        return query @ vectors.T
    return torch.bmm(vectors, query.unsqueeze(2)).squeeze(2)


class StateEncoder(nn.Module):
    """State [B, S]: user features, context and the encoded history, side by side."""

    def __init__(self, config: NetworkConfig, sizes: StateSizes) -> None:
        super().__init__()
        encoder = config.encoder if sizes.history_length else "none"
        self.history = ENCODERS[encoder](sizes.history_length, config.embedding, sizes.user_features)
        self.size = sizes.user_features + sizes.context + self.history.size
        self.uses_history = encoder != "none"

    def forward(self, obs: dict[str, Tensor], lookup: ItemLookup) -> Tensor:
        parts = [obs["user_features"], obs["context"]]
        if self.uses_history:
            seen = vectors_of(obs["history"], lookup)
            parts.append(self.history(seen, obs["history_feedback"], obs["user_features"]))
        return torch.cat(parts, dim=1)


class DotNetwork(CandidateNetwork):
    """logit(s, i) = bias_i + query(state) · vector_i, for all N items.

    Also the relevance model of the head ``trade_off``: then fitted to the log by `training.warm_start`.
    """

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__()
        self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
        self.state = StateEncoder(config, sizes)
        self.context = sizes.context
        self.query = layers(self.state.size, config.hidden, config.embedding + 1, last_gain=0.1)
        self.bias = nn.Parameter(torch.zeros(len(item_features)))

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Logits [B, N]."""
        return self.taste(obs)[0]

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.taste(obs | {"context": obs["context"][:, : self.context]}, items)[0],)

    def taste(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [B, N], or [B, k] of only some ``items`` int64 [B, k]; and the query [B, d + 1] that gave them."""
        lookup = ItemLookup(self.vectors, vectors_needed(obs, items))
        query = self.query(self.state(obs, lookup))
        if items is None:
            return torch.addmm(self.bias, query[:, :-1], lookup.all().T) + query[:, -1:], query
        logits = product(lookup.at(items), query[:, :-1])
        return logits + query[:, -1:] + self.bias[items], query


def vectors_needed(obs: dict[str, Tensor], items: Tensor | None) -> int:
    """How many item vectors a forward pass will ask for; endless for all items."""
    return sys.maxsize if items is None else obs["history"].numel() + items.numel()
