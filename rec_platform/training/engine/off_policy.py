"""Learning from a replay buffer while users are simulated."""

from __future__ import annotations

from typing import Any

from rec_platform.training.engine.algorithm import ColumnarAlgorithm
from rec_platform.training.engine.learner import ERRORS
from rec_platform.training.replay.columnar import ColumnarReplay
from rec_platform.training.replay.prioritised import INDEX, PrioritisedReplay
from rec_platform.training.settings.base import ReplaySettings


class OffPolicy(ColumnarAlgorithm):
    """Sample, store, and train on many minibatches with one call.

    Attributes:
        replay: the buffer.
    """

    replay: ColumnarReplay

    def setup(self, config: Any) -> None:
        super().setup(config)
        settings: ReplaySettings = self.settings
        if settings.priority_exponent:
            self.replay = PrioritisedReplay(
                settings.replay_capacity, self.config.seed, alpha=settings.priority_exponent
            )
        else:
            self.replay = ColumnarReplay(settings.replay_capacity, self.config.seed)

        self._owed = 0.0  # minibatches

    def training_step(self) -> None:
        settings: ReplaySettings = self.settings
        explore = exploration(self.progress, settings.epsilon_end, settings.epsilon_fraction)
        rows = 0
        for sample in self.sample(explore):
            if sample.columns:
                self.replay.add(sample.columns)
                rows += len(next(iter(sample.columns.values())))
        if len(self.replay) < settings.learning_starts or not rows:
            return
        self._owed += rows / settings.steps_per_update
        updates = int(self._owed)
        self._owed -= updates
        if not updates:
            return
        with self.clock("replay"):
            columns = self._draw(updates * settings.minibatch)
        index = columns.pop(INDEX, None)
        told = self.learn(columns, minibatch=settings.minibatch)
        if index is not None:
            assert isinstance(self.replay, PrioritisedReplay)
            self.replay.update_priorities(index[: len(told[ERRORS])], told[ERRORS])

    def _draw(self, rows: int) -> dict[str, Any]:
        if isinstance(self.replay, PrioritisedReplay):
            start = self.settings.priority_correction
            self.replay.beta = start + (1.0 - start) * self.progress
        return self.replay.sample(rows)

    def memory(self) -> dict[str, float]:
        return super().memory() | {"replay": self.replay.full_bytes / 1e6}

    def get_run_state(self) -> dict[str, Any]:
        return super().get_run_state() | {"replay": self.replay.get_state(), "owed": self._owed}

    def set_run_state(self, state: dict[str, Any]) -> None:
        super().set_run_state(state)
        self.replay.set_state(state["replay"])
        self._owed = float(state["owed"])


def exploration(progress: float, end: float, fraction: float) -> float:
    """ε after ``progress`` of training: linear from 1 to ``end`` over ``fraction`` of it, constant afterwards."""
    return max(end, 1.0 - (1.0 - end) * progress / fraction)
