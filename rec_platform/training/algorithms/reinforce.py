"""Top-K off-policy REINFORCE (Chen et al. 2019, "Top-K Off-Policy Correction for a REINFORCE Recommender System").

    ∇ = Σ_t ω_t λ_K(s_t, a_t) R_t ∇log π(a_t|s_t),   ω = min(π/β, c),   λ_K = K (1 - π)^(K-1)

π and β are softmaxes over single items; a slate is K of π's items. π learns from items that were consumed, β by maximum
likelihood from all that was shown. R is the return to the end of the session, here by default less a learned V(s).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, first_slot_entropy
from rec_platform.policies.networks.reinforce import ReinforceNetwork
from rec_platform.policies.samplers.plackett_luce import sample_plackett_luce
from rec_platform.training.algorithms.actor_critic import ACTIONS, actor_critic_samplers
from rec_platform.training.engine.columns import Candidates, Columns, Rows, candidate_scores
from rec_platform.training.engine.learner import ERRORS, ColumnarLearner
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.training.engine.off_policy import OffPolicy
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.lanes import RETURN_TO_GO, ReturnRows
from rec_platform.training.returns.n_step import CHOSEN
from rec_platform.training.settings.on_policy import ReinforceSettings
from rec_platform.types import Float32, Observation


class ReinforceModule(RecommenderModule):
    """Draws slates from π; some of them, early on, uniformly (``explore`` is their share)."""

    network: ReinforceNetwork

    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        logits = candidate_scores(self.network, observation, self.num_items).values
        flat = rng.random(len(logits)) < explore
        logits = np.where(flat[:, None], np.float32(0.0), logits)
        return {ACTIONS: sample_plackett_luce(logits, observation.available, k, rng)}

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        """Logits of π and β [B, M], `UNAVAILABLE` where there is no candidate, and V(s) [B]."""
        candidates = Candidates.of(batch, self.num_items)
        policy, behaviour, values = self.network.with_behaviour(batch, candidates.asked)
        return {
            "logits": candidates.pick(policy, UNAVAILABLE),
            "behaviour": candidates.pick(behaviour, UNAVAILABLE),
            "values": values,
        }


class ReinforceLearner(ColumnarLearner):
    """The corrected policy gradient, the behaviour's likelihood, and the baseline's squared error."""

    settings: ReinforceSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        settings, shown, chosen = self.settings, batch[ACTIONS], batch[CHOSEN]
        log_policy = torch.log_softmax(out["logits"], dim=1).gather(1, shown)
        log_behaviour = torch.log_softmax(out["behaviour"], dim=1).gather(1, shown)
        slot = chosen.clamp(min=0).unsqueeze(1)
        log_pi = log_policy.gather(1, slot).squeeze(1)
        with torch.no_grad():
            pi = log_pi.exp()
            ratio = torch.exp(log_pi - log_behaviour.gather(1, slot).squeeze(1)).clamp(max=settings.ratio_cap)
            correction = top_k_correction(pi, shown.shape[1]) if settings.top_k else torch.ones_like(pi)
            gain = batch[RETURN_TO_GO] - (out["values"] if settings.baseline else 0.0)
            weight = torch.where(chosen >= 0, ratio * correction * gain / settings.value_scale, 0.0)
        policy_loss = -(weight * log_pi).mean()
        behaviour_loss = -log_behaviour.mean()
        error = (out["values"] - batch[RETURN_TO_GO]) / settings.value_scale
        entropy = first_slot_entropy(out["logits"]).mean()
        loss = policy_loss + settings.behaviour_weight * behaviour_loss
        loss = loss - settings.entropy_at(self.progress) * entropy
        if settings.baseline:
            loss = loss + settings.value_weight * error.pow(2).mean()
        figures: dict[str, Any] = {
            "policy_loss": policy_loss,
            "behaviour_loss": behaviour_loss,
            "value_loss": error.pow(2).mean(),
            "entropy": entropy,
            "ratio": ratio.mean(),
        }
        if WEIGHTS in batch:
            figures[ERRORS] = error
        return loss, figures


def top_k_correction(probability: Tensor, k: int) -> Tensor:
    """λ_K = K (1 - π)^(K-1), the derivative of 1 - (1 - π)^K: how much a slate of K draws gains from one more π."""
    return k * (1.0 - probability).clamp(min=0.0).pow(k - 1)


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: Any) -> ReinforceNetwork:
    return ReinforceNetwork(config, sizes, items)


REINFORCE = Recipe(
    loop=OffPolicy,
    learner=ReinforceLearner,
    module=ReinforceModule,
    network=_network,
    rows=lambda settings: ReturnRows(settings.gamma),
    samplers=actor_critic_samplers,
)
