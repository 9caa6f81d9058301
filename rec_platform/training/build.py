"""From an experiment to an RLlib algorithm that is ready to train."""

from __future__ import annotations

from typing import cast

import ray
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import nn

from rec_platform.policies.networks.candidate_network import CandidateNetwork
from rec_platform.policies.networks.config import StateSizes
from rec_platform.policies.policy import Sampler
from rec_platform.simulation.simulator import Simulator, SimulatorSpec
from rec_platform.training.algorithms import RECIPES
from rec_platform.training.engine.algorithm import ColumnarAlgorithm, ColumnarConfig
from rec_platform.training.engine.columns import Columns
from rec_platform.training.engine.env_runner import ColumnarEnvRunner
from rec_platform.training.engine.module import load_weights, model_config
from rec_platform.training.engine.recipe import Recipe
from rec_platform.training.experiment import Experiment
from rec_platform.training.returns.logged import LoggedRows
from rec_platform.training.settings.offline import OfflineSettings, OfflineValueSettings
from rec_platform.training.world import World


def recipe_of(experiment: Experiment) -> Recipe:
    """The parts of the experiment's algorithm."""
    return RECIPES[experiment.algorithm.kind]


def state_sizes(spec: SimulatorSpec) -> StateSizes:
    """The sizes a network needs of a simulator."""
    return StateSizes(spec.history_length, len(spec.user_feature_names), len(spec.context_names), spec.slate_size)


def build_network(experiment: Experiment, world: World, weights: Columns | None = None) -> CandidateNetwork:
    """The experiment's network alone, out of RLlib, ready to score.

    Args:
        weights: parameters by name; missing ones keep their initial values.
    """
    sizes, items = state_sizes(world.train.spec), world.train.item_features
    network = recipe_of(experiment).network(experiment.policy, sizes, items, experiment.algorithm)
    load_weights(network, weights or {})
    evaluated: nn.Module = network.eval()
    assert isinstance(evaluated, CandidateNetwork)
    return evaluated


def served_samplers(experiment: Experiment) -> tuple[Sampler, Sampler]:
    """How the policy is served without exploration, and with the experiment's."""
    return recipe_of(experiment).samplers(experiment.algorithm, experiment.policy.exploration)


def total_steps(experiment: Experiment) -> int:
    """What counts as all of training: env steps, or gradient steps of an offline algorithm."""
    stop = experiment.stop
    return stop.gradient_steps if experiment.algorithm.offline else stop.env_steps


def build_algorithm(experiment: Experiment, world: World, *, weights: Columns | None = None) -> ColumnarAlgorithm:
    """Build the algorithm, its learners and its env runners on the running Ray.

    Args:
        weights: parameters by name that replace initial ones (warm start).
    """
    recipe, settings, resources = recipe_of(experiment), experiment.algorithm, experiment.resources
    simulator = world.train
    if getattr(settings, "credit", None) == "auto":
        credit = "consumed" if simulator.spec.single_choice else "slate"
        settings = settings.model_copy(update={"credit": credit})
    config: ColumnarConfig = recipe.loop.get_default_config()
    config.settings, config.recipe = settings, recipe
    config.total = total_steps(experiment)
    if isinstance(settings, OfflineSettings):
        config.logged = _logged_rows(experiment, world)
    else:
        _sample_users(config, experiment, simulator)
    config.learners(num_learners=resources.learners, num_gpus_per_learner=resources.gpus_per_learner)
    config.training(minibatch_size=settings.minibatch, gamma=settings.gamma)
    model = model_config(
        recipe.network,
        experiment.policy,
        state_sizes(simulator.spec),
        simulator.item_features,
        settings,
        seed=experiment.seed,
        weights=weights,
    )
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=recipe.module, model_config=model))
    config.debugging(seed=experiment.seed, log_level="ERROR")
    return cast(ColumnarAlgorithm, config.build_algo())


def _logged_rows(experiment: Experiment, world: World) -> LoggedRows | ray.ObjectRef:
    """The log as rows; where learners are actors a reference, for the configuration travels to them."""
    settings = experiment.algorithm
    assert isinstance(settings, OfflineSettings)
    assert world.logged is not None
    n = settings.n_step if isinstance(settings, OfflineValueSettings) else 1
    rows = LoggedRows.build(world.logged, learns_from=settings.learns_from, n=n, gamma=settings.gamma)
    return ray.put(rows) if experiment.resources.learners else rows


def _sample_users(config: ColumnarConfig, experiment: Experiment, simulator: Simulator) -> None:
    """The env runners and what they simulate."""
    settings, resources = experiment.algorithm, experiment.resources
    remote = resources.env_runners > 0
    config.environment(
        "rec_platform",
        env_config={
            "simulator": ray.put(simulator) if remote else simulator,
            "assembler": recipe_of(experiment).rows(settings),
            "seed": experiment.seed,
            "fragment": getattr(settings, "fragment", 1),
        },
    )
    config.env_runners(
        env_runner_cls=ColumnarEnvRunner,
        num_env_runners=resources.env_runners,
        num_envs_per_env_runner=resources.users_per_runner,
        max_requests_in_flight_per_env_runner=getattr(settings, "in_flight", 1),
    )
    config.fault_tolerance(
        restart_failed_env_runners=True, ignore_env_runner_failures=True, delay_between_env_runner_restarts_s=0
    )
