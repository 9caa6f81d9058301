"""PPO over Plackett–Luce slates, on columns.

Ratios and clipping are per slot (Schulman et al. 2017, equation 7, with each slot's conditional probability in the
place of the action's), which keeps a slate's k ratios from multiplying up. Where a user consumes at most one item of a
slate, only the consumed slot is credited; a slate that nobody touched is credited to all its slots alike.
"""

from __future__ import annotations

import numpy as np
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
from rec_platform.training.engine.algorithm import OnPolicy
from rec_platform.training.engine.columns import Columns, Rows
from rec_platform.training.engine.learner import ColumnarLearner
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.returns.gae import ADVANTAGES, CHOSEN, OLD_VALUES, TARGETS, GAERows
from rec_platform.training.settings.on_policy import PPOSettings

ENTROPY_ROWS = 256
"""Rows over which the entropy is reported where it has no weight."""


class PPOLearner(ColumnarLearner):
    """The clipped surrogate of each slot, the critic's squared error, and the entropy of the first slot."""

    settings: PPOSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        settings, logits, values = self.settings, out["logits"], out["values"]
        log_prob = slate_log_prob(logits, batch[ACTIONS])
        ratio = torch.exp((log_prob - batch[LOG_PROB]).clamp(-20.0, 20.0))
        clip = settings.clip_at(self.progress)
        surrogate = clipped_surrogate(ratio, batch[ADVANTAGES].unsqueeze(1), clip)
        policy_loss = -(surrogate * slot_credit(batch[CHOSEN], ratio.shape[1], settings.credit)).sum(1).mean()

        value_loss = squared_error(values, batch[TARGETS], batch[OLD_VALUES], settings) / settings.value_scale**2
        weight = settings.entropy_at(self.progress)
        with torch.set_grad_enabled(weight > 0):
            entropy = first_slot_entropy(logits if weight > 0 else logits[:ENTROPY_ROWS]).mean()
        divergence = (batch[LOG_PROB] - log_prob).sum(1).mean()
        loss = policy_loss + settings.value_weight * value_loss - weight * entropy
        if settings.kl:
            loss = loss + settings.kl * divergence
        with torch.no_grad():
            explained = 1.0 - (batch[TARGETS] - values).var() / batch[TARGETS].var().clamp(min=1e-8)
        return loss, {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "explained_variance": explained,
            "entropy": entropy,
            "divergence": divergence,
        }


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """min(ratio · A, clip(ratio, 1 - clip, 1 + clip) · A), of the shape of ``ratio``."""
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def squared_error(values: Tensor, targets: Tensor, old: Tensor, settings: PPOSettings) -> Tensor:
    """Mean squared error of V(s); with ``value_clip`` the larger of it and that of V(s) held near the old one."""
    error = (values - targets).pow(2)
    if settings.value_clip:
        reach = settings.value_clip * settings.value_scale
        error = torch.maximum(error, (old + (values - old).clamp(-reach, reach) - targets).pow(2))
    return error.mean()


def slot_credit(chosen: Tensor, slate_size: int, credit: str) -> Tensor:
    """Weights [B, k] of the slots' surrogates: see `settings.on_policy.PPOSettings.credit`."""
    slots = torch.arange(slate_size, device=chosen.device)
    if credit == "slate":
        return torch.ones(len(chosen), slate_size, device=chosen.device)
    credited = chosen.unsqueeze(1) == slots if credit == "consumed" else chosen.unsqueeze(1) >= slots
    return torch.where(chosen.unsqueeze(1) >= 0, credited.float(), 1.0)


def normalised(columns: Columns) -> Columns:
    """Advantages with mean 0 and deviation 1 over an iteration."""
    advantage = columns[ADVANTAGES]
    scaled = (advantage - advantage.mean()) / max(float(advantage.std()), 1e-4)
    return columns | {ADVANTAGES: scaled.astype(np.float32)}


PPO = Recipe(
    loop=OnPolicy,
    learner=PPOLearner,
    module=ActorCriticModule,
    network=actor_critic,
    rows=lambda settings: GAERows(settings.gamma, settings.lam),
    samplers=actor_critic_samplers,
    prepare=normalised,
)
