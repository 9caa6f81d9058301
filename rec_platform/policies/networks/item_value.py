"""The network of deep Q-learning: what each item is worth in a state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers, product
from rec_platform.policies.networks.features import Boredom, Features


class ItemValue(CandidateNetwork):
    """Q(s, i) = scale · (V(s) + A(s, i)).

    Head ``dot``: A = a(s) · e_i. ``dueling`` takes from it its mean over the catalogue (Wang et al. 2016, equation 9),
    which is a(s) · ē and costs no more than one more item; the mean is not that of the candidates, so that the value
    of an item does not depend on what else is on offer. Head ``trade_off``: A = w₁(s) · relevance − w₂(s) · boredom,
    which leaves V(s) no rival, so that ``dueling`` changes nothing.

    Args:
        value_scale: typical size of a session's return.
    """

    def __init__(
        self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray, *, value_scale: float, dueling: bool
    ) -> None:
        super().__init__()
        self.features = Features(config, sizes, item_features)
        self.value_scale, self.dueling = value_scale, dueling
        self.base = layers(self.features.rich_size, config.hidden, 1)
        if self.features.trade_off:
            # At the start one unit of log-odds is worth one unit of reward, and likeness costs `diversity` of them.
            self.log_relevance = nn.Parameter(torch.tensor(-float(np.log(value_scale))))
            self.boredom = Boredom(config.diversity / value_scale)
        outputs = 2 if self.features.trade_off else config.embedding
        self.advantage = layers(self.features.size, config.hidden, outputs, last_gain=0.01 if outputs == 2 else 1.0)

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> Tensor:
        """Values [B, N] of all items, or [B, M] of only some ``items`` int64 [B, M]."""
        inputs = self.features(obs, items)
        base, advantage = self.base(inputs.rich), self.advantage(inputs.state)
        if inputs.likeness is not None:
            gain = torch.exp(self.log_relevance + advantage[:, :1]) * inputs.items
            return self.value_scale * (base + gain - torch.exp(advantage[:, 1:]) * self.boredom(inputs.likeness))
        if self.dueling:
            base = base - (advantage @ self.features.vectors.mean()).unsqueeze(1)
        return self.value_scale * (base + product(inputs.items, advantage))

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self(obs, items),)
