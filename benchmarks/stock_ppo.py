"""What do columns buy? Columnar PPO against RLlib's stock PPO, sampling and learning together.

    python benchmarks/stock_ppo.py [--seconds 10] [--rounds 3] [--env-runners 0]

All train the same network (`ActorCritic`, two layers of 64) with the same hyperparameters (rows of an iteration,
minibatch, epochs, learning rate, discount, clipping, weight of the critic) on interest evolution (k 3, m 10):

    columnar_ppo       ours
    stock_ppo          RLlib's `PPO` untouched, with its `SingleAgentEnvRunner`, connectors, GAE and learner, on 64
                       single-user Gymnasium environments (``gym_env_vectorize_mode="sync"``)
    stock_ppo_vector   the same on one vector environment with as many users as the columnar runner has
                       (``"vector_entry_point"``), reset as the stock runner assumes (`stock_rllib.NextStepUsers`)

All that stock PPO is given is a module that hands out Plackett–Luce inputs and their distribution. What differs in the
loss: stock PPO clips one ratio for the whole slate, ours one a slot, and credits the consumed one. Rounds alternate;
the figure of each contestant is the median over its rounds of environment steps a CPU-second (all processes that
sample or learn; Ray's daemons not). The returns say that each of them learns; a faster one has seen more by then.

The last line of stdout is one JSON object: ``results`` (a row for each, medians and rounds), ``ratio`` of columnar to
stock and ``vector_ratio`` of columnar to stock with the vector environment, both with what is required of them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDistribution
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.tune.registry import register_env
from stock_rllib import Contestant, compete, users_creator
from torch import Tensor

from rec_platform.policies.networks.plackett_luce import first_slot_entropy, slate_log_prob
from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.training.algorithms.actor_critic import ActorCriticModule
from rec_platform.training.build import build_algorithm, recipe_of, state_sizes
from rec_platform.training.engine.module import model_config
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.settings import PPOSettings
from rec_platform.training.settings.resources import Resources
from rec_platform.training.world import build_world

SIMULATOR = InterestEvolutionConfig(slate_size=3, num_candidates=10)
STOCK_ENVIRONMENTS, USERS = 64, 128
REQUIRED_RATIO, REQUIRED_VECTOR_RATIO = 8.0, 3.0


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="wall time of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env-runners", type=int, default=0, help="sampling actors of each; 0 samples in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    experiment = columnar_experiment(arguments.env_runners)
    register_env("users", users_creator(lambda: InterestEvolution(SIMULATOR)))
    with ray_session(Resources(env_runners=3 * arguments.env_runners)):
        contestants = [
            Contestant("columnar_ppo", build_algorithm(experiment, build_world(experiment, Path()))),
            Contestant("stock_ppo", stock_algorithm(experiment, STOCK_ENVIRONMENTS, gym.VectorizeMode.SYNC)),
            Contestant("stock_ppo_vector", stock_algorithm(experiment, USERS, gym.VectorizeMode.VECTOR_ENTRY_POINT)),
        ]
        results = compete(contestants, rounds=arguments.rounds, seconds=arguments.seconds)
    rates = {name: row["env_steps_per_cpu_second"] for name, row in results.items()}
    summary = {
        "results": list(results.values()),
        "ratio": round(rates["columnar_ppo"] / rates["stock_ppo"], 2),
        "required_ratio": REQUIRED_RATIO,
        "vector_ratio": round(rates["columnar_ppo"] / rates["stock_ppo_vector"], 2),
        "required_vector_ratio": REQUIRED_VECTOR_RATIO,
    }
    print(json.dumps(summary))


def columnar_experiment(env_runners: int) -> Experiment:
    """PPO as `experiments/interest_evolution_ppo.yaml` has it, 4,096 rows an iteration, nothing that ends it."""
    return build_experiment(
        {
            "name": "columnar_ppo",
            "seed": 1,
            "simulator": {"kind": "interest_evolution", **SIMULATOR.model_dump()},
            "policy": {"encoder": "none", "head": "dot", "hidden": [64, 64], "item_ids": False},
            "algorithm": {"kind": "ppo", "value_scale": 50, "minibatch": 1024, "fragment": 32, "epochs": 4},
            "resources": {"env_runners": env_runners, "users_per_runner": USERS // max(env_runners, 1)},
            "stop": {"env_steps": 100_000_000},
        }
    )


def stock_algorithm(experiment: Experiment, users: int, mode: gym.VectorizeMode) -> Algorithm:
    """RLlib's own PPO with the network and hyperparameters of ``experiment``, over ``users`` users in all."""
    settings, resources = experiment.algorithm, experiment.resources
    assert isinstance(settings, PPOSettings)
    simulator = InterestEvolution(SIMULATOR)
    sizes = state_sizes(simulator.spec)
    network = recipe_of(experiment).network
    model = model_config(network, experiment.policy, sizes, simulator.item_features, settings, seed=experiment.seed)
    runners = max(resources.env_runners, 1)
    config = (
        PPOConfig()
        .environment("users")
        .env_runners(
            env_runner_cls=SingleAgentEnvRunner,
            num_env_runners=resources.env_runners,
            num_envs_per_env_runner=users // runners,
            gym_env_vectorize_mode=mode,
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


class StockSlateModule(ActorCriticModule, ValueFunctionAPI):
    """The same network, in the stock algorithm's terms: distribution inputs, and values for its learner alone."""

    def setup(self) -> None:
        super().setup()
        self.action_dist_cls = SlateDistribution

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.logits_and_values(_flat(batch))[0]}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        logits, values = self.logits_and_values(_flat(batch))
        return {Columns.ACTION_DIST_INPUTS: logits, Columns.EMBEDDINGS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """V(s) [B]: what the forward pass left under its embeddings, where there was one."""
        return self.network.value(_flat(batch)) if embeddings is None else embeddings


def _flat(batch: dict[str, Any]) -> dict[str, Tensor]:
    """The observation of a stock batch; the environment has no history, and Gymnasium no spaces of size 0."""
    observation = batch[Columns.OBS]
    nothing = observation["context"][:, :0]
    return {"history": nothing, "history_feedback": nothing, **observation}


if __name__ == "__main__":
    main()
