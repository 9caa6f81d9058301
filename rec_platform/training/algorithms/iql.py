"""Implicit Q-learning (Kostrikov et al. 2021) on SlateQ's decomposition.

    L_V = E[ |τ - 1(u < 0)| u² ],  u = Q'(s, A) - V(s)          (equation 5)
    L_Q = E[ (Q̄(s, c) - r - γ V(s'))² ]                         (equation 6, of the item c consumed, or of nothing)

A is the slate that was logged, Q'(s, A) its value by the slow copy under the learned choice model. No target asks for
a slate that is not in the log. V(s) is the dueling base of the value network, so that the network, and the way it is
served, are SlateQ's: the policy is the ratio-optimal slate of Q̄, whose items were all seen in some slate, in the place
of the paper's advantage-weighted actor, which could only weigh whole slates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rec_platform.policies.networks.slate_value import value_of
from rec_platform.training.algorithms.slateq import ACTIONS, SLATEQ, SlateQLearner, SlateQModule
from rec_platform.training.engine.columns import Rows, following, shown_items
from rec_platform.training.engine.offline import Offline, no_trajectories
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.settings.offline import IQLSettings


class IQLModule(SlateQModule):
    """Of the logged slate only, now and after: no other item is looked at."""

    settings: IQLSettings  # type: ignore[assignment]

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        items = shown_items(batch, batch[ACTIONS])
        network = self.network
        values, masses, null_value, null_mass, state_value = network.parts(network.features(batch, items), items)
        with torch.no_grad():
            slots = torch.arange(items.shape[1], device=items.device).expand_as(items)
            slow_values, slow_masses, slow_null_value, slow_null_mass = self.target(batch, items)
            slate_value = value_of(slow_values, slow_masses, slow_null_value, slow_null_mass, slots)
            next_value = network.state_value(following(batch))
        return {
            "values": torch.cat([values, null_value.unsqueeze(1)], dim=1),
            "masses": torch.cat([masses, null_mass.unsqueeze(1)], dim=1),
            "state_value": state_value,
            "slate_value": slate_value,
            "next_value": next_value,
        }


class IQLLearner(SlateQLearner):
    """SlateQ's loss, bootstrapped by V, and V's expectile loss."""

    settings: IQLSettings  # type: ignore[assignment]

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss, figures = super().loss(batch, out)
        error = (out["slate_value"] - out["state_value"]) / self.settings.value_scale
        value_loss = expectile_loss(error, self.settings.expectile).mean()
        return loss + value_loss, figures | {"value_loss": value_loss, "v_mean": out["state_value"].mean()}


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """|τ - 1(u < 0)| u² of errors u: least where what is subtracted is their τ-expectile (Newey and Powell 1987)."""
    return torch.where(error < 0, 1.0 - expectile, expectile) * error.pow(2)


IQL = Recipe(
    loop=Offline,
    learner=IQLLearner,
    module=IQLModule,
    network=SLATEQ.network,
    rows=no_trajectories,
    samplers=SLATEQ.samplers,
)
