"""What do columns buy? Columnar PPO against RLlib's stock PPO, sampling and learning together.

    python benchmarks/stock_ppo.py [--seconds 10] [--rounds 3] [--env-runners 0]

Both train the same network with the same hyperparameters (rows of an iteration, minibatch, epochs, learning rate,
discount, clipping) on interest evolution (k 3, m 10). The stock algorithm is RLlib's `PPO` untouched, with its
`SingleAgentEnvRunner`, connectors, GAE and learner, on single-user Gymnasium environments (`SlateEnv`, 64 of them,
`gym_env_vectorize_mode="sync"`); all it is given is a module that hands out Plackett–Luce inputs and their
distribution. Rounds alternate, so that what else the machine does weighs on both alike; the figure of each is the
median over its rounds of environment steps a CPU-second (all processes that sample or learn).

The last line of stdout is one JSON object: ``results`` (a row for each algorithm, its steps and CPU-seconds over all
rounds and the median rate) and ``ratio``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import torch
from cpu_time import actor_processes, cpu_seconds
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDistribution
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, EPISODE_RETURN_MEAN, NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.tune.registry import register_env
from rec_platform.training.modules import ActorCriticModule, model_config
from torch import Tensor

from rec_platform.policies.networks.plackett_luce import UNAVAILABLE, first_slot_entropy, slate_log_prob
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.simulation.gym import SlateEnv
from rec_platform.training.algorithms import build_algorithm, state_sizes
from rec_platform.training.engine.columns import gather
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.settings import PPOSettings

SIMULATOR = InterestEvolutionConfig(slate_size=3, num_candidates=10)
STOCK_ENVIRONMENTS = 64
REQUIRED_RATIO = 6.0


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="wall time of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env-runners", type=int, default=0, help="sampling actors of each; 0 samples in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    experiment = columnar_experiment(arguments.env_runners)
    with ray_session(experiment.resources):
        contestants = [
            Contestant("columnar_ppo", build_algorithm(experiment, InterestEvolution(SIMULATOR))),
            Contestant("stock_ppo", stock_algorithm(experiment)),
        ]
        for contestant in contestants:
            contestant.algorithm.train()  # what is done once only stays out
        for number in range(arguments.rounds):
            for contestant in contestants:
                contestant.run(arguments.seconds)
                print(f"round {number + 1}: {contestant.name} {contestant.rates[-1]:,.0f}", file=sys.stderr, flush=True)
        for contestant in contestants:
            contestant.algorithm.stop()
    results = [contestant.result() for contestant in contestants]
    ratio = results[0]["env_steps_per_cpu_second"] / results[1]["env_steps_per_cpu_second"]
    print(json.dumps({"results": results, "ratio": round(ratio, 2), "required_ratio": REQUIRED_RATIO}))


@dataclass
class Contestant:
    """An algorithm and its rounds so far."""

    name: str
    algorithm: Algorithm
    env_steps: int = 0
    cpu: float = 0.0
    rates: list[float] = field(default_factory=list)
    episode_return: float = float("nan")

    def run(self, seconds: float) -> None:
        """Iterations until ``seconds`` of wall time have gone by, at least one."""
        processes = actor_processes(self.algorithm)
        began, began_cpu, began_steps = time.perf_counter(), cpu_seconds(processes), self._steps()
        while time.perf_counter() - began < seconds:
            result = self.algorithm.train()
            self.episode_return = float(result[ENV_RUNNER_RESULTS].get(EPISODE_RETURN_MEAN, "nan"))
        steps, cpu = self._steps() - began_steps, cpu_seconds(processes) - began_cpu
        self.env_steps += steps
        self.cpu += cpu
        self.rates.append(steps / cpu)

    def _steps(self) -> int:
        return int(self.algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))

    def result(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "env_steps": self.env_steps,
            "cpu_seconds": round(self.cpu, 2),
            "env_steps_per_cpu_second": round(statistics.median(self.rates), 1),
            "rounds": [round(rate, 1) for rate in self.rates],
            "episode_return": None if math.isnan(self.episode_return) else round(self.episode_return, 1),
        }


def columnar_experiment(env_runners: int) -> Experiment:
    """PPO as `experiments/interest_evolution_ppo.yaml` has it, 4,096 rows an iteration, nothing that ends it."""
    lanes = 128 // max(env_runners, 1)
    return build_experiment(
        {
            "name": "columnar_ppo",
            "seed": 1,
            "simulator": {"kind": "interest_evolution", **SIMULATOR.model_dump()},
            "policy": {"encoder": "none", "head": "dot", "hidden": [64, 64], "item_ids": False},
            "algorithm": {"kind": "ppo", "value_scale": 50, "minibatch": 1024, "fragment": 32, "epochs": 4},
            "resources": {"env_runners": env_runners, "users_per_runner": lanes},
            "stop": {"env_steps": 100_000_000},
        }
    )


def stock_algorithm(experiment: Experiment) -> Algorithm:
    """RLlib's own PPO with the network and hyperparameters of ``experiment``."""
    settings, resources = experiment.algorithm, experiment.resources
    assert isinstance(settings, PPOSettings)
    simulator = InterestEvolution(SIMULATOR)
    register_env("single_user", lambda _: SlateEnv(InterestEvolution(SIMULATOR)))
    model = model_config(
        experiment.policy,
        state_sizes(simulator.spec),
        simulator.item_features,
        seed=experiment.seed,
        value_scale=settings.value_scale,
    )
    runners = max(resources.env_runners, 1)
    config = (
        PPOConfig()
        .environment("single_user")
        .env_runners(
            env_runner_cls=SingleAgentEnvRunner,
            num_env_runners=resources.env_runners,
            num_envs_per_env_runner=STOCK_ENVIRONMENTS // runners,
            gym_env_vectorize_mode=gym.VectorizeMode.SYNC,
        )
        .learners(num_learners=0)
        .training(
            train_batch_size_per_learner=resources.users_per_runner * runners * settings.fragment,
            minibatch_size=settings.minibatch,
            num_epochs=settings.epochs,
            lr=settings.learning_rate,
            gamma=settings.gamma,
            lambda_=settings.lam,
            clip_param=settings.clip,
            vf_clip_param=float("inf"),
            vf_loss_coeff=settings.value_weight / settings.value_scale**2,
            entropy_coeff=settings.entropy,
            use_kl_loss=False,
            grad_clip=settings.gradient_clip,
            grad_clip_by="global_norm",
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=StockSlateModule, model_config=model))
        .debugging(seed=experiment.seed, log_level="ERROR")
    )
    return config.build_algo()


