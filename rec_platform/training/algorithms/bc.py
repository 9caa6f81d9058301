"""Behaviour cloning: the slates of the log by maximum likelihood under Plackett–Luce.

What it gives is the logging policy as far as it can be told from the observation, sharpened by being served greedily.
Every other offline algorithm has to beat it.
"""

from __future__ import annotations

from torch import Tensor

from rec_platform.policies.networks.plackett_luce import slate_log_prob
from rec_platform.training.algorithms.actor_critic import (
    ACTIONS,
    ActorCriticModule,
    actor_critic,
    actor_critic_samplers,
)
from rec_platform.training.engine.columns import Rows
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.engine.offline import Offline, no_trajectories
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.settings.offline import BCSettings


class BCLearner(ColumnarLearner):
    """Minus the log-probability of the logged slate, all slots. The critic is not trained."""

    settings: BCSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        loss = -slate_log_prob(out["logits"], batch[ACTIONS]).sum(1).mean()
        return loss, {"policy_loss": loss}


BC = Recipe(
    loop=Offline,
    learner=BCLearner,
    module=ActorCriticModule,
    network=actor_critic,
    rows=no_trajectories,
    samplers=actor_critic_samplers,
)
