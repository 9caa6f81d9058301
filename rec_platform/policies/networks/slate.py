"""Networks of the reinforcement learners: what scores a slate's candidates, and what values a state.

Every network answers for all N items ([B, N], one matrix product), from which a request's candidates are gathered; the
cost of the learned part grows with the width of the state, not with the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork, ItemVectors, StateEncoder, layers


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
            self.register_buffer("unit", torch.from_numpy((item_features / norm).astype(np.float32)))
            self.size = sizes.context + item_features.shape[1] + 1
            self.rich_size = self.size + config.embedding + 1
        else:
            self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
            self.state = StateEncoder(config, sizes)
            self.size = self.rich_size = self.state.size

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> Inputs:
        """For all N items, or for only some ``items`` int64 [B, k]."""
        if not self.trade_off:
            vectors = self.vectors()
            state = self.state(obs, vectors)
            return Inputs(state, state, vectors if items is None else vectors[items], None)
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

    def __init__(self, slope: float) -> None:
        super().__init__()
        # softplus(raw) = slope at the first knot, a tenth of it at the others
        start = np.array([slope, *[0.1 * slope] * (len(self.KNOTS) - 1)], dtype=np.float32)
        self.scale = slope
        self.raw = nn.Parameter(torch.from_numpy(np.log(np.expm1(start / slope)) / np.float32(self.HASTE)))

    def forward(self, likeness: Tensor) -> Tensor:
        """Costs of the shape of ``likeness``."""
        slopes = self.scale * nn.functional.softplus(self.HASTE * self.raw)
        costs = [slope * (likeness - knot).clamp(min=0.0) for slope, knot in zip(slopes, self.KNOTS, strict=True)]
        return sum(costs[1:], costs[0])


class ActorCritic(nn.Module):
    """Logits of a Plackett–Luce slate, and V(s)."""

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__()
        self.features = Features(config, sizes, item_features)
        size = self.features.size
        if self.features.trade_off:
            self.actor = layers(size, config.hidden, 2, last_gain=0.01)
            self.log_scale = nn.Parameter(torch.tensor(float(np.log(config.inverse_temperature))))
            self.boredom = Boredom(config.diversity)
        else:
            self.actor = layers(size, config.hidden, config.embedding, last_gain=0.01)
            self.bias = nn.Parameter(torch.zeros(len(item_features)))
        self.critic = layers(self.features.rich_size, config.hidden, 1)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [B, N] and V(s) [B]."""
        inputs = self.features(obs)
        out = self.actor(inputs.state)
        if inputs.likeness is None:
            logits = torch.addmm(self.bias, out, inputs.items.T)
        else:
            diversity = torch.exp(4.0 * out[:, :1])
            logits = torch.exp(self.log_scale + out[:, 1:]) * (inputs.items - diversity * self.boredom(inputs.likeness))
        return logits, self.critic(inputs.rich).squeeze(-1)

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """V(s) [B]."""
        none = torch.zeros(len(obs["context"]), 0, dtype=torch.long, device=obs["context"].device)
        return self.critic(self.features(obs, none).rich).squeeze(-1)


class SlateValue(nn.Module):
    """SlateQ: Q̄(s, i) of every item and of choosing nothing, and the masses of a choice model.

    Q̄ = scale · (V(s) + A(s, ·)), dueling over the items and the null item. Masses are softplus, so that a
    proportional and a logit choice can both be learned.
    """

    def __init__(
        self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray, *, value_scale: float
    ) -> None:
        super().__init__()
        self.features = Features(config, sizes, item_features)
        self.value_scale = value_scale
        size = self.features.size
        self.base = layers(self.features.rich_size, config.hidden, 3)  # V(s), the null item's advantage, and its choice
        if self.features.trade_off:
            # What an item is worth once it is consumed: its relevance has then done its work, in the choice, and
            # likeness to what went before can only cost.
            self.boredom = Boredom(config.diversity / value_scale)
            self.advantage = layers(size, config.hidden, 2, last_gain=0.01)
            self.choice = nn.Parameter(torch.tensor([1.0, 0.0, -float(np.log(sizes.slate_size))]))
        else:
            self.advantage = layers(size, config.hidden, config.embedding)
            self.choice_query = layers(size, config.hidden, config.embedding)

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values and masses [B, N] of all items, or [B, k] of some ``items`` int64 [B, k]; null value and mass [B]."""
        inputs = self.features(obs, items)
        columns, likeness = inputs.items, inputs.likeness
        base = self.base(inputs.rich)
        advantage = self.advantage(inputs.state)
        if likeness is None:
            choice = self.choice_query(inputs.state)
            if items is None:
                values, logits = advantage @ columns.T, choice @ columns.T
            else:
                values = torch.bmm(columns, advantage.unsqueeze(2)).squeeze(2)
                logits = torch.bmm(columns, choice.unsqueeze(2)).squeeze(2)
            masses = positive_mass(logits)
        else:
            values = advantage[:, :1] - torch.exp(advantage[:, 1:]) * self.boredom(likeness)
            logits = self.choice[0] * columns + self.choice[1] * likeness + self.choice[2]
            masses = torch.exp(logits.clamp(-12.0, 12.0))
        null_mass = positive_mass(base[:, 2])
        return self.value_scale * (base[:, :1] + values), masses, self.value_scale * base[:, :2].sum(1), null_mass


def positive_mass(x: Tensor) -> Tensor:
    """Softplus, 1 at 0 and never 0: masses may vanish without their logarithm running away."""
    return nn.functional.softplus(x + 0.5413) + 1e-4
