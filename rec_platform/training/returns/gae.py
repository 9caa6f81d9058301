"""Generalised advantage estimation over arrays, and the rows of learners that use it.

A_t = Σ_l (γλ)^l δ_{t+l},  δ_t = r_t + γ V(s_{t+1}) - V(s_t)      (Schulman et al. 2016, equation 16)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns

from rec_platform.training.engine.columns import Columns as Table
from rec_platform.training.engine.columns import to_columns
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.types import Bool, Float32, Observation

ADVANTAGES, TARGETS, OLD_VALUES, CHOSEN = "advantages", "value_targets", "old_values", "chosen"


def advantages(
    rewards: Float32, values: Float32, next_values: Float32, terminated: Bool, finished: Bool, gamma: float, lam: float
) -> Float32:
    """Advantages float32 [T, B].

    Args:
        rewards, values: [T, B].
        next_values: [T, B] V of the true next observation; ignored where ``terminated``.
        terminated: no future: its value is 0.
        finished: terminated or truncated: the sum over later steps ends here.
    """
    delta = rewards + gamma * next_values * ~terminated - values
    out = np.zeros_like(delta)
    running = np.zeros(delta.shape[1], dtype=np.float32)
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + gamma * lam * running * ~finished[t]
        out[t] = running
    return out


@dataclass(frozen=True, slots=True)
class GAERows:
    """Assembles columns, row t·B + b, and empties the trajectory.

    Attributes:
        gamma, lam: as in the formula above.
    """

    gamma: float
    lam: float

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> Table:
        values = np.stack([a[Columns.VF_PREDS] for a in trajectory.actions])
        terminated, finished = trajectory.terminated(), trajectory.finished()
        next_values = np.concatenate([values[1:], module.values(trajectory.following[-1])[None]])
        for t, f in enumerate(trajectory.feedback[:-1]):
            if f.truncated.any():  # the lane holds another user by then: value the one who was cut off
                next_values[t, f.truncated] = module.values(trajectory.following[t].take(f.truncated))
        advantage = advantages(trajectory.rewards(), values, next_values, terminated, finished, self.gamma, self.lam)
        columns = to_columns(Observation.concatenate(trajectory.observations), full_catalogue=full_catalogue)
        columns |= {
            Columns.ACTIONS: np.concatenate([a[Columns.ACTIONS] for a in trajectory.actions]).astype(np.int64),
            Columns.ACTION_LOGP: np.concatenate([a[Columns.ACTION_LOGP] for a in trajectory.actions]),
            CHOSEN: np.concatenate([f.chosen for f in trajectory.feedback]).astype(np.int64),
            ADVANTAGES: advantage.ravel(),
            TARGETS: (advantage + values).ravel(),
            OLD_VALUES: values.ravel(),
        }
        trajectory.drop(len(trajectory))
        return columns
