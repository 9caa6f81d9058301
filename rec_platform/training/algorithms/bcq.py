"""Discrete batch-constrained Q-learning (Fujimoto et al. 2019) on SlateQ's decomposition.

Beside values and choice model a behaviour model π_b(i|s) is fitted to the logged slates by maximum likelihood
(Plackett–Luce). Only items with π_b(i|s) / max_j π_b(j|s) > τ may enter a slate, in the targets and when the policy is
served: the paper's rule, equation 9, an item at a time. Exploration by ε-greedy takes uniformly random slates all the
same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.constrained import ConstrainedSlateValue, supported
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, slate_log_prob
from rec_platform.policies.networks.slate_value import slate_value
from rec_platform.training.algorithms.slateq import ACTIONS, SLATEQ, SlateQLearner, SlateQModule
from rec_platform.training.engine.columns import Candidates, Rows, following
from rec_platform.training.engine.offline import Offline, no_trajectories
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.settings.offline import BCQSettings
from rec_platform.types import Float32


class BCQModule(SlateQModule):
    """SlateQ's over the whole catalogue, and the behaviour model's logits."""

    network: ConstrainedSlateValue
    settings: BCQSettings  # type: ignore[assignment]

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        shown, network = batch[ACTIONS], self.network
        inputs = network.features(batch)
        values, masses, null_value, null_mass, _ = network.parts(inputs, None)
        available = Candidates.of(batch, self.num_items).available
        return {
            "values": torch.cat([values.gather(1, shown), null_value.unsqueeze(1)], dim=1),
            "masses": torch.cat([masses.gather(1, shown), null_mass.unsqueeze(1)], dim=1),
            "behaviour": torch.where(available, network.behaviour_logits(inputs), UNAVAILABLE),
            "next_value": self.next_value(batch, shown.shape[1]),
        }

    @torch.no_grad()
    def next_value(self, batch: Rows, slate_size: int) -> Tensor:
        """The slow copy's value [B] of its best slate of supported items, at the observation after."""
        settings, after = self.settings, following(batch)
        inputs = self.target.features(after)
        values, masses, null_value, null_mass, _ = self.target.parts(inputs, None)
        available = Candidates.of(after, self.num_items).available
        allowed = supported(self.target.behaviour_logits(inputs), available, settings.threshold, slate_size)
        return slate_value(
            values,
            masses * allowed,
            null_value,
            null_mass,
            slate_size=slate_size,
            method=settings.target,
            rounds=settings.dinkelbach_rounds,
        )


class BCQLearner(SlateQLearner):
    """SlateQ's loss and the behaviour model's likelihood."""

    settings: BCQSettings  # type: ignore[assignment]

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = super().loss(batch, out)
        behaviour_loss = -slate_log_prob(out["behaviour"], batch[ACTIONS]).sum(1).mean()
        return loss + self.settings.behaviour_weight * behaviour_loss, figures | {"behaviour_loss": behaviour_loss}


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: Any) -> ConstrainedSlateValue:
    return ConstrainedSlateValue(config, sizes, items, value_scale=settings.value_scale, threshold=settings.threshold)


BCQ = Recipe(
    loop=Offline,
    learner=BCQLearner,
    module=BCQModule,
    network=_network,
    rows=no_trajectories,
    samplers=SLATEQ.samplers,
)
