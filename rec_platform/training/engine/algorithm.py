"""The loops of training as RLlib algorithms: who samples, what is learned from, when weights travel.

`OnPolicy` learns from each sample once and forgets it, `off_policy.OffPolicy` from a replay buffer, `offline.Offline`
from a log without any users, and `asynchronous.Asynchronous` does not wait for its runners. All of them give their
whole state away, so that a resumed run goes on to the last bit.
"""

from __future__ import annotations

import resource
from collections import deque
from functools import partial
from typing import Any

import numpy as np
import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from rec_platform.errors import InputError
from rec_platform.training.engine.clock import Clock
from rec_platform.training.engine.columns import Columns
from rec_platform.training.engine.env_runner import ColumnarEnvRunner, Sample
from rec_platform.training.engine.learner import ERRORS, as_columns

RECENT = 4
"""Iterations over which returns of ended sessions are averaged."""


class ColumnarConfig(AlgorithmConfig):
    """RLlib's configuration, and what our loops need beside it.

    Attributes:
        settings: the algorithm's (`rec_platform.training.settings`).
        recipe: the algorithm's parts (`engine.recipe.Recipe`).
        total: what counts as all of training: env steps, or gradient steps of an offline algorithm.
        logged: columns of a log, for offline algorithms.
    """

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or OnPolicy)
        self.settings: Any = None
        self.recipe: Any = None
        self.total = 1
        self.logged: Any = None
        self.enable_env_runner_and_connector_v2 = True
        self.enable_rl_module_and_learner = True
        self._dont_auto_sync_env_runner_states = True  # there are no connectors

    def get_default_learner_class(self) -> type:
        learner: type = self.recipe.learner
        return learner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        return RLModuleSpec(module_class=self.recipe.module)


