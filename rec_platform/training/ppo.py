"""PPO over Plackett–Luce slates, on columns.

Ratios and clipping are per slot (Schulman et al. 2017, equation 7, with each slot's conditional probability in the
place of the action's), which keeps a slate's k ratios from multiplying up. Where a user consumes at most one item of a
slate, only the consumed slot is credited; a slate that nobody touched is credited to all its slots alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from torch import Tensor, nn

from rec_platform.policies.networks.plackett_luce import first_slot_entropy, slate_log_prob


class SlatePPOConfig(PPOConfig):
    """PPO's settings, and those of slates.

    Attributes:
        credit: which slots an advantage is credited to: ``consumed`` (see the module's docstring) or ``slate``.
        start_steps: environment steps done before this run (after a resume); schedules go on from there.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SlatePPO)
        self.credit = "consumed"
        self.start_steps = 0
        self.enable_env_runner_and_connector_v2 = True

    def get_default_learner_class(self) -> type:
        return SlatePPOLearner


class SlatePPOLearner(PPOTorchLearner):
    """The loss per slot."""

    def get_parameters(self, module: Any) -> list[nn.Parameter]:
        return [p for p in module.parameters() if p.requires_grad]

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        logits: Tensor = fwd_out["logits"]
        values: Tensor = fwd_out[Columns.VF_PREDS]
        log_prob = slate_log_prob(logits, batch[Columns.ACTIONS])
        ratio = torch.exp((log_prob - batch[Columns.ACTION_LOGP]).clamp(-20.0, 20.0))
        advantage = batch[Postprocessing.ADVANTAGES].unsqueeze(1)
        clipped = ratio.clamp(1.0 - config.clip_param, 1.0 + config.clip_param)
        surrogate = torch.minimum(ratio * advantage, clipped * advantage)
        surrogate = (surrogate * slot_credit(batch["chosen"], surrogate.shape[1], config.credit)).sum(1).mean()

        # RLlib's vf_clip_param bounds the squared error of a row; targets are scaled so that it seldom does.
        error = (values - batch[Postprocessing.VALUE_TARGETS]).pow(2).clamp(max=config.vf_clip_param)
        entropy_coeff: Any = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        with torch.set_grad_enabled(entropy_coeff > 0):
            entropy = first_slot_entropy(logits if entropy_coeff > 0 else logits[:256]).mean()
        loss = -surrogate + config.vf_loss_coeff * error.mean() - entropy_coeff * entropy
        kl = (batch[Columns.ACTION_LOGP] - log_prob).sum(1).mean()
        if config.use_kl_loss:
            loss = loss + self.curr_kl_coeffs_per_module[module_id] * kl
        with torch.no_grad():
            targets = batch[Postprocessing.VALUE_TARGETS]
            explained = 1.0 - (targets - values).var() / targets.var().clamp(min=1e-8)
        self.metrics.log_dict(
            {
                "policy_loss": -surrogate.detach(),
                "vf_loss": error.mean().detach(),
                "vf_explained_var": explained,
                "entropy": entropy.detach(),
                "mean_kl_loss": kl.detach(),
            },
            key=module_id,
            window=1,
        )
        return loss


def slot_credit(chosen: Tensor, slate_size: int, credit: str) -> Tensor:
    """Weights [B, k] of the slots' surrogates."""
    if credit == "slate":
        return torch.ones(len(chosen), slate_size, device=chosen.device)
    slots = torch.arange(slate_size, device=chosen.device)
    consumed = (chosen.unsqueeze(1) == slots).float()
    return torch.where(chosen.unsqueeze(1) >= 0, consumed, 1.0)


class SlatePPO(PPO):
    """PPO whose workers return columns and whose learner takes them as they are."""

    @classmethod
    def get_default_config(cls) -> SlatePPOConfig:
        return SlatePPOConfig()

    def training_step(self) -> None:
        assert self.config is not None
        assert self.metrics is not None
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            parts = sample_columns(self)
        if not parts:
            return
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        advantage = columns[Postprocessing.ADVANTAGES]
        columns[Postprocessing.ADVANTAGES] = ((advantage - advantage.mean()) / max(advantage.std(), 1e-4)).astype(
            np.float32
        )
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            update(
                self,
                columns,
                num_epochs=self.config.num_epochs,
                minibatch_size=self.config.minibatch_size,
                shuffle_batch_per_epoch=True,
            )
        sync_weights(self)


def sample_columns(algorithm: Any) -> list[dict[str, np.ndarray]]:
    """One sample of every env runner; runners that failed are left out (and restarted by RLlib)."""
    sampled: Any = synchronous_parallel_sample(
        worker_set=algorithm.env_runner_group,
        concat=False,
        sample_timeout_s=algorithm.config.sample_timeout_s,
        _uses_new_env_runners=True,
        _return_metrics=True,
    )
    parts, results = sampled
    if parts:
        algorithm.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
    return parts


def env_steps(algorithm: Any) -> int:
    """Environment steps of this experiment so far, those before a resume included."""
    sampled = algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
    return algorithm.config.start_steps + int(sampled)


def update(algorithm: Any, columns: dict[str, np.ndarray], **how: Any) -> None:
    """Train on columns; a `MultiAgentBatch`, because RLlib turns only those into tensors."""
    rows = len(columns[Columns.ACTIONS])
    batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=rows)
    timesteps = {NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps(algorithm)}
    results = algorithm.learner_group.update(batch=batch, timesteps=timesteps, **how)
    algorithm.metrics.aggregate(results, key=LEARNER_RESULTS)


def sync_weights(algorithm: Any) -> None:
    """Give the learner's weights to every env runner."""
    with algorithm.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
        algorithm.env_runner_group.sync_weights(
            from_worker_or_learner_group=algorithm.learner_group, policies={DEFAULT_MODULE_ID}, inference_only=True
        )
