"""SlateQ's network with a model of who was shown what: only what the log supports may be shown."""

from __future__ import annotations

from math import log

import numpy as np
import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers, product
from rec_platform.policies.networks.features import Inputs
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE
from rec_platform.policies.networks.slate_q import SlateValue

FORBIDDEN = -1e6
"""Value of an item that may not be shown; with a mass of at least 1 it is the last that any sampler picks by score."""


class ConstrainedSlateValue(SlateValue):
    """Values and masses as `SlateValue`'s where the behaviour model supports an item, `FORBIDDEN` elsewhere.

    Attributes:
        threshold: τ; an item is supported where π_b(i|s) / max_j π_b(j|s) > τ over the available items j.
        slate_size: k; the k likeliest items are supported in any case, so that no slate is left with gaps.
    """

    by_candidates = True

    def __init__(
        self,
        config: NetworkConfig,
        sizes: StateSizes,
        item_features: np.ndarray,
        *,
        value_scale: float,
        threshold: float,
    ) -> None:
        super().__init__(config, sizes, item_features, value_scale=value_scale)
        if self.features.trade_off:
            self.behaviour = layers(self.features.rich_size, config.hidden, item_features.shape[1], last_gain=0.01)
        else:
            self.behaviour = layers(self.features.size, config.hidden, config.embedding, last_gain=0.01)
        self.behaviour_bias = torch.nn.Parameter(torch.zeros(len(item_features)))
        self.threshold = threshold
        self.slate_size = min(sizes.slate_size, len(item_features))

    def behaviour_logits(self, inputs: Inputs) -> Tensor:
        """Logits [B, N] of the behaviour model's first slot, of inputs for all items."""
        vectors = self.features.unit if self.features.trade_off else inputs.items
        return product(vectors, self.behaviour(inputs.rich)) + self.behaviour_bias

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        inputs = self.features(obs)
        values, masses, null_value, null_mass, _ = self.parts(inputs, None)
        everywhere = available_items(values, items, available)
        allowed = supported(self.behaviour_logits(inputs), everywhere, self.threshold, self.slate_size)
        values = torch.where(allowed, values, FORBIDDEN)
        masses = torch.where(allowed, masses, masses.clamp(min=1.0))
        if items is not None:
            values, masses = values.gather(1, items), masses.gather(1, items)
        return values, masses, null_value, null_mass


def available_items(like: Tensor, items: Tensor | None, available: Tensor | None) -> Tensor:
    """Bool [B, N], of the shape of ``like``: which items of the catalogue are among the available candidates."""
    if available is None:
        return torch.ones_like(like, dtype=torch.bool)
    if items is None:
        return available
    return torch.zeros_like(like).scatter_add(1, items, available.to(like.dtype)) > 0


def supported(logits: Tensor, available: Tensor, threshold: float, least: int) -> Tensor:
    """Bool [B, N]: available items whose probability is above ``threshold`` of the likeliest one's, and the ``least``
    likeliest ones (all, where no more are available)."""
    logits = torch.where(available, logits, UNAVAILABLE)
    best = logits.topk(least, dim=1).values
    allowed = logits >= best[:, -1:]
    if threshold > 0:
        allowed = allowed | (logits - best[:, :1] > log(threshold))
    else:
        allowed = torch.ones_like(allowed)
    return allowed & available
