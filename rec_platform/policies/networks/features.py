"""What the heads of all networks work with: the state of a user, and what is known of the candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import (
    DotNetwork,
    ItemLookup,
    ItemVectors,
    StateEncoder,
    as_tensor,
    vectors_needed,
)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the heads work with.

    Attributes:
        state: [B, S] what a policy may depend on.
        rich: [B, S'] what a state's value may depend on.
        items: item vectors [N, d] (or [B, k, d] of some items); with a likeness, relevance [B, N] (or [B, k]).
        likeness: [B, N] (or [B, k]) mean cosine to what was consumed last; None for the head ``dot``.
    """

    state: Tensor
    rich: Tensor
    items: Tensor
    likeness: Tensor | None


class Features(nn.Module):
    """The shared inputs of actor, critic and value networks.

    ``dot``: user features, context and encoded history, for policy and value alike. ``trade_off``: the policy sees the
    context, the mean content of what was consumed last and the share of positive responses; values also see the user's
    taste (the relevance model's query), without which a user's general readiness would pass for an item's merit.
    """

    unit: Tensor

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__()
        self.trade_off = config.head == "trade_off"
        self.window = config.window
        if self.trade_off:
            # The relevance is a model of the user's taste, fitted to the log, where there is no session context.
            self.relevance = DotNetwork(config, replace(sizes, context=0), item_features)
            self.relevance.requires_grad_(False)
            norm = np.maximum(np.linalg.norm(item_features, axis=1, keepdims=True), 1e-8)
            self.register_buffer("unit", as_tensor(item_features / norm), persistent=False)
            self.size = sizes.context + item_features.shape[1] + 1
            self.rich_size = self.size + config.embedding + 1
        else:
            self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
            self.state = StateEncoder(config, sizes)
            self.size = self.rich_size = self.state.size

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> Inputs:
        """For all N items, or for only some ``items`` int64 [B, k]."""
        if not self.trade_off:
            lookup = ItemLookup(self.vectors, vectors_needed(obs, items))
            state = self.state(obs, lookup)
            return Inputs(state, state, lookup.all() if items is None else lookup.at(items), None)
        with torch.no_grad():
            history, feedback = obs["history"][:, -self.window :].long(), obs["history_feedback"][:, -self.window :]
            consumed = ((feedback > 0) & (history >= 0)).float()
            recent = torch.bmm(consumed.unsqueeze(1), self.unit[history.clamp(min=0)]).squeeze(1)
            recent = recent / consumed.sum(1, keepdim=True).clamp(min=1.0)
            state = torch.cat([obs["context"], recent, consumed.mean(1, keepdim=True)], dim=1)
            relevance, taste = self.relevance.taste(obs | {"context": obs["context"][:, :0]}, items)
            if items is None:
                likeness = recent @ self.unit.T
            else:
                likeness = torch.bmm(self.unit[items], recent.unsqueeze(2)).squeeze(2)
            return Inputs(state, torch.cat([state, taste], dim=1), relevance, likeness)


class Boredom(nn.Module):
    """What likeness to the items consumed last costs: rising, convex and piecewise linear in it.

    cost = Σ_j b_j max(0, likeness - knot_j), b_j > 0. One straight line would charge for likeness that bores nobody.
    """

    KNOTS = (0.0, 0.1, 0.2, 0.4)
    HASTE = 8.0
    """Few and decisive parameters: they move so many times faster than the network's weights."""

    scale: Tensor

    def __init__(self, slope: float) -> None:
        super().__init__()
        # softplus(raw) = slope at the first knot, a tenth of it at the others
        start = np.array([slope, *[0.1 * slope] * (len(self.KNOTS) - 1)], dtype=np.float32)
        self.register_buffer("scale", torch.tensor(float(slope)))  # with the weights, which mean nothing without it
        self.raw = nn.Parameter(torch.from_numpy(np.log(np.expm1(start / slope)) / np.float32(self.HASTE)))

    def forward(self, likeness: Tensor) -> Tensor:
        """Costs of the shape of ``likeness``."""
        slopes = self.scale * nn.functional.softplus(self.HASTE * self.raw)
        costs = [slope * (likeness - knot).clamp(min=0.0) for slope, knot in zip(slopes, self.KNOTS, strict=True)]
        return sum(costs[1:], costs[0])
