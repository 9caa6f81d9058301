"""How fast do value-based learners train? SlateQ and DQN on columns against RLlib's stock DQN.

    python benchmarks/stock_dqn.py [--seconds 10] [--rounds 3]

Figures are rows trained on (rows of a minibatch × gradient steps) a CPU-second of this process, sampling, replay and
learning together; the median of the rounds, which alternate. Everybody plays interest evolution with slates of one item
of ten candidates, which stock DQN can play with a `Discrete` action:

    slateq, dqn        ours: 64 users, a minibatch of 512 for each step of theirs (a row is trained on 8 times), 5-step
                       returns, uniform replay
    stock_dqn          RLlib's `DQN` as shipped: one environment, a minibatch of 32 for each env step (a row is trained
                       on 32 times), 1-step returns, prioritised replay, all hyperparameters its own
    stock_dqn_512      the same algorithm with our amounts: 64 single-user environments
                       (``gym_env_vectorize_mode="sync"``), a minibatch of 512 for each step of theirs, 5-step returns,
                       uniform replay, our learning rate, discount, clipping, exploration and rate of the slow copy
    stock_dqn_vector   as before, on one vector environment of 64 users (``"vector_entry_point"``)

The same: the environment, double DQN, and the network, which is that of our `dqn` (`ItemValue`, two layers of 128,
dueling), put into RLlib's own DQN module in the place of its encoder and heads; the module's forward passes, the
runner, connectors, buffers and the learner are RLlib's, untouched.

Different: `slateq` has a choice model beside the same widths, and so more to compute a row. The stock Huber loss bends
at one unit of reward, ours at one `value_scale`. Stock buffers hold episodes and draw rows one by one, ours hold
columns. Stock DQN samples 5 steps (it must, for 5-step returns) and makes a call of its learner for each minibatch,
ours samples 16 and makes one call; each minibatch is one forward and backward pass and one step of Adam everywhere.
How often stock DQN reports (`min_sample_timesteps_per_iteration`) is lowered, to fit rounds of seconds.

Returns are of exploring policies, which have seen as many steps as the rate allowed: they say that each learns, not
which learns more from a step.

The last line of stdout is one JSON object: ``results`` (a row for each) and ``ratios``: trained rows a CPU-second of
ours over those of stock; ``required_ratio`` is asked of `slateq` against each.
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
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.dqn.default_dqn_rl_module import QF_PREDS
from ray.rllib.algorithms.dqn.torch.default_dqn_torch_rl_module import DefaultDQNTorchRLModule
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.schedules.scheduler import Scheduler
from ray.tune.registry import register_env
from stock_rllib import Contestant, compete, users_creator
from torch import Tensor, nn

from rec_platform.simulation.classic.interest_evolution import InterestEvolution, InterestEvolutionConfig
from rec_platform.training.algorithms.dqn import DQNModule
from rec_platform.training.build import build_algorithm, recipe_of, state_sizes
from rec_platform.training.engine.columns import Candidates
from rec_platform.training.engine.module import model_config
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment, build_experiment
from rec_platform.training.settings import DQNSettings
from rec_platform.training.world import build_world

SIMULATOR = InterestEvolutionConfig(slate_size=1, num_candidates=10)
USERS = 64
REPORT_STEPS = {"stock_dqn": 16, "stock_dqn_512": 320, "stock_dqn_vector": 320}
REQUIRED_RATIO = 5.0


def main() -> None:
    """Run the rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="wall time of a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    register_env("users", users_creator(lambda: InterestEvolution(SIMULATOR)))
    slateq, dqn = columnar_experiment("slateq"), columnar_experiment("dqn")
    with ray_session(dqn.resources):
        contestants = [
            *(Contestant(e.name, build_algorithm(e, build_world(e, Path()))) for e in (slateq, dqn)),
            *(Contestant(name, stock_algorithm(dqn, name)) for name in REPORT_STEPS),
        ]
        results = compete(contestants, rounds=arguments.rounds, seconds=arguments.seconds)
    rates = {name: row["trained_rows_per_cpu_second"] for name, row in results.items()}
    pairs = [(ours, stock) for ours in ("slateq", "dqn") for stock in REPORT_STEPS]
    ratios = {f"{ours}/{stock}": round(rates[ours] / rates[stock], 2) for ours, stock in pairs}
    print(json.dumps({"results": list(results.values()), "ratios": ratios, "required_ratio": REQUIRED_RATIO}))


