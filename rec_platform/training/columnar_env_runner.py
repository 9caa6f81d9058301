"""Sampling without episode objects: thousands of users a step, arrays [T, B, …], a batch that is ready to train on.

RLlib's stock runner builds one Python object a user and step and spends most of its time in them. This one keeps the
runner's outside (an actor in RLlib's group, weights, metrics) and replaces the inside: `make_env` and `_sample`.
Connectors and per-episode callbacks are bypassed; what they would do (GAE, n-step returns, next observations) is done
here, where the trajectory still is an array.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import ray
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import EPISODE_LEN_MEAN, EPISODE_RETURN_MEAN

from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.types import Bool, Feedback, Float32, Observation

CPU_SECONDS = "sampling_cpu_seconds"
BATCH_MEAN_REWARD = "reward_mean"


class Trajectory:
    """T steps of B users, as they were sampled.

    Attributes:
        observations: T + 1 of them; the last is the true next observation of the last step.
        following: per step, the true next observation, also of users who left; `None` where nobody left and it is
            simply the next of ``observations``.
        actions: T dicts of what the module's ``act`` returned.
        feedback: T of them.
    """

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.following: list[Observation] = []
        self.actions: list[dict[str, np.ndarray]] = []
        self.feedback: list[Feedback] = []

    def __len__(self) -> int:
        return len(self.feedback)

    def drop(self, steps: int) -> None:
        """Forget the oldest steps."""
        for column in (self.observations, self.following, self.actions, self.feedback):
            del column[:steps]

    def rewards(self) -> Float32:
        """Float32 [T, B]."""
        return np.stack([f.reward for f in self.feedback])

    def terminated(self) -> Bool:
        """Bool [T, B]."""
        return np.stack([f.terminated for f in self.feedback])

    def finished(self) -> Bool:
        """Bool [T, B]."""
        return np.stack([f.finished for f in self.feedback])


class Assembler(Protocol):
    """From a trajectory to the columns that a learner trains on; one an algorithm."""

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> dict[str, np.ndarray]:
        """Columns [rows, …]; may leave steps in the trajectory for the next call."""
        ...


class _Lanes:
    """What RLlib asks of an environment: its spaces and size. The users themselves are `ColumnarEnvRunner.users`."""

    def __init__(self, simulator: Simulator, count: int) -> None:
        spec = simulator.spec
        shapes = {
            "user_features": len(spec.user_feature_names),
            "history": spec.history_length,
            "history_feedback": spec.history_length,
            "context": len(spec.context_names),
            "candidates": spec.num_candidates,
        }
        self.num_envs = count
        self.single_observation_space = gym.spaces.Dict(
            {name: gym.spaces.Box(-np.inf, np.inf, (size,), np.float32) for name, size in shapes.items()}
        )
        self.single_action_space = gym.spaces.MultiDiscrete([spec.num_candidates] * spec.slate_size)
        self.observation_space = self.single_observation_space
        self.action_space = self.single_action_space

    @property
    def unwrapped(self) -> _Lanes:
        return self

    def close(self) -> None:
        """Nothing is held."""


class ColumnarEnvRunner(SingleAgentEnvRunner):
    """An env runner whose ``sample()`` returns columns.

    ``env_config``: ``simulator`` (a `Simulator` or a reference to one in the object store), ``assembler``, ``seed``,
    ``staggered``.
    """

    users: SimulatedUsers
    env: Any
    module: Any

    def make_env(self) -> None:
        settings = self.config.env_config
        simulator = settings["simulator"]
        if isinstance(simulator, ray.ObjectRef):
            simulator = ray.get(simulator)
        torch.set_num_threads(1)
        lane = (self.worker_index or 0) + 1000 * int(settings.get("restarts", 0))
        seeds = np.random.SeedSequence([settings["seed"], lane]).generate_state(2)
        self.rng = np.random.default_rng(int(seeds[0]))
        self.users = simulator.users(
            self.config.num_envs_per_env_runner, seed=int(seeds[1]), staggered=settings.get("staggered", True)
        )
        self.spec = simulator.spec
        self.env = _Lanes(simulator, self.config.num_envs_per_env_runner)
        self.num_envs = self.env.num_envs
        self.assembler: Assembler = settings["assembler"]
        self.trajectory = Trajectory()
        self.explore = 0.0
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._first_session = np.ones(self.num_envs, dtype=bool)
        self._needs_initial_reset = False

    def _sample(self, *, num_timesteps: int | None = None, **_: Any) -> dict[str, np.ndarray]:  # type: ignore[override]
        began = time.thread_time()
        steps = max(1, (num_timesteps or self.num_envs) // self.num_envs)
        trajectory = self.trajectory
        ended_returns, ended_lengths = [], []
        for _step in range(steps):
            observation = self.users.observation
            action = self.module.act(observation, self.spec.slate_size, self.rng, self.explore)
            feedback = self.users.step(action["actions"])
            trajectory.observations.append(observation)
            trajectory.actions.append(action)
            trajectory.feedback.append(feedback)
            trajectory.following.append(self.users.observation)
            self._returns += feedback.reward
            self._lengths += 1
            finished = feedback.finished
            if finished.any():
                whole = finished & ~self._first_session  # a staggered first session is not a session's return
                ended_returns.append(self._returns[whole])
                ended_lengths.append(self._lengths[whole])
                self._first_session[finished] = False
                self._returns[finished] = 0.0
                self._lengths[finished] = 0
                self.users.restart(finished)
        columns = self.assembler(trajectory, self.module, self.spec.full_catalogue)
        returns = np.concatenate(ended_returns) if ended_returns else np.zeros(0)
        self._increase_sampled_metrics(steps * self.num_envs, len(returns))
        if len(returns):
            self.metrics.log_value(EPISODE_RETURN_MEAN, float(returns.mean()), window=4)
            self.metrics.log_value(EPISODE_LEN_MEAN, float(np.concatenate(ended_lengths).mean()), window=4)
        self.metrics.log_value(CPU_SECONDS, time.thread_time() - began, reduce="sum")
        return columns
