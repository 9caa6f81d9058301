"""Networks of the reinforcement learners: what scores a slate's candidates, and what values a state.

Every network answers for all N items ([B, N], one matrix product), from which a request's candidates are gathered; the
cost of the learned part grows with the width of the state, not with the catalogue.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import DotNetwork, ItemVectors, StateEncoder, layers


class Features(nn.Module):
    """The shared inputs of actor, critic and value networks.

    ``dot``: user features, context and encoded history. ``trade_off``: context, the mean content of what was consumed
    last and the share of positive responses, and beside it two frozen columns an item: relevance and likeness.
    """

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
        else:
            self.vectors = ItemVectors(item_features, config.embedding, item_ids=config.item_ids)
            self.state = StateEncoder(config, sizes)
            self.size = self.state.size

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """State [B, S]; then item vectors [N, d] and None, or relevance [B, N] and likeness [B, N]."""
        if not self.trade_off:
            vectors = self.vectors()
            return self.state(obs, vectors), vectors, None
        with torch.no_grad():
            items, feedback = obs["history"][:, -self.window :].long(), obs["history_feedback"][:, -self.window :]
            consumed = ((feedback > 0) & (items >= 0)).float()
            recent = torch.bmm(consumed.unsqueeze(1), self.unit[items.clamp(min=0)]).squeeze(1)
            recent = recent / consumed.sum(1, keepdim=True).clamp(min=1.0)
            relevance = self.relevance(obs | {"context": obs["context"][:, :0]})
            share = consumed.mean(1, keepdim=True)
            return torch.cat([obs["context"], recent, share], dim=1), relevance, recent @ self.unit.T


class ActorCritic(nn.Module):
    """Logits of a Plackett–Luce slate, and V(s)."""

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__()
        self.features = Features(config, sizes, item_features)
        size = self.features.size
        if self.features.trade_off:
            self.actor = layers(size, config.hidden, 2, last_gain=0.01)
            self.log_scale = nn.Parameter(torch.tensor(float(np.log(config.inverse_temperature))))
            self.log_diversity = nn.Parameter(torch.tensor(float(np.log(config.diversity))))
        else:
            self.actor = layers(size, config.hidden, config.embedding, last_gain=0.01)
            self.bias = nn.Parameter(torch.zeros(len(item_features)))
        self.critic = layers(size, config.hidden, 1)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits [B, N] and V(s) [B]."""
        state, items, likeness = self.features(obs)
        out = self.actor(state)
        if likeness is None:
            logits = torch.addmm(self.bias, out, items.T)
        else:
            diversity = torch.exp(self.log_diversity + 4.0 * out[:, :1])
            logits = torch.exp(self.log_scale + out[:, 1:]) * (items - diversity * likeness)
        return logits, self.critic(state).squeeze(-1)

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """V(s) [B]."""
        return self.critic(self.features(obs)[0]).squeeze(-1)


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
        self.base = layers(size, config.hidden, 3)  # V(s), the null item's advantage, and its choice
        if self.features.trade_off:
            self.advantage = layers(size, config.hidden, 3, last_gain=0.01)
            self.choice = nn.Parameter(torch.tensor([1.0, 0.0, -float(np.log(sizes.slate_size))]))
        else:
            self.advantage = layers(size, config.hidden, config.embedding)
            self.choice_query = layers(size, config.hidden, config.embedding)

    def forward(self, obs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values [B, N], masses [B, N], null value [B], null mass [B]."""
        state, items, likeness = self.features(obs)
        base = self.base(state)
        advantage = self.advantage(state)
        if likeness is None:
            values = advantage @ items.T
            masses = positive_mass(self.choice_query(state) @ items.T)
        else:
            values = advantage[:, :1] + advantage[:, 1:2] * items + 4.0 * advantage[:, 2:] * likeness
            logits = self.choice[0] * items + self.choice[1] * likeness + self.choice[2]
            masses = torch.exp(logits.clamp(-12.0, 12.0))
        null_mass = positive_mass(base[:, 2])
        return self.value_scale * (base[:, :1] + values), masses, self.value_scale * base[:, :2].sum(1), null_mass


def positive_mass(x: Tensor) -> Tensor:
    """Softplus, 1 at 0 and never 0: masses may vanish without their logarithm running away."""
    return nn.functional.softplus(x + 0.5413) + 1e-4
