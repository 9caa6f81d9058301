"""A fitted recommender from its YAML to a registered model version."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.evaluation.ranking.evaluate import RankingResult
from rec_platform.evaluation.ranking.task import RankingTask, read_log
from rec_platform.evaluation.rollout import Rollout
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.policy import Policy, Sampler, Scorer
from rec_platform.policies.samplers import EpsilonGreedy, Greedy
from rec_platform.registry.bundle import write_bundle
from rec_platform.registry.manifest import DatasetReference, ObservationContract
from rec_platform.registry.registry import ModelRegistry
from rec_platform.training.baselines import baselines
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.run import evaluate_policies
from rec_platform.training.world import build_world


@dataclass(frozen=True)
class FittedRun:
    """What came of it.

    Attributes:
        experiment: see its class.
        version: the model version it was registered under; the model has the experiment's name.
        task: the held-out part; None where nothing was held back.
        ranking: how the recommender fitted to the earlier part ranks it; None with it.
        rollouts: of the recommender and of baselines on fresh simulated users; empty without a simulator.
        cpu_seconds: of the last fit, to all of the log.
    """

    experiment: FittedExperiment
    version: int
    task: RankingTask | None
    ranking: RankingResult | None
    rollouts: dict[str, Rollout]
    cpu_seconds: float


def run_fitted(
    experiment: FittedExperiment, home: Path, *, on_phase: Callable[[str], None] = lambda _: None
) -> FittedRun:
    """Judge what is fitted to a part of the log, then fit to all of it and register that.

    Args:
        home: the platform's state folder.
        on_phase: told in words what begins.

    Raises:
        InputError: the log is too short, or lacks what the recommender needs.
    """
    dataset = Dataset.open(experiment.data.dataset)
    log, rule = read_log(dataset, experiment.data.positives)
    if experiment.policy.slate_size > len(log.catalog):
        problem = f"{experiment.policy.slate_size} is above the {len(log.catalog)} items of the log"
        raise InputError("policy.slate_size", problem)
    kind, settings = experiment.algorithm.kind, experiment.evaluation
    task, ranking = None, None
    if settings.split != "none":
        on_phase("fitting to the earlier part, ranking the rest")
        task = RankingTask.cut(dataset.name, log, split=settings.split)
        held = Policy(kind, experiment.algorithm.fit(task.log, experiment.seed), Greedy())
        ranking = task.evaluate(held, k=settings.k)
    rollouts = _simulated(experiment, home, on_phase) if experiment.simulator is not None else {}
    on_phase("fitting to all of the log")
    began = time.process_time()
    scorer = experiment.algorithm.fit(log, experiment.seed)
    seconds = time.process_time() - began
    metrics = {name: result.to_dict() for name, result in rollouts.items()}
    if ranking is not None:
        metrics = {"ranking": ranking.to_dict()} | metrics
    version = _register(experiment, home, dataset, log, rule, scorer, metrics)
    return FittedRun(experiment, version, task, ranking, rollouts, seconds)


def _simulated(experiment: FittedExperiment, home: Path, on_phase: Callable[[str], None]) -> dict[str, Rollout]:
    """Rollouts of what is fitted to the training users, with users that a simulator of the others makes."""
    on_phase("preparing simulated users")
    world = build_world(experiment, home / "simulators")
    assert world.histories is not None
    assert world.user_features is not None
    on_phase("fitting to the training users, playing with the others")
    log = FitLog(world.histories, world.catalog, world.user_features)
    own = Policy(experiment.algorithm.kind, experiment.algorithm.fit(log, experiment.seed), Greedy())
    policies = [policy for policy in baselines(world, None, None) if policy.name != own.name]
    return evaluate_policies([*policies, own], experiment, world)


def _register(
    experiment: FittedExperiment,
    home: Path,
    dataset: Dataset,
    log: FitLog,
    rule: FeedbackRule,
    scorer: Scorer,
    metrics: dict[str, Any],
) -> int:
    served, encoder = experiment.policy, dataset.user_encoder()
    sampler: Sampler = EpsilonGreedy(served.exploration) if served.exploration else Greedy()

    def write(folder: Path) -> None:
        write_bundle(
            folder,
            policy=Policy(experiment.algorithm.kind, scorer, sampler),
            greedy_sampler=Greedy(),
            catalog=log.catalog,
            observation=ObservationContract(
                history_length=served.history,
                user_feature_names=encoder.names,
                slate_size=served.slate_size,
                full_catalogue=False,
            ),
            feedback=rule,
            name=experiment.name,
            user_encoder=encoder.to_dict() if encoder.names else None,
            experiment=experiment.to_dict(),
            dataset=DatasetReference(name=dataset.name, hash=dataset.hash),
            seed=experiment.seed,
            metrics=metrics,
            lineage={"fitted_to": dataset.name},
        )

    return ModelRegistry(home).register(experiment.name, write)
