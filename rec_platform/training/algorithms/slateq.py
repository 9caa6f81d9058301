"""SlateQ (Ie et al. 2019) on columns, with a learned value of choosing nothing and a learned choice model.

    Q(s, A) = [Σ_{i∈A} s_i Q̄(s, i) + s_⊥ Q̄(s, ⊥)] / [Σ_{i∈A} s_i + s_⊥]

The published code gives ⊥ the value 0 and drops its transitions from the loss, although the session goes on after it
with almost the same value; every Q̄ is then a large constant and the optimiser maximises the chance of a click. Here ⊥
is an item like the others. The masses s are fitted to who was chosen from the slates shown, by maximum likelihood.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns as RLlibColumns
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.slate_q import SlateValue
from rec_platform.policies.networks.slate_value import slate_value, value_of
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import EpsilonGreedy, RatioOptimal
from rec_platform.training.engine.columns import (
    NEXT,
    Candidates,
    Columns,
    Rows,
    candidate_scores,
    following,
    shown_items,
)
from rec_platform.training.engine.learner import ERRORS, ColumnarLearner
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.training.engine.off_policy import OffPolicy
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import CHOSEN, DISCOUNT, RETURN, NStepRows
from rec_platform.training.settings.value_based import SlateQSettings
from rec_platform.types import Float32, Observation

ACTIONS = RLlibColumns.ACTIONS

FEW_ITEMS = 16
"""Up to so many items a slot, products with all and picking cost less than gathering vectors and their gradients."""


class SlateQModule(RecommenderModule):
    """Item-wise values, a choice model, and a slow copy of both for targets."""

    network: SlateValue
    settings: SlateQSettings

    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        scores = candidate_scores(self.network, observation, self.num_items)
        sampler = EpsilonGreedy(explore, RatioOptimal(method=self.settings.serving))
        return {ACTIONS: sampler.sample(scores, observation, k, rng)}

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        """Of the slate that was shown only: values and masses [B, k + 1], nothing chosen last."""
        items = shown_items(batch, batch[ACTIONS])
        few = self.num_items <= FEW_ITEMS * items.shape[1] and not self.network.features.trade_off
        values, masses, null_value, null_mass = self.network(batch, None if few else items)
        if few:
            values, masses = values.gather(1, items), masses.gather(1, items)
        return {
            "values": torch.cat([values, null_value.unsqueeze(1)], dim=1),
            "masses": torch.cat([masses, null_mass.unsqueeze(1)], dim=1),
            "next_value": self.next_value(batch, batch[ACTIONS].shape[1]),
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        choice = self.network.choice_parameters()
        ours = {id(parameter) for parameter in choice}
        values = [p for p in self.network.parameters() if p.requires_grad and id(p) not in ours]
        return [{"params": values, "rate": 1.0}, {"params": choice, "rate": self.settings.choice_rate}]

    @torch.no_grad()
    def next_value(self, batch: Rows, slate_size: int) -> Tensor:
        """The slow copy's value [B] of the slate that the settings' ``target`` names, at the observation after."""
        after = following(batch)
        parts = Candidates.of(after, self.num_items).scores(self.target, after)
        values, masses, null_value, null_mass = parts
        if self.settings.target == "sarsa":
            return value_of(values, masses, null_value, null_mass, batch[NEXT + ACTIONS])
        return slate_value(
            values,
            masses,
            null_value,
            null_mass,
            slate_size=slate_size,
            method=self.settings.target,
            rounds=self.settings.dinkelbach_rounds,
        )


class SlateQLearner(ColumnarLearner):
    """Temporal differences of the consumed item (or of nothing), and the likelihood of the choice."""

    settings: SlateQSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        values, masses, chosen = out["values"], out["masses"], batch[CHOSEN]
        outcome = torch.where(chosen >= 0, chosen, values.shape[1] - 1).unsqueeze(1)
        target = batch[RETURN] + batch[DISCOUNT] * out["next_value"]
        error = (values.gather(1, outcome).squeeze(1) - target) / self.settings.value_scale
        likelihood = torch.log(masses).gather(1, outcome).squeeze(1) - torch.log(masses.sum(1))
        td_loss, choice_loss = weighted_mean(error.pow(2), batch), -likelihood.mean()
        figures = {"td_loss": td_loss, "choice_loss": choice_loss, "q_mean": values.mean()}
        if WEIGHTS in batch:
            figures[ERRORS] = error
        return td_loss + self.settings.choice_weight * choice_loss, figures


def weighted_mean(losses: Tensor, batch: Rows) -> Tensor:
    """Mean of [B] losses, weighted as prioritised replay asks for where the rows come from there."""
    return (losses * batch[WEIGHTS]).mean() if WEIGHTS in batch else losses.mean()


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: SlateQSettings) -> SlateValue:
    return SlateValue(config, sizes, items, value_scale=settings.value_scale)


def _rows(settings: SlateQSettings) -> NStepRows:
    return NStepRows(settings.n_step, settings.gamma, next_actions=settings.target == "sarsa")


def _samplers(settings: SlateQSettings, exploration: float) -> tuple[Sampler, Sampler]:
    best = RatioOptimal(method=settings.serving)
    return best, EpsilonGreedy(exploration, best) if exploration else best


SLATEQ = Recipe(
    loop=OffPolicy,
    learner=SlateQLearner,
    module=SlateQModule,
    network=_network,
    rows=_rows,
    samplers=_samplers,
)