def columnar_experiment(kind: str) -> Experiment:
    """As `experiments/interest_evolution_slateq.yaml` has it, for slates of one item, and nothing that ends it."""
    return build_experiment(
        {
            "name": kind,
            "seed": 1,
            "simulator": {"kind": "interest_evolution", **SIMULATOR.model_dump()},
            "policy": {"encoder": "none", "head": "dot", "hidden": [128, 128], "item_ids": False},
            "algorithm": {
                "kind": kind, "learning_rate": 3e-3, "value_scale": 50, "n_step": 5, "minibatch": 512, "fragment": 16,
                "epsilon_fraction": 0.001,
            },
            "resources": {"env_runners": 0, "users_per_runner": USERS},
            "stop": {"env_steps": 100_000_000},
        }
    )  # fmt: skip


def stock_algorithm(experiment: Experiment, name: str) -> Algorithm:
    """RLlib's own DQN with the network of ``experiment``: as shipped, or with its amounts (see the module)."""
    settings = experiment.algorithm
    assert isinstance(settings, DQNSettings)
    simulator = InterestEvolution(SIMULATOR)
    sizes = state_sizes(simulator.spec)
    network = recipe_of(experiment).network
    model = model_config(network, experiment.policy, sizes, simulator.item_features, settings, seed=experiment.seed)
    config = (
        DQNConfig()
        .environment("users")
        .env_runners(num_env_runners=0)
        .learners(num_learners=0)
        .reporting(min_sample_timesteps_per_iteration=REPORT_STEPS[name])
        .rl_module(rl_module_spec=RLModuleSpec(module_class=StockItemValueModule, model_config=model))
        .debugging(seed=experiment.seed, log_level="ERROR")
    )
    if name != "stock_dqn":
        vector = name == "stock_dqn_vector"
        mode = gym.VectorizeMode.VECTOR_ENTRY_POINT if vector else gym.VectorizeMode.SYNC
        decay = int(settings.epsilon_fraction * experiment.stop.env_steps)
        config.env_runners(num_envs_per_env_runner=USERS, gym_env_vectorize_mode=mode)
        config.training(
            train_batch_size=settings.minibatch,
            training_intensity=settings.minibatch / USERS,
            n_step=settings.n_step,
            lr=settings.learning_rate,
            gamma=settings.gamma,
            grad_clip=settings.gradient_clip,
            epsilon=[(0, 1.0), (decay, settings.epsilon_end)],
            tau=settings.polyak,
            target_network_update_freq=1,
            num_steps_sampled_before_learning_starts=settings.learning_starts,
            replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": settings.replay_capacity},
        )
    return config.build_algo()


class StockItemValueModule(DefaultDQNTorchRLModule, DQNModule):
    """RLlib's DQN module, with our network where its encoder and heads would be."""

    def setup(self) -> None:
        DQNModule.setup(self)
        self.uses_double_q, self.uses_dueling = self.settings.double, self.settings.dueling
        self.num_atoms = 1
        self.epsilon_schedule = Scheduler(fixed_value_or_schedule=self.model_config["epsilon"], framework="torch")

    def get_initial_state(self) -> dict[str, Any]:
        return {}

    def get_non_inference_attributes(self) -> list[str]:
        return ["target"]

    def make_target_networks(self) -> None:
        self.make_target()

    def get_target_network_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.network, self.target)]

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return self._values(self.network, batch)

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return self._values(self.target, batch)

    def _values(self, network: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
        observation = batch[Columns.OBS]
        nothing = observation["context"][:, :0]  # no history here, and Gymnasium has no spaces of size 0
        observation = {"history": nothing, "history_feedback": nothing, **observation}
        (values,) = Candidates.of(observation, self.num_items).scores(network, observation)
        return {QF_PREDS: values}


if __name__ == "__main__":
    main()
