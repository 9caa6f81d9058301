"""SlateQ's network: item-wise values, choosing nothing among them, and a choice model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.choice_head import ChoiceHead, positive_mass
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.dot import layers, product
from rec_platform.policies.networks.features import Boredom, Features, Inputs


class SlateValue(CandidateNetwork):
    """SlateQ: Q̄(s, i) of every item and of choosing nothing, and the masses of a choice model.

    Q̄ = scale · (V(s) + A(s, ·)), dueling over the items and the null item. Masses are softplus, so that a
    proportional and a logit choice can both be learned (`choice_head`).
    """

    outputs = ("values", "masses", "null_value", "null_mass")

    def __init__(
        self, config: NetworkConfig, sizes: StateSizes, item_features: np.ndarray, *, value_scale: float
    ) -> None:
        super().__init__()
        self.features = Features(config, sizes, item_features)
        self.value_scale = value_scale
        size = self.features.size
        self.base = layers(self.features.rich_size, config.hidden, 3)  # V(s), the null item's advantage, and its mass
        if self.features.trade_off:
            # What an item is worth once it is consumed: its relevance has then done its work, in the choice, and
            # likeness to what went before can only cost. Nor does likeness attract beside the relevance, of which it
            # is a part: a weight of its own only learned what is peculiar to the training simulator.
            self.boredom = Boredom(config.diversity / value_scale)
            self.advantage = layers(size, config.hidden, 2, last_gain=0.01)
            self.choice = nn.Parameter(torch.tensor([1.0, -float(np.log(sizes.slate_size))]))
        else:
            self.advantage = layers(size, config.hidden, config.embedding)
            self.choice_head = ChoiceHead(size, config, item_features)

    def forward(self, obs: dict[str, Tensor], items: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values and masses [B, N] of all items, or [B, k] of some ``items`` int64 [B, k]; null value and mass [B]."""
        return self.parts(self.features(obs, items), items)[:4]

    def parts(self, inputs: Inputs, items: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The same of some inputs; and scale · V(s) [B], the dueling base by itself."""
        columns, likeness = inputs.items, inputs.likeness
        base = self.base(inputs.rich)
        advantage = self.advantage(inputs.state)
        if likeness is None:
            values = product(columns, advantage)
            masses, null_mass = self.choice_head(inputs.state, items)
        else:
            values = advantage[:, :1] - torch.exp(advantage[:, 1:]) * self.boredom(likeness)
            logits = self.choice[0] * columns + self.choice[1]
            masses, null_mass = torch.exp(logits.clamp(-12.0, 12.0)), positive_mass(base[:, 2])
        null_value = self.value_scale * base[:, :2].sum(1)
        return self.value_scale * (base[:, :1] + values), masses, null_value, null_mass, self.value_scale * base[:, 0]

    def state_value(self, obs: dict[str, Tensor]) -> Tensor:
        """Scale · V(s) [B]."""
        none = torch.zeros(len(obs["context"]), 0, dtype=torch.long, device=obs["context"].device)
        return self.value_scale * self.base(self.features(obs, none).rich)[:, 0]

    def choice_parameters(self) -> list[nn.Parameter]:
        """Those that only the choice model has; none with the head ``trade_off``."""
        return [] if self.features.trade_off else list(self.choice_head.parameters())

    def scores(
        self, obs: dict[str, Tensor], items: Tensor | None = None, available: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return self(obs, items)
