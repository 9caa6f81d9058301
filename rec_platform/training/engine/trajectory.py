"""T steps of B users as they were sampled, and what turns them into rows to learn from."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol

import numpy as np

from rec_platform.training.engine.columns import Columns
from rec_platform.types import Bool, Feedback, Float32, Observation


class Trajectory:
    """T steps of B users, as they were sampled.

    Attributes:
        observations: T of them.
        following: per step, the true next observation, also of users who left.
        actions: T dicts of what the module's ``act`` returned.
        feedback: T of them.
    """

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.following: list[Observation] = []
        self.actions: list[Columns] = []
        self.feedback: list[Feedback] = []

    def __len__(self) -> int:
        return len(self.feedback)

    def drop(self, steps: int) -> None:
        """Forget the oldest steps."""
        for column in (self.observations, self.following, self.actions, self.feedback):
            del column[:steps]

    def get_state(self) -> dict[str, Any]:
        """All of it as nested lists and dicts of arrays."""
        return {
            "observations": [_arrays(observation) for observation in self.observations],
            "following": [_arrays(observation) for observation in self.following],
            "actions": self.actions,
            "feedback": [_arrays(feedback) for feedback in self.feedback],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` took."""
        self.observations = [Observation(**arrays) for arrays in state["observations"]]
        self.following = [Observation(**arrays) for arrays in state["following"]]
        self.actions = [dict(action) for action in state["actions"]]
        self.feedback = [Feedback(**arrays) for arrays in state["feedback"]]

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

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> Columns:
        """Columns [rows, …]; may leave steps in the trajectory for the next call."""
        ...


def _arrays(value: Observation | Feedback) -> Columns:
    return {field.name: getattr(value, field.name) for field in fields(value)}
