"""SAC and TD3 over items: the actor names a point, the critic ranks the items nearest to it.

Dulac-Arnold et al. 2015 (Wolpertinger) with slates: of the candidates nearest to the proto-action μ(s) the slate is
the k of the largest Q(s, e_i). The value of a slate is the mean of its items', as in `algorithms.dqn`. A target values
the slate that both stages choose with the slow networks; the actor climbs the critic at the proto-action itself:

    y = R + γⁿ min_c (1/k) Σ_{i∈A'} Q_c⁻(s', e_i)         loss of the actor  −min_c Q_c(s, μ(s))   (TD3: of the first)

SAC (Haarnoja et al. 2018) draws the proto-action and pays for its entropy, TD3 (Fujimoto et al. 2018) adds noise, also
to the target's, and moves the actor less often. SAC's entropies of the steps within an n-step return are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns as RLlibColumns
from torch import Tensor, nn
from torch.func import functional_call

from rec_platform.policies.networks.config import NetworkConfig, StateSizes
from rec_platform.policies.networks.proto_action import ProtoAction
from rec_platform.policies.policy import Scores
from rec_platform.policies.samplers import EpsilonGreedy
from rec_platform.training.algorithms.dqn import best_slate_value, greedy_samplers, n_step_rows
from rec_platform.training.algorithms.slateq import weighted_mean
from rec_platform.training.engine.columns import Candidates, Columns, Rows, following, shown_items, to_tensors
from rec_platform.training.engine.learner import ERRORS, ColumnarLearner
from rec_platform.training.engine.module import RecommenderModule
from rec_platform.training.engine.off_policy import OffPolicy
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.replay.prioritised import WEIGHTS
from rec_platform.training.returns.n_step import DISCOUNT, RETURN
from rec_platform.training.settings.continuous import ProtoActionSettings, SACSettings, TD3Settings
from rec_platform.types import Float32, Observation

ACTIONS = RLlibColumns.ACTIONS
NOISE, LATER_NOISE = "noise", "later_noise"
"""Standard normal draws [B, d] of a minibatch: for the proto-actions of now, and of the observation after."""


class ProtoActionModule(RecommenderModule):
    """What both share: acting, and the parts of the critics' loss."""

    network: ProtoAction
    target: ProtoAction
    settings: Any

    @torch.no_grad()
    def act(self, observation: Observation, k: int, rng: np.random.Generator, explore: float) -> Columns:
        batch = to_tensors(observation)
        candidates = Candidates.of(batch, self.num_items)
        state = self.network.state(batch)
        noise = rng.standard_normal((len(state), self.network.space.width), dtype=np.float32)
        proto = self.explored(state, torch.from_numpy(noise))
        scores = Scores(self.network.ranking(state, proto, candidates.items, candidates.available).numpy())
        return {ACTIONS: EpsilonGreedy(explore).sample(scores, observation, k, rng)}

    def explored(self, state: Tensor, noise: Tensor) -> Tensor:
        """The proto-action [B, d] that is tried out."""
        raise NotImplementedError

    def parameter_groups(self) -> list[dict[str, Any]]:
        actor = list(self.network.actor.parameters())
        others = [*self.network.features.parameters(), *self.network.critics.parameters()]
        return [
            {"params": [p for p in others if p.requires_grad], "rate": 1.0},
            {"params": actor, "rate": self.settings.actor_rate},
        ]

    def slate_values(self, state: Tensor, batch: Rows) -> Tensor:
        """What each critic says of the slates that were shown, [critics, B]."""
        return self.network.values(state, shown_items(batch, batch[ACTIONS])).mean(2)

    @torch.no_grad()
    def later_value(self, batch: Rows, proto: Tensor, state: Tensor) -> Tensor:
        """The lower of the slow critics' values [B] of the slate that the slow copy makes of a proto-action.

        Args:
            proto: [B, d] at the observation after.
            state: [B, S] the slow copy's, of the same.
        """
        candidates = Candidates.of(following(batch), self.num_items)
        values, _, near = self.target.two_stages(state, proto, candidates.items, candidates.available)
        ranking, size = values.mean(0), batch[ACTIONS].shape[1]
        return torch.stack([best_slate_value(v, ranking, near, size) for v in values]).amin(0)

    def proto_values(self, state: Tensor, proto: Tensor) -> Tensor:
        """What each critic says of proto-actions [B, d] themselves, [critics, B]; the critics get no gradient."""
        points = self.network.space.within(proto).unsqueeze(1)
        return torch.stack([frozen(critic, state, points).squeeze(1) for critic in self.network.critics])


def frozen(critic: nn.Module, *arguments: Tensor) -> Tensor:
    """What a critic says, with a gradient for the arguments and none for its own parameters."""
    held = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    answer: Tensor = functional_call(critic, held, arguments)
    return answer


