"""The training loop around RLlib's iterations: progress, judgements, checkpoints, and going on after a failure."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from rec_platform.errors import InputError
from rec_platform.training.build import build_algorithm, build_network, served_samplers, total_steps
from rec_platform.training.engine.algorithm import ColumnarAlgorithm, foreach_learner
from rec_platform.training.engine.checkpoint import load_checkpoint, save_checkpoint
from rec_platform.training.engine.columns import Columns
from rec_platform.training.experiment import Experiment
from rec_platform.training.progress import Progress, Recorder
from rec_platform.training.selection import Selection
from rec_platform.training.world import World

CHECKPOINT = "checkpoint"
STALLED_SECONDS = 60.0
"""RLlib restarts env runners that fail without end; after so long without a sample training fails instead."""
RESTARTS = 3
"""Times that a run without progress in between is taken up again from its checkpoint after a worker died."""


class TrainingLoop:
    """One run of an experiment, from its start or its last checkpoint to its end.

    Attributes:
        curve: the progress, oldest first.
        selection: the judgements, and the best network so far.
    """

    def __init__(
        self,
        experiment: Experiment,
        world: World,
        folder: Path,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.experiment, self.world, self.folder = experiment, world, folder
        self._identity = identity(experiment, world)
        self._weights: Columns | None = None
        self._tell = on_progress or (lambda _: None)
        self.curve: list[Progress] = []
        self.selection = self._fresh_selection()

    def run(self, experiment: Experiment, weights: Columns | None, *, resume: bool) -> Columns:
        """Train to the end; the weights of the network that is kept.

        Args:
            experiment: the run's, with what the warm start found out filled in.
            weights: parameters by name that replace initial ones (warm start).

        Raises:
            InputError: nothing to resume, a checkpoint of another experiment, or training that diverged.
        """
        self.experiment, self._weights = experiment, weights
        state = self.load() if resume else None
        failures, reached = 0, 0
        while True:
            try:
                return self._run(state)
            except ray.exceptions.RayError as error:
                done = self.curve[-1].done if self.curve else 0
                failures = failures + 1 if done <= reached else 1
                if failures > RESTARTS:
                    raise RuntimeError(f"a worker died {failures} times without progress: {error}") from error
                reached = done
                state = self.load() if self._saved() else None

    def _run(self, state: dict[str, Any] | None) -> Columns:
        self.curve, self.selection = [], self._fresh_selection()
        if state:
            self.curve = [Progress(**line) for line in state["curve"]]
            self.selection.set_state(state["selection"])
        algorithm = build_algorithm(self.experiment, self.world, weights=self._weights)
        try:
            if state:
                algorithm.set_run_state(state["run"])
            with Recorder(self.folder, self.curve) as recorder:
                self._iterate(algorithm, recorder)
            return self.selection.weights or network_weights(algorithm)
        finally:
            algorithm.stop()

    def _iterate(self, algorithm: ColumnarAlgorithm, recorder: Recorder) -> None:
        total = algorithm.config.total
        before = self.curve[-1] if self.curve else None
        start, saved = algorithm.done, time.perf_counter()
        algorithm.clock.start()
        if not self.curve and self.selection.due(algorithm.done, total):  # a warm start may be the best there is
            with algorithm.clock("judging"):
                self._judge(algorithm)
        moved = time.perf_counter()
        while algorithm.done < total and not self._ended_early():
            done = algorithm.done
            algorithm.train()
            if algorithm.done == done:
                if time.perf_counter() - moved > STALLED_SECONDS:
                    raise RuntimeError(
                        f"no env runner returned a sample for {STALLED_SECONDS:.0f} s; Ray's worker logs say why"
                    )
                time.sleep(0.5)
                continue
            moved = time.perf_counter()
            line = self._line(algorithm, before, start)
            check_finite(line)
            if self.selection.due(algorithm.done, total):
                with algorithm.clock("judging"):
                    line = dataclasses.replace(line, judged=self._judge(algorithm))
            self.curve.append(line)
            recorder.add(line)
            self._tell(line)
            if (
                time.perf_counter() - saved > self.experiment.resources.checkpoint_seconds
                or algorithm.done >= total
                or self._ended_early()
            ):
                with algorithm.clock("saving"):
                    self._save(algorithm)
                saved = time.perf_counter()

    def _judge(self, algorithm: ColumnarAlgorithm) -> float:
        """Mean return of the network as it is now, by the users who judge."""
        now = network_weights(algorithm)
        return self.selection.judge(algorithm.done, build_network(self.experiment, self.world, now), now)

    def _line(self, algorithm: ColumnarAlgorithm, before: Progress | None, start: int) -> Progress:
        wall, cpu = algorithm.clock.total()
        rate = (algorithm.done - start) / wall
        earlier = before.phases if before else {}
        phases = {
            name: earlier.get(name, 0.0) + algorithm.clock.cpu.get(name, 0.0)
            for name in sorted({*earlier, *algorithm.clock.cpu})
        }
        return Progress(
            env_steps=algorithm.env_steps,
            gradient_steps=algorithm.gradient_steps,
            done=algorithm.done,
            total=algorithm.config.total,
            episode_return=algorithm.episode_return,
            episode_length=algorithm.episode_length,
            steps_per_second=rate,
            seconds_left=max(algorithm.config.total - algorithm.done, 0) / rate,
            wall_seconds=(before.wall_seconds if before else 0.0) + wall,
            cpu_seconds=(before.cpu_seconds if before else 0.0) + cpu,
            phases=phases,
            memory=algorithm.memory(),
            losses=dict(algorithm.losses),
        )

    def _ended_early(self) -> bool:
        stop = self.experiment.stop
        means = [mean for _, mean in self.selection.judged]
        if not self.curve:  # however good it is to begin with, training that was asked for takes place
            return False
        if stop.target_return is not None and means and max(means) >= stop.target_return:
            return True
        if not stop.patience or len(means) <= stop.patience:
            return False
        return max(means[-stop.patience :]) <= max(means[: -stop.patience])

    def _fresh_selection(self) -> Selection:
        evaluation = self.experiment.evaluation
        total = total_steps(self.experiment)
        return Selection(
            self.world.judges,
            served_samplers(self.experiment)[0],
            every=math.ceil(total / evaluation.judgements) if evaluation.judgements else 0,
            users=evaluation.judging_users,
            seed=evaluation.seed + 1,
        )

    # -- checkpoints

    def _saved(self) -> bool:
        return any((self.folder / name).exists() for name in (CHECKPOINT, CHECKPOINT + ".old"))

    def _save(self, algorithm: ColumnarAlgorithm) -> None:
        state = {
            "experiment": self._identity,
            "curve": [dataclasses.asdict(line) for line in self.curve],
            "selection": self.selection.get_state(),
            "run": algorithm.get_run_state(),
        }
        save_checkpoint(self.folder / CHECKPOINT, state)

    def load(self) -> dict[str, Any]:
        """The last checkpoint.

        Raises:
            InputError: there is none, or one of another experiment.
        """
        state = load_checkpoint(self.folder / CHECKPOINT)
        if state["experiment"] != self._identity:
            other = difference(state["experiment"], self._identity)
            raise InputError(
                str(self.folder), f"the checkpoint is of another experiment: {other}", "train without --resume"
            )
        return state


def identity(experiment: Experiment, world: World) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on from; longer training and more runners are welcome."""
    content: dict[str, Any] = json.loads(json.dumps(experiment.to_dict()))
    for section in ("stop", "evaluation", "resources", "data"):
        content.pop(section)
    content["dataset"] = world.dataset.hash if world.dataset else None
    return content


def difference(old: Any, new: Any, path: str = "") -> str:
    """The first place where two nested mappings differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    return f"{path} was {old!r} and is {new!r}"


def network_weights(algorithm: ColumnarAlgorithm) -> Columns:
    """All parameters of the network that would be kept if training ended now."""
    weights: Columns = foreach_learner(algorithm, lambda learner: learner.trained_network())[0]
    return weights


def kept_weights(state: dict[str, Any]) -> Columns:
    """All parameters of the network that a checkpointed run kept: the best that was judged, else what training left."""
    learner = state["run"]["learners"][0]
    weights: Columns = state["selection"]["best"] or learner["network"] | learner["means"]
    return weights


def check_finite(line: Progress) -> None:
    """Stop before a diverged network is saved or judged.

    Raises:
        InputError: a loss is not a finite number.
    """
    broken = [name for name, value in line.losses.items() if not math.isfinite(value)]
    if broken:
        raise InputError(
            "algorithm.learning_rate",
            f"training diverged after {line.done} steps: {', '.join(broken)} is not a finite number",
            "lower it, or lower algorithm.gradient_clip",
        )