class SlateDistribution(TorchDistribution):
    """Plackett–Luce slates as stock connectors and learners want them: the log-probability of a whole slate."""

    def __init__(self, logits: Tensor, slate_size: int = SIMULATOR.slate_size) -> None:
        self.logits = logits
        self.slate_size = slate_size
        super().__init__()

    @classmethod
    def from_logits(cls, logits: Tensor, **_: Any) -> SlateDistribution:
        return cls(logits)

    def _get_torch_distribution(self) -> None:
        """None of torch's own: the verbs below answer for themselves."""

    def sample(self, *, sample_shape: Any = None) -> Tensor:
        gumbel = -torch.log(-torch.log(torch.rand_like(self.logits).clamp(1e-20, 1.0 - 1e-7)))
        return (self.logits + gumbel).topk(self.slate_size, dim=1).indices

    def logp(self, value: Tensor, **_: Any) -> Tensor:
        return slate_log_prob(self.logits, value.long()).sum(1)

    def entropy(self) -> Tensor:
        return first_slot_entropy(self.logits)

    def kl(self, other: Any) -> Tensor:
        raise NotImplementedError("the benchmark runs without a divergence term")

    @staticmethod
    def required_input_dim(space: gym.Space, **_: Any) -> int:
        return SIMULATOR.num_candidates


class StockSlateModule(ActorCriticModule):
    """The same network, in the stock algorithm's terms: distribution inputs and values."""

    def setup(self) -> None:
        super().setup()
        self.action_dist_cls = SlateDistribution

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        observation = _flat(batch)
        scores, values = self.network(observation)
        return {Columns.ACTION_DIST_INPUTS: gather(scores, observation, UNAVAILABLE), Columns.VF_PREDS: values}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return self._forward(batch)

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        return self.network.value(_flat(batch))


def _flat(batch: dict[str, Any]) -> dict[str, Tensor]:
    """The observation of a stock batch; the environment has no history, and Gymnasium no spaces of size 0."""
    observation = batch[Columns.OBS]
    nothing = observation["context"][:, :0]
    return {"history": nothing, "history_feedback": nothing, **observation}


if __name__ == "__main__":
    main()
