"""Logits of a slate's candidates and the value of a state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import ItemBias, layers, product
from rec_platform.policies.networks.features import Boredom, Features, Inputs

SHARPNESS = 2.0
"""Logits must be able to grow in the few thousand steps that training has."""


class ActorCritic(CandidateNetwork):
    """Logits of a Plackett–Luce slate, and V(s).

    With the head ``dot`` there is a linear way from the state past the hidden layers: much of what attracts is a plain
    product of a user's and an item's features.
    """

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
            self.straight = nn.Linear(size, config.embedding, bias=False)
            nn.init.zeros_(self.straight.weight)
            self.bias = ItemBias(len(item_features), learned=config.item_ids)
        self.critic = layers(self.features.rich_size, config.hidden, 1)

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits [B, N], or [B, M] of only some ``items`` int64 [B, M]; and V(s) [B]."""
        return self.answer(self.features(obs, items), items)

    def answer(self, inputs: Inputs, items: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same from features that are worked out already."""
        out = self.actor(inputs.state)
        if inputs.likeness is None:
            query = SHARPNESS * (out + self.straight(inputs.state))
            logits = product(inputs.items, query) + self.bias(items)
        else:
            diversity = torch.exp(4.0 * out[:, :1])
            logits = torch.exp(self.log_scale + out[:, 1:]) * (inputs.items - diversity * self.boredom(inputs.likeness))
        return logits, self.critic(inputs.rich).squeeze(-1)

    def value(self, obs: dict[str, Tensor]) -> Tensor:
        """V(s) [B]."""
        none = torch.zeros(len(obs["context"]), 0, dtype=torch.long, device=obs["context"].device)
        return self.critic(self.features(obs, none).rich).squeeze(-1)

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self(obs, items)[:1]
