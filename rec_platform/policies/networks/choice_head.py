"""A choice model beside the values: unnormalised masses of items and of choosing nothing."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from rec_platform.policies.networks.config import NetworkConfig
from rec_platform.policies.networks.dot import ItemBias, ItemVectors, layers, product

GAIN = 16.0
"""Adam moves a weight by about the learning rate a step; without a gain the masses, which spread over orders of
magnitude, get there too late: after 256 k choices of interest evolution they were off by .25, with it by .1."""

HIDDEN = 64


class ChoiceHead(nn.Module):
    """mass(s, i) = softplus(16 · (query(s) · vector_i + bias_i) + .54), and the null item's by the same query.

    It has item vectors of its own, because what attracts is not what is worth much, and a linear way past the hidden
    layer, because attraction is often a plain product of a user's and an item's features.
    """

    def __init__(self, state_size: int, config: NetworkConfig, item_features: np.ndarray) -> None:
        super().__init__()
        self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
        self.query = layers(state_size, [HIDDEN], config.embedding + 1, last_gain=0.1)
        self.straight = nn.Linear(state_size, config.embedding, bias=False)
        nn.init.zeros_(self.straight.weight)
        self.bias = ItemBias(len(item_features), learned=config.item_ids)
        self.num_items = len(item_features)

    def forward(self, state: Tensor, items: Tensor | None) -> tuple[Tensor, Tensor]:
        """Masses [B, N], or [B, k] of only some ``items`` int64 [B, k], and the null mass [B]; all above 0."""
        query = self.query(state)
        taste = query[:, :-1] + self.straight(state)
        if items is None:
            logits = product(self.vectors(), taste)
        else:
            few = items.numel() < self.num_items
            vectors = self.vectors.at(items) if few else self.vectors()[items]
            logits = product(vectors, taste)
        return positive_mass(GAIN * (logits + self.bias(items))), positive_mass(GAIN * query[:, -1])


def positive_mass(x: Tensor) -> Tensor:
    """Softplus, 1 at 0 and never 0. The least mass is far below what a step can reach: a logarithm that is flat there
    would never learn again (with 1e-4 all masses of interest exploration ended there)."""
    return nn.functional.softplus(x + 0.5413) + 1e-8
