"""LIRD (Zhao et al. 2017): a list-wise actor that names one point for each slot, learned as DDPG learns.

Slot j shows the item not yet taken of the largest w_j(s) · e_i. The critic values the vectors of the whole slate:

    y = R + γⁿ Q⁻(s', e_{A'}),  A' the slate of the slow actor         loss of the actor  −Q(s, w_1(s) … w_k(s))

As in DDPG (Lillicrap et al. 2016) the actor climbs the critic at its own points, not at the items that are shown for
them: the choice of an item has no gradient, and the points take the slate's place as its soft version. They have the
length of item vectors, so that the critic is asked about points of a kind that it was trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns as RLlibColumns
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.item_lists import ItemLists
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import EpsilonGreedy
from rec_platform.training.algorithms.dqn import greedy_samplers, n_step_rows
from rec_platform.training.algorithms.proto_action import frozen
from rec_platform.training.algorithms.slateq import weighted_mean
from rec_platform.training.engine.columns import Candidates, Columns, Rows, following, shown_items, to_tensors
from rec_platform.training.engine.learner import ERRORS, ColumnarLearner
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.training.engine.off_policy import OffPolicy
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN
from rec_platform.training.settings.continuous import LIRDSettings
from rec_platform.types import Float32, Observation

ACTIONS = RLlibColumns.ACTIONS


class LIRDModule(RecommenderModule):
    """An actor of slates, their critic, and slow copies of both."""

    network: ItemLists
    target: ItemLists
    settings: LIRDSettings

    @torch.no_grad()
    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        batch = to_tensors(observation)
        candidates = Candidates.of(batch, self.num_items)
        state, network = self.network.state(batch), self.network
        draw = rng.standard_normal((len(state), network.slate_size, network.space.width), dtype=np.float32)
        protos = network.protos(state, self.settings.spread * torch.from_numpy(draw))
        scores = Scores(network.ranking(protos, candidates.items, candidates.available).numpy())
        return {ACTIONS: EpsilonGreedy(explore).sample(scores, observation, k, rng)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        others = [*self.network.features.parameters(), *self.network.critic.parameters()]
        return [
            {"params": [p for p in others if p.requires_grad], "rate": 1.0},
            {"params": list(self.network.actor.parameters()), "rate": self.settings.actor_rate},
        ]

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        network = self.network
        state = network.state(batch)
        shown = network.space.vectors[shown_items(batch, batch[ACTIONS])]
        protos = network.protos(state.detach())
        return {
            "values": network.critic(state, shown),
            "next_value": self.next_value(batch),
            "proto_value": frozen(network.critic, state.detach(), protos),
        }

    @torch.no_grad()
    def next_value(self, batch: Rows) -> Tensor:
        """The slow critic's value [B] of the slow actor's slate at the observation after."""
        after = following(batch)
        candidates = Candidates.of(after, self.num_items)
        state = self.target.state(after)
        slate = self.target.slate(self.target.protos(state), candidates.items, candidates.available)
        value: Tensor = self.target.critic(state, slate)
        return value


class LIRDLearner(ColumnarLearner):
    """The critic's temporal differences, and the actor's ascent."""

    settings: LIRDSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        target = batch[RETURN] + batch[DISCOUNT] * out["next_value"]
        error = (out["values"] - target) / self.settings.value_scale
        td_loss = weighted_mean(0.5 * error.pow(2), batch)
        actor_loss = -out["proto_value"].mean() / self.settings.value_scale
        figures = {"td_loss": td_loss, "actor_loss": actor_loss, "q_mean": out["values"].mean()}
        if WEIGHTS in batch:
            figures[ERRORS] = error
        return td_loss + actor_loss, figures


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: LIRDSettings) -> ItemLists:
    return ItemLists(config, sizes, items, value_scale=settings.value_scale)


LIRD = Recipe(
    loop=OffPolicy,
    learner=LIRDLearner,
    module=LIRDModule,
    network=_network,
    rows=n_step_rows,
    samplers=greedy_samplers,
)
