"""Deep Q-learning (Mnih et al. 2015) over slates, on columns.

The value of a slate is shared out among its items (value decomposition, Sunehag et al. 2018), so that the best slate
of all is the k items of the largest values, in one sort:

    Q(s, A) = (1/k) Σ_{i∈A} Q(s, i)

With k = 1 this is plain DQN. The target is n-step, R + γⁿ Q⁻(s', A'), where Q⁻ is the slow copy and A' the best slate
of the network itself (double) or of the slow copy.
"""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.core.columns import Columns as RLlibColumns
from torch import Tensor

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.item_value import ItemValue
from rec_platform.policies.policy import Sampler
from rec_platform.policies.samplers import EpsilonGreedy, Greedy
from rec_platform.training.algorithms.slateq import weighted_mean
from rec_platform.training.engine.columns import Candidates, Columns, Rows, candidate_scores, following, shown_items
from rec_platform.training.engine.learner import ERRORS, ColumnarLearner
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.training.engine.off_policy import OffPolicy
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN, NStepRows
from rec_platform.training.settings.base import OffPolicySettings
from rec_platform.training.settings.value_based import DQNSettings
from rec_platform.types import Float32, Observation

ACTIONS = RLlibColumns.ACTIONS


class DQNModule(RecommenderModule):
    """Values of items, and a slow copy of them for targets."""

    network: ItemValue
    settings: DQNSettings

    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        scores = candidate_scores(self.network, observation, self.num_items)
        return {ACTIONS: EpsilonGreedy(explore).sample(scores, observation, k, rng)}

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        values = self.network(batch, shown_items(batch, batch[ACTIONS]))
        return {"values": values.mean(1), "next_value": self.next_value(batch, batch[ACTIONS].shape[1])}

    @torch.no_grad()
    def next_value(self, batch: Rows, slate_size: int) -> Tensor:
        """The slow copy's value [B] of the best slate at the observation after."""
        after = following(batch)
        candidates = Candidates.of(after, self.num_items)
        (values,) = candidates.scores(self.target, after)
        (ranking,) = candidates.scores(self.network, after) if self.settings.double else (values,)
        return best_slate_value(values, ranking, candidates.available, slate_size)


def best_slate_value(values: Tensor, ranking: Tensor, eligible: Tensor, slate_size: int) -> Tensor:
    """Mean value [B] of the ``slate_size`` eligible candidates that rank highest, or of all where there are fewer.

    Args:
        values, ranking: [B, M].
        eligible: bool [B, M].
    """
    ranking = torch.where(eligible, ranking, -torch.inf)
    positions = ranking.topk(slate_size, dim=1).indices
    there = eligible.gather(1, positions)
    return (values.gather(1, positions) * there).sum(1) / there.sum(1).clamp(min=1)


class DQNLearner(ColumnarLearner):
    """Temporal differences of slates."""

    settings: DQNSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        target = batch[RETURN] + batch[DISCOUNT] * out["next_value"]
        error = (out["values"] - target) / self.settings.value_scale
        if self.settings.huber:
            losses = torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")
        else:
            losses = 0.5 * error.pow(2)
        td_loss = weighted_mean(losses, batch)
        figures = {"td_loss": td_loss, "q_mean": out["values"].mean()}
        if WEIGHTS in batch:
            figures[ERRORS] = error
        return td_loss, figures


def n_step_rows(settings: OffPolicySettings) -> NStepRows:
    """Rows of learners that need nothing but the slate that was shown."""
    return NStepRows(settings.n_step, settings.gamma)


def greedy_samplers(settings: OffPolicySettings, exploration: float) -> tuple[Sampler, Sampler]:
    """Greedy, and with a share ``exploration`` of uniformly random slates."""
    return Greedy(), EpsilonGreedy(exploration) if exploration else Greedy()


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: DQNSettings) -> ItemValue:
    return ItemValue(config, sizes, items, value_scale=settings.value_scale, dueling=settings.dueling)


DQN = Recipe(
    loop=OffPolicy,
    learner=DQNLearner,
    module=DQNModule,
    network=_network,
    rows=n_step_rows,
    samplers=greedy_samplers,
)
