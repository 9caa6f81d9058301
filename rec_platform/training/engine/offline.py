"""Learning from a log, without any users: what was logged is all that is ever seen."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import ray

from rec_platform.training.engine.algorithm import ColumnarAlgorithm, ColumnarConfig
from rec_platform.training.engine.trajectory import Assembler
from rec_platform.training.returns.logged import LoggedRows
from rec_platform.training.settings.offline import OfflineSettings


class OfflineConfig(ColumnarConfig):
    """A configuration that makes RLlib build neither environments nor env runners, as its own MARWIL's does."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or Offline)
        self._is_online = False
        # RLlib asks for spaces where there is no environment; nothing of ours looks at them.
        anything: Any = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = self.action_space = anything


class Offline(ColumnarAlgorithm):
    """Draw minibatches uniformly from the log and learn from them; `done` counts gradient steps.

    Attributes:
        rows: the log; ``config.logged``, or what that is a reference to.
        rng: of the draws.
    """

    rows: LoggedRows

    @classmethod
    def get_default_config(cls) -> ColumnarConfig:
        return OfflineConfig(cls)

    def setup(self, config: Any) -> None:
        super().setup(config)
        logged = self.config.logged
        self.rows = ray.get(logged) if isinstance(logged, ray.ObjectRef) else logged
        self.rng = np.random.default_rng([self.config.seed or 0, 11])

    @property
    def done(self) -> int:
        return self.gradient_steps

    def training_step(self) -> None:
        settings: OfflineSettings = self.settings
        updates = min(settings.updates_per_iteration, max(self.config.total - self.done, 1))
        with self.clock("replay"):
            columns = self.rows.draw(updates * settings.minibatch, self.rng)
        self.learn(columns, minibatch=settings.minibatch)

    def get_run_state(self) -> dict[str, Any]:
        return super().get_run_state() | {"draws": self.rng.bit_generator.state}

    def set_run_state(self, state: dict[str, Any]) -> None:
        super().set_run_state(state)
        self.rng.bit_generator.state = state["draws"]


def no_trajectories(settings: Any) -> Assembler:
    """`Recipe.rows` of algorithms that see no trajectories.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"{settings.kind} learns from a log; its rows are `LoggedRows`")
