"""The network of top-K REINFORCE: a policy over items, the behaviour that filled the log, and a baseline."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.actor_critic import ActorCritic
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers, product


class ReinforceNetwork(ActorCritic):
    """π(a|s) and V(s) of an `ActorCritic`, and β(a|s) from the same state, whose gradient stops there.

    Chen et al. 2019, section 4.3: the behaviour's head shares the state but must not move it.
    """

    def __init__(self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray) -> None:
        super().__init__(config, sizes, item_features)
        self.behaviour = layers(self.features.size, config.hidden, config.embedding, last_gain=0.01)
        self.behaviour_items = nn.Parameter(0.1 * torch.randn(len(item_features), config.embedding))
        self.behaviour_bias = nn.Parameter(torch.zeros(len(item_features)))

    def with_behaviour(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of π and of β [B, N], or [B, M] of only some ``items`` int64 [B, M]; and V(s) [B]."""
        inputs = self.features(obs, items)
        logits, values = self.answer(inputs, items)
        query = self.behaviour(inputs.state.detach())
        if items is None:
            return logits, product(self.behaviour_items, query) + self.behaviour_bias, values
        return logits, product(self.behaviour_items[items], query) + self.behaviour_bias[items], values
