"""Train one experiment: warm start, the loop with its checkpoints, and the policies that come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rec_platform.policies.networks.export import export_scorer
from rec_platform.policies.networks.torch_state import one_thread
from rec_platform.policies.policy import Policy
from rec_platform.training.baselines import Tuning, tune_diversity
from rec_platform.training.build import build_network, served_samplers
from rec_platform.training.engine.columns import Columns
from rec_platform.training.engine.ray_session import ray_session
from rec_platform.training.experiment import Experiment
from rec_platform.training.loop import TrainingLoop
from rec_platform.training.progress import Progress
from rec_platform.training.start.earlier_run import weights_of_run
from rec_platform.training.start.warm_start import (
    example_observation,
    fit_warm_start,
    myopic_policy,
    starting_weights,
)
from rec_platform.training.world import World

LEAST_WEIGHT = 0.1
"""Of likeness, in log-odds: training may have to raise it, and it is a positive multiple of where it starts."""


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        policy: the policy that is served: it explores as the experiment says.
        greedy: the same without exploration.
        relevance: the warm start as a policy of its own, greedy; None where there was none.
        tuning: the diversity weight that is best with that relevance for the users who judge.
        curve: the progress, oldest first.
        judged: (steps, mean return) of the networks the best was chosen from.
        weights: of the network that was kept.
    """

    policy: Policy
    greedy: Policy
    relevance: Policy | None
    tuning: Tuning | None
    curve: list[Progress]
    judged: list[tuple[int, float]]
    weights: Columns


def train(
    experiment: Experiment,
    world: World,
    folder: Path,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train on a local Ray or the one that is running.

    Args:
        folder: the run's own; holds the experiment, the progress and the checkpoint.
        resume: go on from the checkpoint in ``folder``.

    Raises:
        InputError: nothing to resume, a checkpoint of another experiment, or resources that the cluster lacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    loop = TrainingLoop(experiment, world, folder, on_progress=on_progress)
    if resume:
        loop.load()  # refuse before the warm start is fitted
    with one_thread():
        relevance = fit_warm_start(experiment, world)
        myopic = myopic_policy(experiment, world, relevance)
        tuning = None
        if myopic is not None:
            tuning = tune_diversity(world, myopic.scorer, seed=experiment.seed)
        weights = starting_weights(experiment, world, relevance)
        if experiment.policy.start_from is not None and not resume:  # else the checkpoint holds what became of it
            weights = weights_of_run(experiment, world, folder.parent / experiment.policy.start_from)
        if experiment.policy.tune_diversity and tuning is not None:
            weight = max(tuning.best, LEAST_WEIGHT) * (experiment.algorithm.likeness_unit or 1.0)
            policy = experiment.policy.model_copy(update={"diversity": weight})
            experiment = experiment.model_copy(update={"policy": policy})
        with ray_session(experiment.resources):
            kept = loop.run(experiment, weights, resume=resume)
        return _trained(experiment, world, kept, myopic, tuning, loop)


def _trained(
    experiment: Experiment,
    world: World,
    kept: Columns,
    myopic: Policy | None,
    tuning: Tuning | None,
    loop: TrainingLoop,
) -> Trained:
    network = build_network(experiment, world, kept)
    scorer = export_scorer(network, example_observation(experiment, world), num_items=len(world.catalog))
    greedy, exploring = served_samplers(experiment)
    kind = experiment.algorithm.kind
    return Trained(
        policy=Policy(f"{kind}_exploring", scorer, exploring),
        greedy=Policy(kind, scorer, greedy),
        relevance=myopic,
        tuning=tuning,
        curve=loop.curve,
        judged=loop.selection.judged,
        weights=kept,
    )
