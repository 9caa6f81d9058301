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
from rec_platform.policies.online import OnlineLearner, OnlineSettings
from rec_platform.policies.policy import Policy, Scorer
from rec_platform.registry.bundle import write_bundle
from rec_platform.registry.manifest import DatasetReference, ObservationContract
from rec_platform.registry.registry import ModelRegistry
from rec_platform.training.baselines import baselines
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.fitted_policy import (
    Learned,
    learned,
    played_policy,
    ranked_policy,
    simulated_policy,
    with_request_context,
)
from rec_platform.training.play import LearningPoint
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
        curve: how a learner learned from simulated users; empty for others.
        cpu_seconds: of the last fit, to all of the log, or of a learner's play.
    """

    experiment: FittedExperiment
    version: int
    task: RankingTask | None
    ranking: RankingResult | None
    rollouts: dict[str, Rollout]
    curve: list[LearningPoint]
    cpu_seconds: float


def run_fitted(
    experiment: FittedExperiment,
    home: Path,
    *,
    on_phase: Callable[[str], None] = lambda _: None,
    on_point: Callable[[LearningPoint], None] = lambda _: None,
) -> FittedRun:
    """Judge what is fitted to a part of the log, then fit to all of it and register that.

    A learner that has played with simulated users is registered as it then is, as any policy is that was trained with
    them.

    Args:
        home: the platform's state folder.
        on_phase: told in words what begins.
        on_point: told how a learner learns.

    Raises:
        InputError: the log is too short, or lacks what the recommender needs.
    """
    dataset = Dataset.open(experiment.data.dataset)
    log, rule = read_log(dataset, experiment.data.positives)
    if experiment.policy.slate_size > len(log.catalog):
        problem = f"{experiment.policy.slate_size} is above the {len(log.catalog)} items of the log"
        raise InputError("policy.slate_size", problem)
    settings = experiment.evaluation
    task, ranking = None, None
    if settings.split != "none":
        on_phase("fitting to the earlier part, ranking the rest")
        task = RankingTask.cut(dataset.name, log, split=settings.split)
        ranking = task.evaluate(
            ranked_policy(experiment, task.log), k=settings.k, context_names=experiment.algorithm.context_names
        )
    simulated = _Simulated({}, None, 0.0)
    if experiment.simulator is not None:
        simulated = _simulated(experiment, home, on_phase, on_point)
    began, learner, seconds = time.process_time(), None, simulated.cpu_seconds
    if simulated.learned is not None:
        learner = simulated.learned.learner
    else:
        on_phase("fitting to all of the log")
        if isinstance(experiment.algorithm, OnlineSettings):
            learner = experiment.algorithm.learner(log, experiment.seed, slate_size=experiment.slate_size)
        scorer = learner.scorer() if learner else experiment.algorithm.fit(log, experiment.seed)
        seconds = time.process_time() - began
    scorer = learner.scorer() if learner else scorer
    metrics: dict[str, Any] = {name: result.to_dict() for name, result in simulated.rollouts.items()}
    curve = simulated.learned.curve if simulated.learned else []
    if curve:
        metrics = {"learning": curve[-1].to_dict()} | metrics
    if ranking is not None:
        metrics = {"ranking": ranking.to_dict()} | metrics
    version = _register(experiment, home, dataset, log, rule, scorer, learner, metrics)
    return FittedRun(experiment, version, task, ranking, simulated.rollouts, curve, seconds)


@dataclass(frozen=True)
class _Simulated:
    rollouts: dict[str, Rollout]
    learned: Learned | None
    cpu_seconds: float


def _simulated(
    experiment: FittedExperiment,
    home: Path,
    on_phase: Callable[[str], None],
    on_point: Callable[[LearningPoint], None],
) -> _Simulated:
    """Rollouts of what is fitted to the training users, with users that a simulator of the others makes."""
    on_phase("preparing simulated users")
    world = build_world(experiment, home / "simulators")
    others = [policy for policy in baselines(world, None, None) if policy.name != experiment.algorithm.kind]
    began, found, rewards = time.process_time(), None, None
    if isinstance(experiment.algorithm, OnlineSettings):
        on_phase("learning from simulated training users")
        found = learned(experiment, world, on_point=on_point)
        own = [found.start, played_policy(experiment, found)]
        rewards = experiment.algorithm.rewards
    else:
        on_phase("fitting to the training users")
        own = [simulated_policy(experiment, world)]
    seconds = time.process_time() - began
    on_phase("playing with the other users")
    seen = with_request_context(experiment, world)
    return _Simulated(evaluate_policies([*others, *own], experiment, seen, rewards=rewards), found, seconds)


def _register(
    experiment: FittedExperiment,
    home: Path,
    dataset: Dataset,
    log: FitLog,
    rule: FeedbackRule,
    scorer: Scorer,
    learner: OnlineLearner | None,
    metrics: dict[str, Any],
) -> int:
    served, algorithm, encoder = experiment.policy, experiment.algorithm, dataset.user_encoder()

    def write(folder: Path) -> None:
        write_bundle(
            folder,
            policy=Policy(algorithm.kind, scorer, algorithm.served_sampler(served.exploration)),
            greedy_sampler=algorithm.greedy_sampler(),
            catalog=log.catalog,
            observation=ObservationContract(
                history_length=served.history,
                user_feature_names=encoder.names,
                context_names=algorithm.context_names,
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
            learner=None if learner is None else learner.state(),
        )

    return ModelRegistry(home).register(experiment.name, write)
