"""From an experiment to an RLlib algorithm that is ready to train."""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rec_platform.policies.networks.config import StateSizes
from rec_platform.simulation.simulator import Simulator, SimulatorSpec
from rec_platform.training.columnar_env_runner import Assembler, ColumnarEnvRunner
from rec_platform.training.experiment import Experiment
from rec_platform.training.gae import PPORows
from rec_platform.training.modules import ActorCriticModule, SlateModule, SlateQModule, model_config
from rec_platform.training.n_step import NStepRows
from rec_platform.training.ppo import SlatePPOConfig
from rec_platform.training.settings import PPOSettings, SlateQSettings
from rec_platform.training.slateq import SlateQConfig

Weights = dict[str, np.ndarray]


def state_sizes(spec: SimulatorSpec) -> StateSizes:
    """The sizes a network needs of a simulator."""
    return StateSizes(spec.history_length, len(spec.user_feature_names), len(spec.context_names), spec.slate_size)


def build_algorithm(
    experiment: Experiment, simulator: Simulator, *, weights: Weights | None = None, start_steps: int = 0
) -> Algorithm:
    """Build the algorithm and its env runners on the running Ray.

    Args:
        weights: parameters by name that replace initial ones (warm start).
        start_steps: environment steps already done (resume); schedules go on from there.
    """
    settings, resources, steps = experiment.algorithm, experiment.resources, experiment.stop.env_steps
    model = model_config(
        experiment.policy,
        state_sizes(simulator.spec),
        simulator.item_features,
        seed=experiment.seed,
        weights=weights,
        value_scale=settings.value_scale,
    )
    config: SlatePPOConfig | SlateQConfig
    module: type[SlateModule]
    assembler: Assembler
    if isinstance(settings, PPOSettings):
        config = _ppo(settings)
        module, assembler = ActorCriticModule, PPORows(settings.gamma, settings.lam)
        rows = resources.users_per_runner * max(resources.env_runners, 1) * settings.fragment
        config.training(train_batch_size_per_learner=rows // max(resources.learners, 1))
    elif isinstance(settings, SlateQSettings):
        config = _slateq(settings)
        module, assembler = SlateQModule, NStepRows(settings.n_step, settings.gamma)
        config.epsilon_steps = int(settings.epsilon_fraction * steps)
        config.replay_seed = experiment.seed
    else:
        raise TypeError(f"no algorithm for {type(settings).__name__}")
    config.start_steps = start_steps
    rate = settings.learning_rate
    remote = resources.env_runners > 0 or resources.learners > 0
    config.environment(
        "rec_platform",
        env_config={
            "simulator": ray.put(simulator) if remote else simulator,
            "assembler": assembler,
            "seed": experiment.seed,
            "restarts": start_steps,
        },
    )
    config.env_runners(
        env_runner_cls=ColumnarEnvRunner,
        num_env_runners=resources.env_runners,
        num_envs_per_env_runner=resources.users_per_runner,
        rollout_fragment_length=settings.fragment,
    )
    config.fault_tolerance(
        restart_failed_env_runners=True, ignore_env_runner_failures=True, delay_between_env_runner_restarts_s=0
    )
    config.learners(num_learners=resources.learners, num_gpus_per_learner=resources.gpus_per_learner)
    config.training(
        lr=[[0, rate], [steps, rate * 0.02]], gamma=settings.gamma, minibatch_size=settings.minibatch,
        grad_clip=settings.gradient_clip,  # type: ignore[arg-type]  # DQNConfig says int
        grad_clip_by="global_norm",
    )  # fmt: skip
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=module, model_config=model))
    config.debugging(seed=experiment.seed, log_level="ERROR")
    return config.build_algo()


def _ppo(settings: PPOSettings) -> SlatePPOConfig:
    config = SlatePPOConfig()
    config.training(
        lambda_=settings.lam,
        num_epochs=settings.epochs,
        clip_param=settings.clip,
        vf_clip_param=float("inf"),
        vf_loss_coeff=settings.value_weight / settings.value_scale**2,
        entropy_coeff=settings.entropy,
        use_kl_loss=settings.kl > 0,
        kl_coeff=settings.kl,
    )
    config.credit = settings.credit
    return config


def _slateq(settings: SlateQSettings) -> SlateQConfig:
    config = SlateQConfig()
    for name in (
        "updates_per_step", "polyak", "value_scale", "epsilon_end", "dinkelbach_rounds", "replay_capacity",
        "learning_starts",
    ):  # fmt: skip
        setattr(config, name, getattr(settings, name))
    return config


def get_learner_state(algorithm: Algorithm) -> dict[str, Any]:
    """Network and optimiser of the (first) learner, as plain nested values."""

    def take(learner: Any) -> dict[str, Any]:
        module = learner.module[DEFAULT_MODULE_ID].unwrapped()
        return {
            "network": {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()},
            "optimizer": learner.get_optimizer(DEFAULT_MODULE_ID).state_dict(),
        }

    return _foreach_learner(algorithm, take)[0]


def set_learner_state(algorithm: Algorithm, state: dict[str, Any]) -> None:
    """Put back what `get_learner_state` took, in every learner, and send the weights to the env runners.

    Raises:
        KeyError, RuntimeError: the state is of another network.
    """

    def put(learner: Any) -> None:
        module = learner.module[DEFAULT_MODULE_ID].unwrapped()
        module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state["network"].items()})
        optimizer = _tensors(state["optimizer"])
        rates = [group["lr"] for group in learner.get_optimizer(DEFAULT_MODULE_ID).param_groups]
        learner.get_optimizer(DEFAULT_MODULE_ID).load_state_dict(optimizer)
        for group, rate in zip(learner.get_optimizer(DEFAULT_MODULE_ID).param_groups, rates, strict=True):
            group.setdefault("lr", rate)

    _foreach_learner(algorithm, put)
    assert algorithm.env_runner_group is not None
    algorithm.env_runner_group.sync_weights(
        from_worker_or_learner_group=algorithm.learner_group, policies=[DEFAULT_MODULE_ID], inference_only=True
    )


def _foreach_learner(algorithm: Algorithm, function: Any) -> list[Any]:
    assert algorithm.learner_group is not None
    results = algorithm.learner_group.foreach_learner(function)
    return [result.get() if hasattr(result, "get") and not isinstance(result, dict) else result for result in results]


def _tensors(node: Any) -> Any:
    if isinstance(node, np.ndarray):
        return torch.from_numpy(np.array(node))
    if isinstance(node, dict):
        return {key: _tensors(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_tensors(value) for value in node]
    return node
