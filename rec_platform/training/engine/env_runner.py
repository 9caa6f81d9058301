"""Sampling without episode objects: thousands of users a step, arrays [T, B, …], a batch that is ready to train on.

RLlib's stock runner builds one Python object a user and step and spends most of its time in them. This one keeps the
runner's outside (an actor in RLlib's group, its module, restarts) and replaces the inside: `make_env` and `sample`.
Connectors and per-episode callbacks are bypassed; what they would do (GAE, n-step returns, next observations) is done
by an `Assembler`, where the trajectory still is an array.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from rec_platform.errors import InputError
from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.training.engine.columns import Columns
from rec_platform.training.engine.trajectory import Assembler, Trajectory
from rec_platform.types import Float64


@dataclass(frozen=True, slots=True)
class Sample:
    """What one call of `ColumnarEnvRunner.sample` brought.

    Attributes:
        worker: index of the runner.
        columns: rows to learn from; empty where the assembler still waits for the future of its rows.
        env_steps: slates shown.
        returns, lengths: float64 [n] of the sessions that ended.
        cpu_seconds: spent on it.
    """

    worker: int
    columns: Columns
    env_steps: int
    returns: Float64
    lengths: Float64
    cpu_seconds: float


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
    ``fragment`` (slates a user and call).
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
        entropy = [settings["seed"], self.worker_index or 0]
        if self.worker_index and ray.get_runtime_context().was_current_actor_reconstructed:
            entropy.append(int.from_bytes(os.urandom(4)))  # else it would meet again the users it met before it died
        seeds = np.random.SeedSequence(entropy).generate_state(2)
        self.rng = np.random.default_rng(int(seeds[0]))
        self.users = simulator.users(self.config.num_envs_per_env_runner, seed=int(seeds[1]), staggered=True)
        self.spec = simulator.spec
        self.env = _Lanes(simulator, self.config.num_envs_per_env_runner)
        self.num_envs = self.env.num_envs
        self.assembler: Assembler = settings["assembler"]
        self.fragment: int = settings["fragment"]
        self.trajectory = Trajectory()
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._first_session = np.ones(self.num_envs, dtype=bool)

    def sample(self, *, explore: float = 0.0, **_: Any) -> Sample:  # type: ignore[override]
        """Show every user ``fragment`` slates.

        Args:
            explore: strength of exploration, in the module's own terms (ε, or a spread of noise).
        """
        began = time.thread_time()
        ended: list[tuple[Float64, Float64]] = []
        for _step in range(self.fragment):
            self._step(explore, ended)
        columns = self.assembler(self.trajectory, self.module, self.spec.full_catalogue)
        nothing = np.zeros(0)
        return Sample(
            worker=self.worker_index or 0,
            columns=columns,
            env_steps=self.fragment * self.num_envs,
            returns=np.concatenate([returns for returns, _ in ended]) if ended else nothing,
            lengths=np.concatenate([lengths for _, lengths in ended]) if ended else nothing,
            cpu_seconds=time.thread_time() - began,
        )

    def _step(self, explore: float, ended: list[tuple[Float64, Float64]]) -> None:
        observation = self.users.observation
        action = self.module.act(observation, self.spec.slate_size, self.rng, explore)
        feedback = self.users.step(action["actions"])
        self.trajectory.observations.append(observation)
        self.trajectory.actions.append(action)
        self.trajectory.feedback.append(feedback)
        self.trajectory.following.append(self.users.observation)
        self._returns += feedback.reward
        self._lengths += 1
        finished = feedback.finished
        if finished.any():
            whole = finished & ~self._first_session  # a staggered first session is not a session's return
            ended.append((self._returns[whole], self._lengths[whole].astype(np.float64)))
            self._first_session[finished] = False
            self._returns[finished] = 0.0
            self._lengths[finished] = 0
            self.users.restart(finished)

    def take_weights(self, weights: Columns) -> None:
        """Set the module's parameters by name."""
        self.module.set_weights(weights)

    def get_users_state(self) -> dict[str, Any]:
        """The live users, the draws to come, and steps that still wait for their future."""
        return {
            "rng": self.rng.bit_generator.state,
            "users": self.users.get_state(),
            "trajectory": self.trajectory.get_state(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "first_session": self._first_session.copy(),
        }

    def set_users_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_users_state` took.

        Raises:
            InputError: it is of another number of users.
        """
        if len(state["returns"]) != self.num_envs:
            raise InputError("resources.users_per_runner", f"the checkpoint has {len(state['returns'])}")
        self.rng.bit_generator.state = state["rng"]
        self.users.set_state(state["users"])
        self.trajectory.set_state(state["trajectory"])
        self._returns = state["returns"].copy()
        self._lengths = state["lengths"].copy()
        self._first_session = state["first_session"].copy()
