"""How an actor-critic acts: slates drawn slot by slot from a softmax, and V(s) beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns as RLlibColumns
from torch import Tensor

from rec_platform.policies.networks.actor_critic import ActorCritic
from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, slate_log_prob
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import Greedy, PlackettLuce
from rec_platform.policies.samplers.plackett_luce import sample_plackett_luce
from rec_platform.training.engine.columns import Candidates, Columns, Rows, to_tensors
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.types import Float32, Observation

ACTIONS, LOG_PROB, VALUES = RLlibColumns.ACTIONS, RLlibColumns.ACTION_LOGP, RLlibColumns.VF_PREDS


def actor_critic(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: Any) -> ActorCritic:
    """The network of the family."""
    return ActorCritic(config, sizes, items)


def actor_critic_samplers(settings: Any, exploration: float) -> tuple[Sampler, Sampler]:
    """Greedy, and Plackett–Luce at temperature ``exploration``."""
    return Greedy(), PlackettLuce(exploration) if exploration else Greedy()


class ActorCriticModule(RecommenderModule):
    """Plackett–Luce slates and V(s)."""

    network: ActorCritic

    @torch.no_grad()
    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        logits, values = self.logits_and_values(to_tensors(observation))
        positions = sample_plackett_luce(logits.numpy(), observation.available, k, rng)
        log_prob = slate_log_prob(logits, torch.from_numpy(positions).long())
        return {ACTIONS: positions, LOG_PROB: log_prob.numpy(), VALUES: values.numpy()}

    @torch.no_grad()
    def values(self, observation: Observation) -> Float32:
        """V(s) float32 [B]."""
        values: Float32 = self.network.value(to_tensors(observation)).numpy()
        return values

    def logits_and_values(self, batch: Rows) -> tuple[Tensor, Tensor]:
        """Logits [B, M] of the candidates, `UNAVAILABLE` where there is none, and V(s) [B]."""
        candidates = Candidates.of(batch, self.num_items)
        logits, values = self.network(batch, candidates.asked)
        return candidates.pick(logits, UNAVAILABLE), values

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        logits, values = self.logits_and_values(batch)
        return {"logits": logits, "values": values}
