"""The plain scorer: encoder, trunk, and an inner product with item vectors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

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
    """Item vectors [N, d]: projected content features, and a learned vector an item where asked for."""

    def __init__(self, item_features: np.ndarray, embedding: int, *, item_ids: bool) -> None:
        super().__init__()
        self.register_buffer("content", torch.from_numpy(np.ascontiguousarray(item_features, dtype=np.float32)))
        self.project = nn.Linear(item_features.shape[1], embedding, bias=False)
        self.ids = nn.Parameter(torch.zeros(len(item_features), embedding)) if item_ids else None

    def forward(self) -> Tensor:
        vectors = self.project(self.content)
        return vectors if self.ids is None else vectors + self.ids


class StateEncoder(nn.Module):
    """State [B, S]: user features, context and the encoded history, side by side."""

    def __init__(self, config: NetworkConfig, sizes: StateSizes) -> None:
        super().__init__()
        encoder = config.encoder if sizes.history_length else "none"
        self.history = ENCODERS[encoder](sizes.history_length, config.embedding)
        self.size = sizes.user_features + sizes.context + int(self.history.size)
        self.uses_history = encoder != "none"

    def forward(self, obs: dict[str, Tensor], vectors: Tensor) -> Tensor:
        parts = [obs["user_features"], obs["context"]]
        if self.uses_history:
            items = obs["history"].long()
            seen = vectors[items.clamp(min=0)] * (items >= 0).unsqueeze(-1)
            parts.append(self.history(seen, obs["history_feedback"]))
        return torch.cat(parts, dim=1)


class DotNetwork(nn.Module):
    """logit(s, i) = bias_i + query(state) · vector_i, for all N items.

    Also the relevance model of the head ``trade_off``: then fitted to the log by `training.warm_start`.
    """

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__()
        self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
        self.state = StateEncoder(config, sizes)
        self.query = layers(self.state.size, config.hidden, config.embedding + 1, last_gain=0.1)
        self.bias = nn.Parameter(torch.zeros(len(item_features)))

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Logits [B, N]."""
        return self.taste(obs)[0]

    def taste(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [B, N], or [B, k] of only some ``items`` int64 [B, k]; and the query [B, d + 1] that gave them."""
        vectors = self.vectors()
        query = self.query(self.state(obs, vectors))
        if items is None:
            return torch.addmm(self.bias, query[:, :-1], vectors.T) + query[:, -1:], query
        logits = torch.bmm(vectors[items], query[:, :-1].unsqueeze(2)).squeeze(2)
        return logits + query[:, -1:] + self.bias[items], query