class ColumnarAlgorithm(Algorithm):
    """What the loops share.

    Attributes:
        env_steps: simulated slates so far, those before a resume included.
        gradient_steps: minibatches so far.
        clock: wall and CPU seconds by phase.
        losses: figures of the last update.
    """

    config: Any
    metrics: Any
    learner_group: Any
    env_runner_group: Any

    @classmethod
    def get_default_config(cls) -> ColumnarConfig:
        return ColumnarConfig(cls)

    def setup(self, config: Any) -> None:
        super().setup(config)
        self.settings = self.config.settings
        self.recipe = self.config.recipe
        self.env_steps = 0
        self.gradient_steps = 0
        self.clock = Clock()
        self.losses: dict[str, float] = {}
        self._recent: deque[tuple[float, float, int]] = deque(maxlen=RECENT)

    @property
    def done(self) -> int:
        """How much of ``config.total`` is behind."""
        return self.env_steps

    @property
    def progress(self) -> float:
        """Share of training that is behind, in [0, 1]."""
        return min(1.0, self.done / self.config.total)

    @property
    def episode_return(self) -> float:
        """Mean return of the sessions that ended lately; NaN before any did."""
        return self._recent_mean(0)

    @property
    def episode_length(self) -> float:
        """Mean length of the same."""
        return self._recent_mean(1)

    def _recent_mean(self, column: int) -> float:
        count = sum(entry[2] for entry in self._recent)
        return float(sum(entry[column] for entry in self._recent)) / count if count else float("nan")

    def memory(self) -> dict[str, float]:
        """Megabytes: ``resident``, the most this process has held so far, and what a loop adds."""
        return {"resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3}

    # -- sampling

    def sample(self, explore: float = 0.0) -> list[Sample]:
        """One sample of every env runner, in their order; runners that failed are left out and restarted by RLlib."""
        with self.clock("sampling"):
            weights = self.weights()
            if self.env_runner_group.num_remote_workers():
                act = partial(sample_with, weights=ray.put(weights), explore=explore)
                samples = self.env_runner_group.foreach_env_runner(
                    act, local_env_runner=False, timeout_seconds=self.config.sample_timeout_s
                )
                samples.sort(key=lambda sample: sample.worker)
                self.clock.elsewhere("sampling", sum(sample.cpu_seconds for sample in samples))
            else:
                runner = self.env_runner_group.local_env_runner
                runner.take_weights(weights)
                samples = [runner.sample(explore=explore)]
        self.count(samples)
        return samples

    def count(self, samples: list[Sample]) -> None:
        """Book steps and sessions, here and in RLlib's metrics (which Ray Tune reads)."""
        steps = sum(sample.env_steps for sample in samples)
        self.env_steps += steps
        returns = np.concatenate([sample.returns for sample in samples]) if samples else np.zeros(0)
        lengths = np.concatenate([sample.lengths for sample in samples]) if samples else np.zeros(0)
        self._recent.append((float(returns.sum()), float(lengths.sum()), len(returns)))
        log = partial(self.metrics.log_value, window=1)
        log((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), self.env_steps)
        log((ENV_RUNNER_RESULTS, EPISODE_RETURN_MEAN), self.episode_return)
        log((ENV_RUNNER_RESULTS, EPISODE_LEN_MEAN), self.episode_length)

    def weights(self) -> Columns:
        """The network's parameters as env runners take them."""
        if self.learner_group.is_local:
            weights: Columns = self.learner_group._learner.recommender.get_weights()
            return weights
        return foreach_learner(self, lambda learner: learner.recommender.get_weights())[0]

    # -- learning

    def learn(self, columns: Columns, *, minibatch: int, epochs: int = 1, shuffle: bool = False) -> dict[str, Any]:
        """Train on columns; figures of the (first) learner, and an error a row where the loss leaves one."""
        learners = max(self.config.num_learners, 1)
        rows = len(next(iter(columns.values())))
        with self.clock("learning"):
            batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=rows)
            results = self.learner_group.update(
                batch=batch,
                timesteps={"progress": self.progress},
                minibatch_size=max(1, minibatch // learners),
                num_epochs=epochs,
                shuffle=shuffle,
            )
            if not self.learner_group.is_local:
                self.clock.elsewhere("learning", sum(result["cpu_seconds"] for result in results))
        self.gradient_steps += epochs * (rows // minibatch)
        told = dict(results[0])
        errors = [result[ERRORS] for result in results if ERRORS in result]
        self.losses = {name: value for name, value in told.items() if name not in (ERRORS, "cpu_seconds")}
        for name, value in self.losses.items():
            self.metrics.log_value((LEARNER_RESULTS, DEFAULT_MODULE_ID, name), value, window=1)
        return self.losses | ({ERRORS: np.concatenate(errors)} if errors else {})

    # -- state

    def get_run_state(self) -> dict[str, Any]:
        """All that decides how training goes on, as nested plain values and arrays."""
        state = {
            "env_steps": self.env_steps,
            "gradient_steps": self.gradient_steps,
            "recent": [list(entry) for entry in self._recent],
            "losses": self.losses,
            "learners": foreach_learner(self, lambda learner: learner.get_columnar_state()),
            "runners": {},
        }
        if self.env_runner_group is not None:
            group = self.env_runner_group
            local = not group.num_remote_workers()
            pairs = group.foreach_env_runner(
                lambda runner: (runner.worker_index or 0, runner.get_users_state()), local_env_runner=local
            )
            state["runners"] = {str(index): users for index, users in pairs}
        return state

    def set_run_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_run_state` took. Runners or learners beyond those of the state start anew.

        Raises:
            InputError: the state is of another network, or of other users.
        """
        self.env_steps, self.gradient_steps = int(state["env_steps"]), int(state["gradient_steps"])
        self._recent = deque((tuple(entry) for entry in state["recent"]), maxlen=RECENT)
        self.losses = dict(state["losses"])
        learners = ray.put(state["learners"]) if not self.learner_group.is_local else state["learners"]
        try:
            foreach_learner(self, partial(_set_learner, states=learners))
        except (KeyError, RuntimeError) as error:
            raise InputError("checkpoint", f"is of another network: {error}", "train without --resume") from None
        if self.env_runner_group is not None and state["runners"]:
            group = self.env_runner_group
            local = not group.num_remote_workers()
            users = state["runners"] if local else ray.put(state["runners"])
            group.foreach_env_runner(partial(_set_users, states=users), local_env_runner=local)


class OnPolicy(ColumnarAlgorithm):
    """Sample, learn from it, forget it."""

    def training_step(self) -> None:
        columns = as_columns([sample.columns for sample in self.sample()])
        if columns:
            settings = self.settings
            self.learn(self.recipe.prepare(columns), minibatch=settings.minibatch, epochs=settings.epochs, shuffle=True)


def foreach_learner(algorithm: Algorithm, function: Any) -> list[Any]:
    """What ``function`` returns for every learner; its errors are raised."""
    assert algorithm.learner_group is not None
    answers = []
    for result in algorithm.learner_group.foreach_learner(function):
        remote = hasattr(result, "ok")
        if remote and not result.ok:
            raise result.get()
        answers.append(result.get() if remote else result)
    if not answers:
        raise ray.exceptions.RayActorError(error_msg="no learner is left")
    return answers


def sample_with(runner: ColumnarEnvRunner, weights: Any, explore: float) -> Sample:
    """A sample of ``runner`` under ``weights`` (or a reference to them); called in the runner's process."""
    runner.take_weights(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)
    return runner.sample(explore=explore)


def _set_learner(learner: Any, states: Any) -> None:
    states = ray.get(states) if isinstance(states, ray.ObjectRef) else states
    index = int(getattr(learner, "_learner_index", None) or 0)
    learner.set_columnar_state(states[min(index, len(states) - 1)])


def _set_users(runner: ColumnarEnvRunner, states: Any) -> None:
    states = ray.get(states) if isinstance(states, ray.ObjectRef) else states
    mine = states.get(str(runner.worker_index or 0))
    if mine is not None and len(mine["returns"]) == runner.num_envs:
        runner.set_users_state(mine)
