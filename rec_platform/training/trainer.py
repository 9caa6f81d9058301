"""Train one experiment: warm start, the loop with its checkpoints, and the policies that come out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, EPISODE_LEN_MEAN, EPISODE_RETURN_MEAN
from torch import nn

from rec_platform.errors import InputError
from rec_platform.policies.networks.slate import ActorCritic, SlateValue
from rec_platform.policies.policy import Policy, Sampler
from rec_platform.policies.samplers import EpsilonGreedy, Greedy, PlackettLuce, RatioOptimal
from rec_platform.training.algorithms import (
    Weights,
    build_algorithm,
    get_learner_state,
    set_learner_state,
    state_sizes,
)
from rec_platform.training.baselines import Tuning, tune_diversity
from rec_platform.training.checkpoint import load_checkpoint, save_checkpoint
from rec_platform.training.columnar_env_runner import CPU_SECONDS
from rec_platform.training.experiment import Experiment
from rec_platform.training.export import export_scorer
from rec_platform.training.modules import load_weights
from rec_platform.training.ppo import env_steps
from rec_platform.training.ray_session import ray_session
from rec_platform.training.selection import Selection
from rec_platform.training.slateq import SlateQ
from rec_platform.training.warm_start import example_observation, fit_warm_start, myopic_policy, starting_weights
from rec_platform.training.world import World

CHECKPOINT_SECONDS = 20.0
STALLED_SECONDS = 60.0
"""RLlib restarts env runners that fail without end; after so long without a sample training fails instead."""
PROGRESS = "progress.jsonl"


@dataclass(frozen=True, slots=True)
class Progress:
    """One iteration.

    Attributes:
        env_steps, total_steps: simulated slates so far and in all.
        episode_return, episode_length: mean of the sessions that ended lately; NaN before any did.
        steps_per_second: since the start of this run, wall time.
        seconds_left: at that rate.
        wall_seconds, cpu_seconds: of the loop, earlier runs included; CPU of this process and the env runners, without
            fitting the users and the warm start, and without remote learners.
        losses: the learner's own figures.
    """

    env_steps: int
    total_steps: int
    episode_return: float
    episode_length: float
    steps_per_second: float
    seconds_left: float
    wall_seconds: float
    cpu_seconds: float
    losses: dict[str, float]


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        policy: the policy that is served: it explores as the experiment says.
        greedy: the same without exploration.
        relevance: the warm start as a policy of its own, greedy; None where there was none.
        tuning: the diversity weight that is best with that relevance in the training simulator.
        curve: the progress, oldest first.
        judged: (environment steps, return in the training simulator) of the networks the best was chosen from.
    """

    policy: Policy
    greedy: Policy
    relevance: Policy | None
    tuning: Tuning | None
    curve: list[Progress]
    judged: list[tuple[int, float]]


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
    identity = _identity(experiment, world)
    state: dict[str, Any] | None = None
    if resume:
        state = load_checkpoint(folder / "checkpoint")
        if state["experiment"] != identity:
            raise InputError(str(folder), "the checkpoint is of another experiment", "train without --resume")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        relevance = fit_warm_start(experiment, world)
        myopic = myopic_policy(experiment, world, relevance)
        tuning = None
        if myopic is not None:
            tuning = tune_diversity(world, myopic.scorer, seed=experiment.seed)
        weights = starting_weights(experiment, relevance)
        if experiment.policy.tune_diversity and tuning is not None:
            policy = experiment.policy.model_copy(update={"diversity": max(tuning.best, 0.1)})
            experiment = experiment.model_copy(update={"policy": policy})
        with ray_session(experiment.resources):
            network, curve, judged = _loop(experiment, world, folder, identity, weights, state, on_progress)
        return _policies(experiment, world, network, myopic, tuning, curve, judged)
    finally:
        torch.set_num_threads(threads)


