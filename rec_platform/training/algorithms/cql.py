"""Conservative Q-learning (Kumar et al. 2020) on SlateQ's decomposition.

The penalty is CQL(H), equation 4, of item-wise values in units of ``value_scale``:

    α · E[ log Σ_{i available} exp Q̄(s, i) - (1/k) Σ_{i∈A} Q̄(s, i) ]

With one item a slate it is the paper's. With k it is that of drawing one slot of the logged slate at random: items
that the log shows less often than a softmax of their values would are pushed down, the others up. Values that only
shift all items of a state alike cost nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rec_platform.policies.networks.plackett_luce import UNAVAILABLE
from rec_platform.training.algorithms.slateq import ACTIONS, SLATEQ, SlateQLearner, SlateQModule
from rec_platform.training.engine.columns import Candidates, Rows
from rec_platform.training.engine.offline import Offline, no_trajectories
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.settings.offline import CQLSettings


class CQLModule(SlateQModule):
    """SlateQ's, which also looks at the items that were not shown."""

    settings: CQLSettings  # type: ignore[assignment]

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        if not self.settings.alpha:
            return super().train_on(batch)
        shown = batch[ACTIONS]
        candidates = Candidates.of(batch, self.num_items)
        values, masses, null_value, null_mass = candidates.scores(self.network, batch)
        return {
            "values": torch.cat([values.gather(1, shown), null_value.unsqueeze(1)], dim=1),
            "masses": torch.cat([masses.gather(1, shown), null_mass.unsqueeze(1)], dim=1),
            "all_values": torch.where(candidates.available, values, UNAVAILABLE),
            "next_value": self.next_value(batch, shown.shape[1]),
        }


class CQLLearner(SlateQLearner):
    """SlateQ's loss and the conservative penalty."""

    settings: CQLSettings  # type: ignore[assignment]

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = super().loss(batch, out)
        if not self.settings.alpha:
            return loss, figures
        penalty = conservatism(out["all_values"], out["values"][:, :-1], self.settings.value_scale).mean()
        return loss + self.settings.alpha * penalty, figures | {"penalty": penalty}


def conservatism(all_values: Tensor, shown_values: Tensor, scale: float) -> Tensor:
    """The soft maximum of all items' values above the mean of those shown, [B], in units of ``scale``.

    Args:
        all_values: [B, M], `UNAVAILABLE` where there is no candidate.
        shown_values: [B, k].
    """
    return torch.logsumexp(all_values / scale, dim=1) - shown_values.mean(1) / scale


CQL = Recipe(
    loop=Offline,
    learner=CQLLearner,
    module=CQLModule,
    network=SLATEQ.network,
    rows=no_trajectories,
    samplers=SLATEQ.samplers,
)
