"""What the comparisons with stock RLlib share: contestants that take turns, and users as stock runners want them.

A stock runner steps single-user environments (`SingleUser`), or one vector environment that shows the last observation
of a session, and the first of the next one only a step later (`NextStepUsers`): it appends what a step returns to the
episode that is going on, and takes the first thing it sees after an end for a reset. The environments tell no infos,
which a stock runner would copy about.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cpu_time import actor_processes, cpu_seconds
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import ALL_MODULES
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    EPISODE_RETURN_MEAN,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_MODULE_STEPS_TRAINED_LIFETIME,
)

from rec_platform.simulation.gym import SlateEnv, SlateVectorEnv, resolve_positions, to_dict
from rec_platform.simulation.simulator import Simulator
from rec_platform.training.engine.algorithm import ColumnarAlgorithm

Dicts = dict[str, np.ndarray]


@dataclass
class Contestant:
    """An algorithm and its rounds so far.

    Attributes:
        returns: mean episode return at the end of the warm-up and of each round.
        rates: env steps, and rows trained on, a CPU-second of each round.
    """

    name: str
    algorithm: Algorithm
    env_steps: int = 0
    trained_rows: int = 0
    cpu: float = 0.0
    returns: list[float] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    _episode_return: float = math.nan

    def warm_up(self) -> None:
        """Iterations until one has learned: what is done once only stays out."""
        while not self._done()[1]:
            self._train()
        self.returns.append(self._episode_return)

    def run(self, seconds: float) -> None:
        """Iterations until ``seconds`` of wall time have gone by, at least one."""
        processes = actor_processes(self.algorithm)
        began, began_cpu, before = time.perf_counter(), cpu_seconds(processes), self._done()
        while time.perf_counter() - began < seconds:
            self._train()
        cpu, after = cpu_seconds(processes) - began_cpu, self._done()
        steps, rows = after[0] - before[0], after[1] - before[1]
        self.env_steps, self.trained_rows, self.cpu = self.env_steps + steps, self.trained_rows + rows, self.cpu + cpu
        self.rates.append((steps / cpu, rows / cpu))
        self.returns.append(self._episode_return)

    def result(self) -> dict[str, Any]:
        """A row of the results: rates are medians over the rounds."""
        return {
            "name": self.name,
            "env_steps": self.env_steps,
            "trained_rows": self.trained_rows,
            "cpu_seconds": round(self.cpu, 2),
            "env_steps_per_cpu_second": round(statistics.median(steps for steps, _ in self.rates), 1),
            "trained_rows_per_cpu_second": round(statistics.median(rows for _, rows in self.rates), 1),
            "rounds": [[round(steps, 1), round(rows, 1)] for steps, rows in self.rates],
            "episode_returns": [None if math.isnan(mean) else round(mean, 1) for mean in self.returns],
        }

    def _train(self) -> None:
        told = self.algorithm.train()[ENV_RUNNER_RESULTS].get(EPISODE_RETURN_MEAN, math.nan)
        if not math.isnan(told):  # else no session ended lately
            self._episode_return = float(told)

    def _done(self) -> tuple[int, int]:
        """Env steps, and rows trained on, since the algorithm was built."""
        algorithm = self.algorithm
        if isinstance(algorithm, ColumnarAlgorithm):
            return algorithm.env_steps, algorithm.gradient_steps * algorithm.settings.minibatch
        sampled = algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        trained = algorithm.metrics.peek((LEARNER_RESULTS, ALL_MODULES, NUM_MODULE_STEPS_TRAINED_LIFETIME), default=0)
        return int(sampled), int(trained)


def compete(contestants: Sequence[Contestant], *, rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Results by name. Rounds alternate, so that what else the machine does weighs on all alike."""
    for contestant in contestants:
        contestant.warm_up()
    for number in range(rounds):
        for contestant in contestants:
            contestant.run(seconds)
            steps, rows = contestant.rates[-1]
            told = f"{contestant.name} {steps:,.0f} env steps, {rows:,.0f} trained rows a CPU-second"
            print(f"round {number + 1}: {told}, return {contestant.returns[-1]:.1f}", file=sys.stderr, flush=True)
    for contestant in contestants:
        contestant.algorithm.stop()
    return {contestant.name: contestant.result() for contestant in contestants}


def users_creator(build: Callable[[], Simulator]) -> Callable[[dict[str, Any]], SingleUser | NextStepUsers]:
    """What `ray.tune.registry.register_env` takes: as many users as RLlib's context names, one by itself if none."""

    def create(context: dict[str, Any]) -> SingleUser | NextStepUsers:
        count = context.get("num_envs")
        return SingleUser(build()) if count is None else NextStepUsers(build(), count)

    return create


class SingleUser(SlateEnv):
    """One user; slates of one item are a `Discrete` action."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        if simulator.spec.slate_size == 1:
            self.action_space = Discrete(simulator.spec.num_candidates)  # type: ignore[assignment]

    def step(self, action: np.ndarray) -> tuple[Dicts, float, bool, bool, dict[str, Any]]:
        return *super().step(np.atleast_1d(action))[:4], {}


class NextStepUsers(SlateVectorEnv):
    """B users under `AutoresetMode.NEXT_STEP`.

    The simulator moves all users at once. In the step in which a place only takes its next user in, a stand-in is shown
    a slate and forgotten.
    """

    def __init__(self, simulator: Simulator, num_envs: int) -> None:
        super().__init__(simulator, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self._ended = np.zeros(num_envs, dtype=bool)
        if simulator.spec.slate_size == 1:
            self.single_action_space = Discrete(simulator.spec.num_candidates)  # type: ignore[assignment]
            self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Dicts, dict[str, Any]]:
        self._ended = np.zeros(self.num_envs, dtype=bool)
        return super().reset(seed=seed, options=options)

    def step(self, actions: np.ndarray) -> tuple[Dicts, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        users, entering = self._users, self._ended
        assert users is not None
        if entering.any():
            users.restart(entering)
        positions = resolve_positions(np.reshape(actions, (self.num_envs, -1)), users.observation.available)
        feedback = users.step(positions)
        if entering.any():
            users.restart(entering)
        reward = np.where(entering, np.float32(0.0), feedback.reward)
        terminated, truncated = feedback.terminated & ~entering, feedback.truncated & ~entering
        self._ended = terminated | truncated
        return to_dict(users.observation), reward, terminated, truncated, {}
