"""One experiment from its YAML to a registered model version: simulators, training, evaluation, bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rec_platform.evaluation.rollout import Rollout, rollout
from rec_platform.policies.policy import Policy
from rec_platform.policies.rewards import RewardRule
from rec_platform.registry.bundle import write_bundle
from rec_platform.registry.manifest import ObservationContract
from rec_platform.registry.registry import ModelRegistry
from rec_platform.training.baselines import baselines
from rec_platform.training.experiment import Experiment
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.progress import Progress
from rec_platform.training.trainer import Trained, train
from rec_platform.training.world import World, build_world


@dataclass(frozen=True)
class Run:
    """What came of an experiment.

    Attributes:
        experiment, world, trained: see their classes.
        version: the model version it was registered under; the model has the experiment's name.
        rollouts: of the trained policy with and without exploration and of the baselines, on fresh users.
    """

    experiment: Experiment
    world: World
    trained: Trained
    version: int
    rollouts: dict[str, Rollout]

    @property
    def env_steps(self) -> int:
        return self.trained.curve[-1].env_steps if self.trained.curve else 0


def run_experiment(
    experiment: Experiment,
    home: Path,
    *,
    resume: bool = False,
    compare: bool = True,
    on_phase: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Train, judge and register.

    Args:
        home: the platform's state folder.
        compare: also judge the baselines.
        on_phase: told in words what begins.
    """
    on_phase("preparing simulated users")
    world = build_world(experiment, home / "simulators")
    on_phase("training")
    folder = home / "runs" / experiment.name
    trained = train(experiment, world, folder, resume=resume, on_progress=on_progress)
    on_phase("evaluating on fresh users")
    relevance = trained.relevance.scorer if trained.relevance else None
    others = baselines(world, relevance, trained.tuning) if compare else []
    own = [trained.greedy, trained.policy] if trained.policy.sampler is not trained.greedy.sampler else [trained.greedy]
    rollouts = evaluate_policies([*others, *own], experiment, world)
    on_phase("registering")
    version = register(experiment, world, trained, home, rollouts)
    return Run(experiment, world, trained, version, rollouts)


def evaluate_policies(
    policies: list[Policy],
    experiment: Experiment | FittedExperiment,
    world: World,
    *,
    rewards: RewardRule | None = None,
) -> dict[str, Rollout]:
    """All policies on the same fresh users of the evaluation simulator, by name.

    Args:
        rewards: see `rollout`.
    """
    settings = experiment.evaluation
    return {
        policy.name: rollout(policy, world.evaluation, users=settings.users, seed=settings.seed, rewards=rewards)
        for policy in policies
    }


def register(experiment: Experiment, world: World, trained: Trained, home: Path, rollouts: dict[str, Rollout]) -> int:
    """Write the bundle into the registry under the experiment's name; its new version."""
    spec = world.train.spec

    def write(folder: Path) -> None:
        write_bundle(
            folder,
            policy=trained.policy,
            greedy_sampler=trained.greedy.sampler,
            catalog=world.catalog,
            observation=ObservationContract(
                history_length=spec.history_length,
                user_feature_names=spec.user_feature_names,
                context_names=spec.context_names,
                slate_size=spec.slate_size,
                full_catalogue=spec.full_catalogue,
                max_session_slates=spec.max_steps or 30,
            ),
            feedback=world.rule,
            name=experiment.name,
            user_encoder=world.encoder.to_dict() if world.encoder else None,
            experiment=experiment.to_dict(),
            dataset=world.dataset,
            seed=experiment.seed,
            metrics=_metrics(rollouts),
            lineage={
                "run": experiment.name,
                "env_steps": trained.curve[-1].env_steps if trained.curve else 0,
                "gradient_steps": trained.curve[-1].gradient_steps if trained.curve else 0,
            },
        )

    return ModelRegistry(home).register(experiment.name, write)


def _metrics(rollouts: dict[str, Rollout]) -> dict[str, Any]:
    return {name: result.to_dict() for name, result in rollouts.items()}
