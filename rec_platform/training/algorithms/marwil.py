"""MARWIL (Wang et al. 2018): imitate what turned out better than expected more than what did not.

    loss = - Σ_t exp(β A_t / c) Σ_j m_j w_j log π(a_j | s_t, a_<j) + value_weight · (V(s_t) - G_t)²
    A_t = G_t - V(s_t),  G_t the return to go,  c² a moving mean of A²

Slot j of a slate counts where the outcome is credited to it (m_j: by default the consumed slot, all slots where nothing
was consumed). With ``propensity_clip`` it is further weighted by w_j = min(clip, u_j / μ_j), μ_j its logged propensity
and u_j that of a uniformly random policy: the log is then imitated as if chance alone had made it, and the preferences
of the logging policy do not come through.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, slate_log_prob
from rec_platform.training.algorithms.actor_critic import (
    ACTIONS,
    ActorCriticModule,
    actor_critic,
    actor_critic_samplers,
)
from rec_platform.training.algorithms.ppo import slot_credit
from rec_platform.training.engine.columns import Rows
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.engine.offline import Offline, no_trajectories
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.returns.logged import LOG_PROPENSITY, TO_GO
from rec_platform.training.returns.n_step import CHOSEN
from rec_platform.training.settings.offline import MARWILSettings


class MARWILLearner(ColumnarLearner):
    """Weighted likelihood and the critic's squared error.

    Attributes:
        norm: c², in units of ``value_scale`` squared.
    """

    settings: MARWILSettings

    def build(self) -> None:
        super().build()
        self.norm = 1.0

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        settings, logits = self.settings, out["logits"]
        error = (batch[TO_GO] - out["values"]) / settings.value_scale
        value_loss = error.pow(2).mean()
        self.norm += settings.norm_rate * (float(value_loss.detach()) - self.norm)
        weight = advantage_weights(error.detach(), self.norm, settings.beta, settings.max_weight)
        log_prob = slate_log_prob(logits, batch[ACTIONS])
        slots = slot_credit(batch[CHOSEN], log_prob.shape[1], settings.credit)
        if settings.propensity_clip:
            available = (logits.detach() > UNAVAILABLE / 2).sum(1)
            slots = slots * uniform_ratio(batch[LOG_PROPENSITY], available, settings.propensity_clip)
        policy_loss = -(weight * (slots * log_prob).sum(1)).mean()
        return policy_loss + settings.value_weight * value_loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "weight": weight.mean(),
        }

    def get_columnar_state(self) -> dict[str, Any]:
        return super().get_columnar_state() | {"advantage_norm": self.norm}

    def set_columnar_state(self, state: dict[str, Any]) -> None:
        super().set_columnar_state(state)
        self.norm = float(state["advantage_norm"])


def advantage_weights(advantage: Tensor, norm: float, beta: float, most: float) -> Tensor:
    """exp(β A / c) [B], at most ``most``; ``norm`` is c²."""
    scaled = beta * advantage / max(norm, 1e-8) ** 0.5
    return torch.exp(scaled.clamp(max=20.0)).clamp(max=most)


def uniform_ratio(log_propensity: Tensor, available: Tensor, clip: float) -> Tensor:
    """How much likelier slots [B, k] are under a uniformly random policy than they were, at most ``clip``; 1 where
    the propensity is not known.

    Args:
        log_propensity: [B, k] of each slot given the earlier ones.
        available: [B] candidates of the first slot.
    """
    left = available.unsqueeze(1) - torch.arange(log_propensity.shape[1], device=available.device)
    ratio = torch.exp((-torch.log(left) - log_propensity).clamp(max=20.0)).clamp(max=clip)
    return torch.nan_to_num(ratio, nan=1.0)


MARWIL = Recipe(
    loop=Offline,
    learner=MARWILLearner,
    module=ActorCriticModule,
    network=actor_critic,
    rows=no_trajectories,
    samplers=actor_critic_samplers,
)
