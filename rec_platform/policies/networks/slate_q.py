"""SlateQ's network: item-wise values, choosing nothing among them, and a choice model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers, product
from rec_platform.policies.networks.features import Boredom, Features


class SlateValue(CandidateNetwork):
    """SlateQ: Q̄(s, i) of every item and of choosing nothing, and the masses of a choice model.

    Q̄ = scale · (V(s) + A(s, ·)), dueling over the items and the null item. Masses are softplus, so that a
    proportional and a logit choice can both be learned.
    """

    outputs = ("values", "masses", "null_value", "null_mass")

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
            values, logits = product(columns, advantage), product(columns, choice)
            masses = positive_mass(logits)
        else:
            values = advantage[:, :1] - torch.exp(advantage[:, 1:]) * self.boredom(likeness)
            logits = self.choice[0] * columns + self.choice[1] * likeness + self.choice[2]
            masses = torch.exp(logits.clamp(-12.0, 12.0))
        null_mass = positive_mass(base[:, 2])
        return self.value_scale * (base[:, :1] + values), masses, self.value_scale * base[:, :2].sum(1), null_mass

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self(obs, items)


def positive_mass(x: Tensor) -> Tensor:
    """Softplus, 1 at 0 and never 0: masses may vanish without their logarithm running away."""
    return nn.functional.softplus(x + 0.5413) + 1e-4
