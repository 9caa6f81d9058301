"""SlateQ (Ie et al. 2019) on columns, with a learned value of choosing nothing and a learned choice model.

    Q(s, A) = [Σ_{i∈A} s_i Q̄(s, i) + s_⊥ Q̄(s, ⊥)] / [Σ_{i∈A} s_i + s_⊥]

The published code gives ⊥ the value 0 and drops its transitions from the loss, although the session goes on after it
with almost the same value; every Q̄ is then a large constant and the optimiser maximises the chance of a click. Here ⊥
is an item like the others. The masses s are fitted to who was chosen from the slates shown, by maximum likelihood.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.apis import TargetNetworkAPI
from ray.rllib.utils.metrics import ENV_RUNNER_SAMPLING_TIMER, LEARNER_UPDATE_TIMER, TIMERS
from torch import Tensor, nn

from rec_platform.training.modules import SlateQModule
from rec_platform.training.n_step import CHOSEN, DISCOUNT, RETURN
from rec_platform.training.ppo import env_steps, sample_columns, sync_weights, update
from rec_platform.training.replay import ColumnarReplay

SHORTLIST = 128
"""Candidates among which a target's slate is optimised, after three passes over all of them."""


class SlateQConfig(DQNConfig):
    """SlateQ's settings beside RLlib's.

    Attributes:
        updates_per_step: minibatches trained on for every (lanes × 1) environment steps.
        polyak: τ of the target network, applied after every minibatch.
        value_scale: typical size of a return; errors are divided by it.
        epsilon_end, epsilon_steps: exploration falls linearly from 1 to the first over so many environment steps.
        dinkelbach_rounds: of the slate optimiser in targets.
        replay_capacity, learning_starts: in rows.
        start_steps: environment steps done before this run.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SlateQ)
        self.updates_per_step = 1.0
        self.polyak = 0.01
        self.value_scale = 1.0
        self.epsilon_end = 0.05
        self.epsilon_steps = 100_000
        self.dinkelbach_rounds = 6
        self.replay_capacity = 100_000
        self.learning_starts = 2_000
        self.start_steps = 0
        self.replay_seed = 0
        self.min_sample_timesteps_per_iteration = 0

    def validate(self) -> None:
        """Nothing of the stock DQN's replay and exploration applies."""

    def get_default_learner_class(self) -> type:
        return SlateQLearner


class SlateQLearner(TorchLearner):
    """Temporal differences of the consumed item (or of nothing), and the likelihood of the choice."""

    config: SlateQConfig

    @classmethod
    def rl_module_required_apis(cls) -> list[type]:
        return [TargetNetworkAPI]

    def build(self) -> None:
        super().build()
        for module_id in self.module.keys():  # noqa: SIM118 (a MultiRLModule is no dict)
            _unwrapped(self, module_id).make_target_networks()

    def get_parameters(self, module: Any) -> list[nn.Parameter]:
        return [p for name, p in module.named_parameters() if p.requires_grad and not name.startswith("_target")]

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        module = _unwrapped(self, module_id)
        chosen = batch[CHOSEN]
        slate_size = batch[Columns.ACTIONS].shape[1]
        outcome = torch.where(chosen >= 0, chosen, slate_size).unsqueeze(1)
        values: Tensor = fwd_out["values"]
        masses: Tensor = fwd_out["masses"]
        with torch.no_grad():
            best = best_slate_value(
                *module.forward_target(batch), slate_size=slate_size, rounds=config.dinkelbach_rounds
            )
            target = batch[RETURN] + batch[DISCOUNT] * best
        error = (values.gather(1, outcome).squeeze(1) - target) / config.value_scale
        td_loss = error.pow(2).mean()
        likelihood = torch.log(masses).gather(1, outcome).squeeze(1) - torch.log(masses.sum(1))
        choice_loss = -likelihood.mean()
        self.metrics.log_dict(
            {"td_loss": td_loss.detach(), "choice_loss": choice_loss.detach(), "q_mean": values.mean().detach()},
            key=module_id,
            window=1,
        )
        return td_loss + 0.1 * choice_loss

    def apply_gradients(self, gradients_dict: dict) -> None:
        super().apply_gradients(gradients_dict)
        for module_id in self.module.keys():  # noqa: SIM118
            for main, target in _unwrapped(self, module_id).get_target_network_pairs():
                with torch.no_grad():
                    torch._foreach_lerp_(list(target.parameters()), list(main.parameters()), self.config.polyak)


def _unwrapped(learner: TorchLearner, module_id: str) -> SlateQModule:
    return cast(SlateQModule, learner.module[module_id].unwrapped())


def best_slate_value(
    values: Tensor, masses: Tensor, null_value: Tensor, null_mass: Tensor, *, slate_size: int, rounds: int
) -> Tensor:
    """Value [B] of the ratio-optimal slate by Dinkelbach's rounds; unavailable candidates have mass 0.

    A candidate of mass 0 adds nothing to either sum, so it may fill a slate that has too few candidates.
    """
    ratio = null_value
    pool = min(max(SHORTLIST, slate_size), values.shape[1])
    for number in range(rounds):
        gain = torch.where(masses > 0, masses * (values - ratio.unsqueeze(1)), -torch.inf)
        if number == 2 and pool < values.shape[1]:
            # After two rounds the ratio is near enough that the best slate is among the best of this one.
            gain, best = gain.topk(pool, dim=1)
            values, masses = values.gather(1, best), masses.gather(1, best)
        slate = gain.topk(slate_size, dim=1).indices
        mass, value = masses.gather(1, slate), values.gather(1, slate)
        ratio = ((mass * value).sum(1) + null_mass * null_value) / (mass.sum(1) + null_mass)
    return ratio


class SlateQ(DQN):
    """Sample, store, and train on many minibatches with one update call (each call costs RLlib about 18 ms)."""

    replay: ColumnarReplay

    @classmethod
    def get_default_config(cls) -> SlateQConfig:
        return SlateQConfig()

    def setup(self, config: Any) -> None:
        super().setup(config)
        own = cast(SlateQConfig, self.config)
        self.replay = ColumnarReplay(own.replay_capacity, own.replay_seed)

    def training_step(self) -> None:
        config = cast(SlateQConfig, self.config)
        assert config.minibatch_size is not None
        assert self.metrics is not None
        assert self.env_runner_group is not None
        explore = exploration(env_steps(self), config.epsilon_end, config.epsilon_steps)
        self.env_runner_group.foreach_env_runner(lambda runner: setattr(runner, "explore", explore))
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            parts = [part for part in sample_columns(self) if part]
        rows = 0
        for part in parts:
            self.replay.add(part)
            rows += len(part[RETURN])
        if len(self.replay) < config.learning_starts or not rows:
            return
        minibatch = config.minibatch_size
        updates = max(1, round(config.updates_per_step * rows / config.num_envs_per_env_runner))
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            update(
                self,
                self.replay.sample(updates * minibatch),
                num_epochs=1,
                minibatch_size=minibatch,
                shuffle_batch_per_epoch=False,
            )
        sync_weights(self)


def exploration(steps: int, end: float, over: int) -> float:
    """ε after ``steps`` environment steps: linear from 1 to ``end``, constant afterwards."""
    return max(end, 1.0 - (1.0 - end) * steps / max(over, 1))