class SACModule(ProtoActionModule):
    """A Gaussian actor."""

    settings: SACSettings

    def explored(self, state: Tensor, noise: Tensor) -> Tensor:
        return self.network.sample(state, noise)[0]

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = super().parameter_groups()
        if self.settings.learn_temperature:
            groups.append({"params": [self.network.log_temperature], "rate": self.settings.temperature_rate})
        return groups

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        state = self.network.state(batch)
        proto, log_prob = self.network.sample(state.detach(), batch[NOISE])
        with torch.no_grad():
            later = self.target.state(following(batch))
            later_proto, later_log_prob = self.target.sample(later, batch[LATER_NOISE])
        return {
            "values": self.slate_values(state, batch),
            "next_value": self.later_value(batch, later_proto, later),
            "next_log_prob": later_log_prob,
            "proto_value": self.proto_values(state.detach(), proto).amin(0),
            "log_prob": log_prob,
            "log_temperature": self.network.log_temperature,
            "width": torch.tensor(float(proto.shape[1])),
        }


class TD3Module(ProtoActionModule):
    """A deterministic actor."""

    settings: TD3Settings

    def explored(self, state: Tensor, noise: Tensor) -> Tensor:
        return (self.network.proto(state) + self.settings.spread * noise).clamp(-1.0, 1.0)

    def train_on(self, batch: Rows) -> dict[str, Tensor]:
        state = self.network.state(batch)
        with torch.no_grad():
            later = self.target.state(following(batch))
            limit = self.settings.target_noise_clip
            noise = (self.settings.target_noise * batch[LATER_NOISE]).clamp(-limit, limit)
            later_proto = (self.target.proto(later) + noise).clamp(-1.0, 1.0)
        proto = self.network.proto(state.detach())
        return {
            "values": self.slate_values(state, batch),
            "next_value": self.later_value(batch, later_proto, later),
            "proto_value": self.proto_values(state.detach(), proto)[0],
        }


class ActorCriticLearner(ColumnarLearner):
    """The critics' temporal differences, and noise that a resumed run draws again."""

    settings: ProtoActionSettings

    def _minibatch(self, batch: Rows) -> dict[str, Tensor]:
        shape = (len(batch[RETURN]), self.recommender.network.space.width)
        draws = {n: self.rng.standard_normal(shape, dtype=np.float32) for n in (NOISE, LATER_NOISE)}
        return super()._minibatch(batch | {name: self._to_device(draw) for name, draw in draws.items()})

    def critic_loss(self, batch: Rows, values: Tensor, next_value: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Summed over critics, and figures; ``values`` are [critics, B], ``next_value`` [B]."""
        target = batch[RETURN] + batch[DISCOUNT] * next_value
        errors = (values - target) / self.settings.value_scale
        loss = torch.stack([weighted_mean(0.5 * error.pow(2), batch) for error in errors]).sum()
        figures = {"td_loss": loss, "q_mean": values.mean()}
        if WEIGHTS in batch:
            figures[ERRORS] = errors.abs().mean(0)
        return loss, figures


class SACLearner(ActorCriticLearner):
    """Soft values: with α the temperature, y + γⁿ scale · α H and −(Q / scale + α H) for the actor, H = −log π."""

    settings: SACSettings

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        scale = self.settings.value_scale
        temperature = out["log_temperature"].detach().exp()
        soft = out["next_value"] - scale * temperature * out["next_log_prob"]
        critic_loss, figures = self.critic_loss(batch, out["values"], soft)
        actor_loss = (temperature * out["log_prob"] - out["proto_value"] / scale).mean()
        excess = out["log_prob"].detach().mean() - out["width"]  # of log-density over that of the target entropy, -d
        loss = critic_loss + actor_loss
        if self.settings.learn_temperature:
            loss = loss - out["log_temperature"] * excess
        figures |= {"actor_loss": actor_loss, "entropy": -out["log_prob"].mean(), "temperature": temperature}
        return loss, figures


class TD3Learner(ActorCriticLearner):
    """The actor moves once in ``policy_delay`` steps."""

    settings: TD3Settings

    def build(self) -> None:
        super().build()
        self.optimizer.register_step_pre_hook(lambda *_: self._hold_actor())

    def _hold_actor(self) -> None:
        # Gradients are dropped only here, not left out of the loss: learners that share a step wait for all of them.
        if self.minibatches % self.settings.policy_delay:
            for parameter in self.recommender.network.actor.parameters():
                parameter.grad = None

    def loss(self, batch: Rows, out: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        critic_loss, figures = self.critic_loss(batch, out["values"], out["next_value"])
        actor_loss = -out["proto_value"].mean() / self.settings.value_scale
        return critic_loss + actor_loss, figures | {"actor_loss": actor_loss}


def _network(config: NetworkConfig, sizes: StateSizes, items: Float32, settings: Any) -> ProtoAction:
    gaussian = isinstance(settings, SACSettings)
    network = ProtoAction(
        config,
        sizes,
        items,
        value_scale=settings.value_scale,
        measure=settings.measure,
        near=settings.nearest,
        critics=1 + settings.twin,
        gaussian=gaussian,
        temperature=settings.temperature if gaussian else 1.0,
    )
    if gaussian:
        network.log_temperature.requires_grad_(settings.learn_temperature)
    return network


def _recipe(learner: type[ColumnarLearner], module: type[RecommenderModule]) -> Recipe:
    return Recipe(
        loop=OffPolicy, learner=learner, module=module, network=_network, rows=n_step_rows, samplers=greedy_samplers
    )


SAC = _recipe(SACLearner, SACModule)
TD3 = _recipe(TD3Learner, TD3Module)
