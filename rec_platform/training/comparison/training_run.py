"""A training within a comparison: it takes place when something of it is asked for, and goes on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from rec_platform.policies.policy import Policy
from rec_platform.training.comparison.entries import AnyExperiment
from rec_platform.training.comparison.kept import key_of
from rec_platform.training.comparison.stage import Stage
from rec_platform.training.experiment import Experiment
from rec_platform.training.fitted_experiment import FittedExperiment
from rec_platform.training.loop import CHECKPOINT
from rec_platform.training.progress import Progress
from rec_platform.training.trainer import Trained, train

Bar = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]
"""For a name, something that is told the progress of its training."""

Side = Literal["ranking", "simulation"]


@contextmanager
def silent(_: str) -> Iterator[Callable[[Progress], None]]:
    """Tells nobody."""
    yield lambda _: None


@dataclass(frozen=True)
class Made:
    """A policy ready to be judged; see `Measured`."""

    policy: Policy
    cpu_seconds: float = np.nan
    curve: tuple[tuple[float, float], ...] = ()


class TrainingRun:
    """A training that takes place when something of it is asked for, and at most once."""

    def __init__(self, stage: Stage, experiment: Experiment, bar: Bar) -> None:
        self.stage, self.experiment, self.bar = stage, experiment, bar

    def key(self) -> dict[str, Any]:
        """What decides the trained policy."""
        return {**experiment_key(self.experiment), **self.stage.world_key()}

    def made(self, _: Side) -> Made:
        """The policy without exploration; the same for both sides."""
        trained = self.trained
        curve = tuple((float(line.env_steps), float(line.episode_return)) for line in trained.curve if line.env_steps)
        return Made(trained.greedy, self._seconds, curve)

    @cached_property
    def trained(self) -> Trained:
        """Trained now, or gone on with from the last checkpoint of a comparison that was interrupted."""
        name, seed = self.experiment.name, self.experiment.seed
        folder = self.stage.folder / "runs" / f"{name}-{seed}-{key_of(self.key())}"
        resume = not self.stage.settings.fresh and any(
            (folder / file).exists() for file in (CHECKPOINT, CHECKPOINT + ".old")
        )
        world = self.stage.world_of(self.experiment)
        self.stage.on_phase(f"{name}, seed {seed}: training")
        began = time.process_time()
        with self.bar(f"{name}, seed {seed}") as tell:
            trained = train(self.experiment, world, folder, resume=resume, on_progress=tell)
        # Of workers and of earlier processes only the loop's own clock knows, of the warm start only this one.
        self._seconds = max(time.process_time() - began, trained.curve[-1].cpu_seconds if trained.curve else 0.0)
        return trained


def experiment_key(experiment: AnyExperiment) -> dict[str, Any]:
    """What of an experiment decides its policy: not its name, nor where the log and the users come from."""
    left_out, content = {"name", "data", "simulator"}, experiment.to_dict()
    if isinstance(experiment, FittedExperiment):
        left_out |= {"evaluation"}
        # A learner plays with the users of the comparison also where its own experiment has none.
        content |= experiment.model_dump(mode="json", include={"resources", "stop"})
    return {key: value for key, value in content.items() if key not in left_out}


def named(policies: list[Policy], name: str) -> Policy:
    """The one of this name."""
    return next(policy for policy in policies if policy.name == name)