def _identity(experiment: Experiment, world: World) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on from; longer training and more runners are welcome."""
    content = json.loads(json.dumps(experiment.to_dict()))
    for section in ("stop", "evaluation", "resources", "data"):
        content.pop(section)
    content["dataset"] = world.dataset.hash if world.dataset else None
    return content


def _loop(
    experiment: Experiment,
    world: World,
    folder: Path,
    identity: dict[str, Any],
    weights: Weights | None,
    state: dict[str, Any] | None,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[nn.Module, list[Progress], list[tuple[int, float]]]:
    total = experiment.stop.env_steps
    start = int(state["env_steps"]) if state else 0
    curve = [Progress(**line) for line in state["curve"]] if state else []
    spent_wall, spent_cpu = (curve[-1].wall_seconds, curve[-1].cpu_seconds) if curve else (0.0, 0.0)
    selection = Selection(
        world.train,
        _samplers(experiment)[0],
        every=math.ceil(total / experiment.evaluation.judgements) if experiment.evaluation.judgements else 0,
        users=experiment.evaluation.judging_users,
        seed=experiment.evaluation.seed + 1,
    )
    if state:
        selection.judged = [tuple(pair) for pair in state["judged"]]
        selection.weights = state["best"]
    algorithm = build_algorithm(experiment, world.train, weights=weights, start_steps=start)
    try:
        if state:
            set_learner_state(algorithm, state["learner"])
            if isinstance(algorithm, SlateQ):
                algorithm.replay.set_state(state["replay"])
        began, began_cpu = time.perf_counter(), time.process_time()
        saved, moved, runner_cpu, done = began, began, 0.0, start
        with (folder / PROGRESS).open("w") as log:
            for line in curve:
                log.write(json.dumps(asdict(line)) + "\n")
            while done < total:
                result = algorithm.train()
                if env_steps(algorithm) == done:
                    if time.perf_counter() - moved > STALLED_SECONDS:
                        raise RuntimeError(
                            f"no env runner returned a sample for {STALLED_SECONDS:.0f} s; Ray's worker logs say why"
                        )
                    time.sleep(0.5)
                    continue
                done, moved = env_steps(algorithm), time.perf_counter()
                wall = moved - began
                runners = result.get(ENV_RUNNER_RESULTS, {})
                runner_cpu += float(runners.get(CPU_SECONDS, 0.0)) if experiment.resources.env_runners else 0.0
                rate = (done - start) / wall
                curve.append(
                    Progress(
                        env_steps=done,
                        total_steps=total,
                        episode_return=float(runners.get(EPISODE_RETURN_MEAN, float("nan"))),
                        episode_length=float(runners.get(EPISODE_LEN_MEAN, float("nan"))),
                        steps_per_second=rate,
                        seconds_left=max(total - done, 0) / rate if rate else float("nan"),
                        wall_seconds=spent_wall + wall,
                        cpu_seconds=spent_cpu + time.process_time() - began_cpu + runner_cpu,
                        losses=_losses(result),
                    )
                )
                log.write(json.dumps(asdict(curve[-1])) + "\n")
                log.flush()
                if on_progress:
                    on_progress(curve[-1])
                _check_finite(curve[-1])
                if selection.due(done, total):
                    now = get_learner_state(algorithm)["network"]
                    selection.judge(done, trained_network(experiment, world, now), now)
                if time.perf_counter() - saved > CHECKPOINT_SECONDS or done >= total:
                    _save(algorithm, folder, identity, done, curve, selection)
                    saved = time.perf_counter()
        kept = selection.weights or get_learner_state(algorithm)["network"]
        return trained_network(experiment, world, kept), curve, selection.judged
    finally:
        algorithm.stop()


def _check_finite(line: Progress) -> None:
    """Stop before a diverged network is saved or judged."""
    broken = [name for name, value in line.losses.items() if not math.isfinite(value)]
    if broken:
        raise InputError(
            "algorithm.learning_rate",
            f"training diverged after {line.env_steps} slates: {', '.join(broken)} is not a finite number",
            "lower it, or lower algorithm.gradient_clip",
        )


def _losses(result: dict[str, Any]) -> dict[str, float]:
    known = (
        "policy_loss",
        "vf_loss",
        "vf_explained_var",
        "entropy",
        "mean_kl_loss",
        "td_loss",
        "choice_loss",
        "q_mean",
    )
    learner = result.get("learners", {}).get("default_policy", {})
    return {name: float(learner[name]) for name in known if name in learner}


def _save(
    algorithm: Algorithm,
    folder: Path,
    identity: dict[str, Any],
    done: int,
    curve: list[Progress],
    selection: Selection,
) -> None:
    state: dict[str, Any] = {
        "experiment": identity,
        "env_steps": done,
        "learner": get_learner_state(algorithm),
        "curve": [asdict(line) for line in curve],
        "judged": selection.judged,
        "best": selection.weights,
    }
    if isinstance(algorithm, SlateQ):
        state["replay"] = algorithm.replay.get_state()
    save_checkpoint(folder / "checkpoint", state)


def trained_network(experiment: Experiment, world: World, weights: Weights) -> nn.Module:
    """The network of ``weights`` (a checkpoint's ``best``, or its learner's) alone, out of RLlib, ready to score."""
    arguments = (experiment.policy, state_sizes(world.train.spec), world.catalog.features)
    network: nn.Module
    if experiment.algorithm.kind == "ppo":
        network = ActorCritic(*arguments)
    else:
        network = SlateValue(*arguments, value_scale=experiment.algorithm.value_scale)
    load_weights(network, {n.removeprefix("network."): w for n, w in weights.items() if n.startswith("network.")})
    return network.eval()


def _policies(
    experiment: Experiment,
    world: World,
    network: nn.Module,
    myopic: Policy | None,
    tuning: Tuning | None,
    curve: list[Progress],
    judged: list[tuple[int, float]],
) -> Trained:
    scorer = export_scorer(network, example_observation(experiment, world))
    greedy, exploring = _samplers(experiment)
    kind = experiment.algorithm.kind
    return Trained(
        policy=Policy(f"{kind}_exploring", scorer, exploring),
        greedy=Policy(kind, scorer, greedy),
        relevance=myopic,
        tuning=tuning,
        curve=curve,
        judged=judged,
    )


def _samplers(experiment: Experiment) -> tuple[Sampler, Sampler]:
    """How the policy is served without exploration, and with the experiment's."""
    strength = experiment.policy.exploration
    if experiment.algorithm.kind == "ppo":
        return Greedy(), PlackettLuce(strength) if strength else Greedy()
    return RatioOptimal(), EpsilonGreedy(strength, RatioOptimal()) if strength else RatioOptimal()
