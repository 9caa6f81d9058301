"""Asynchronous PPO over slates: the clipped surrogate of PPO with targets and advantages of V-trace.

Espeholt et al. 2018 (IMPALA, equation 1) corrects the targets for a policy that is some updates old; the surrogate's
ratio is against that same policy, as in RLlib's APPO. A row is a user with all his steps, because V-trace looks along
time; values and ratios are those of the network as it is now.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rec_platform.policies.networks.plackett_luce import first_slot_entropy, slate_log_prob
from rec_platform.training.algorithms.actor_critic import (
    ACTIONS,
    LOG_PROB,
    ActorCriticModule,
    actor_critic,
    actor_critic_samplers,
)
from rec_platform.training.algorithms.ppo import clipped_surrogate, slot_credit
from rec_platform.training.engine.asynchronous import Asynchronous
from rec_platform.training.engine.columns import AVAILABLE, CANDIDATES, FIELDS, Rows
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.returns.lanes import CUT_VALUES, FINISHED, REWARDS, TERMINATED, LaneRows
from rec_platform.training.returns.n_step import CHOSEN
from rec_platform.training.returns.vtrace import vtrace
from rec_platform.training.settings.on_policy import APPOSettings


class APPOModule(ActorCriticModule):
    """Answers for all steps of its rows at once."""

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        """Logits [B, T, M], values [B, T + 1], and the log-probability of each slot [B, T, k]."""
        lanes, steps = batch[REWARDS].shape
        present = [name for name in (*FIELDS, AVAILABLE, CANDIDATES) if name in batch]
        logits, values = self.logits_and_values({name: batch[name].flatten(0, 1) for name in present})
        logits = logits.unflatten(0, (lanes, steps + 1))[:, :-1]
        log_prob = slate_log_prob(logits.flatten(0, 1), batch[ACTIONS].flatten(0, 1))
        return {
            "logits": logits,
            "values": values.unflatten(0, (lanes, steps + 1)),
            "log_prob": log_prob.unflatten(0, (lanes, steps)),
        }


class APPOLearner(ColumnarLearner):
    """Clipped surrogate, V-trace, critic and entropy over minibatches of users."""

    settings: APPOSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        settings, values, log_prob = self.settings, out["values"], out["log_prob"]
        log_ratio = (log_prob - batch[LOG_PROB]).clamp(-20.0, 20.0)
        truncated = batch[FINISHED] & ~batch[TERMINATED]
        next_values = torch.where(truncated, batch[CUT_VALUES], values[:, 1:].detach())
        trace = vtrace(
            log_ratio.detach().sum(-1).T,
            batch[REWARDS].T,
            values[:, :-1].detach().T,
            next_values.T,
            batch[TERMINATED].T,
            batch[FINISHED].T,
            gamma=settings.gamma,
            lam=settings.lam,
            rho_clip=settings.rho_clip,
            c_clip=min(settings.c_clip, settings.rho_clip),
        )
        advantage = trace.advantages.T
        advantage = (advantage - advantage.mean()) / advantage.std().clamp(min=1e-4)
        ratio = torch.exp(log_ratio)
        surrogate = clipped_surrogate(ratio, advantage.unsqueeze(-1), settings.clip_at(self.progress))
        credit = slot_credit(batch[CHOSEN].flatten(), ratio.shape[-1], settings.credit).view_as(ratio)
        policy_loss = -(surrogate * credit).sum(-1).mean()
        targets = trace.targets.T
        value_loss = (values[:, :-1] - targets).pow(2).mean() / settings.value_scale**2
        entropy = first_slot_entropy(out["logits"].flatten(0, 1)).mean()
        loss = policy_loss + settings.value_weight * value_loss - settings.entropy_at(self.progress) * entropy
        with torch.no_grad():
            explained = 1.0 - (targets - values[:, :-1]).var() / targets.var().clamp(min=1e-8)
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "explained_variance": explained,
            "entropy": entropy,
            "divergence": -log_ratio.sum(-1).mean(),
        }


APPO = Recipe(
    loop=Asynchronous,
    learner=APPOLearner,
    module=APPOModule,
    network=actor_critic,
    rows=lambda settings: LaneRows(),
    samplers=actor_critic_samplers,
)
