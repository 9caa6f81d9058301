"""n-step transitions for value-based learners.

R_t = Σ_{i<m} γ^i r_{t+i},  target R_t + γ^m V(s_{t+m}),  m = min(n, steps to the session's end)      (Sutton 1988)

The last n - 1 steps of a sample stay in the trajectory until their future has been sampled, so that every row has its
full n steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns

from rec_platform.training.engine.columns import NEXT, to_columns
from rec_platform.training.engine.columns import Columns as Table
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.types import Bool, Float32, Observation

RETURN = "n_step_return"
DISCOUNT = "discount"
CHOSEN = "chosen"


def n_step_returns(
    rewards: Float32, terminated: Bool, finished: Bool, n: int, gamma: float
) -> tuple[Float32, Float32, np.ndarray]:
    """Returns, bootstrap discounts (0 after a termination) and the index of the last step of each row.

    Args:
        rewards, terminated, finished: [T, B], T ≥ n.

    Returns:
        float32, float32 and int64, each [T - n + 1, B].
    """
    rows = len(rewards) - n + 1
    returns = np.zeros((rows, rewards.shape[1]), dtype=np.float32)
    discount = np.ones_like(returns)
    last = np.zeros(returns.shape, dtype=np.int64)
    alive = np.ones(returns.shape, dtype=bool)
    for i in range(n):
        returns += alive * discount * rewards[i : i + rows]
        discount = np.where(alive, discount * np.float32(gamma), discount)
        last = np.where(alive, np.arange(i, i + rows)[:, None], last)
        discount = np.where(alive & terminated[i : i + rows], np.float32(0.0), discount)
        alive &= ~finished[i : i + rows]
    return returns, discount, last


@dataclass(frozen=True, slots=True)
class NStepRows:
    """Assembles rows: observation, slate, chosen slot, n-step return, discount and the observation after.

    Attributes:
        n: steps of a return, ≥ 1.
        gamma: discount in [0, 1].
        extras: what else of a step's action a row carries, by name.
        next_actions: also the slate shown after the last step of the return (for SARSA). It is looked at only where
            the session went on; the last step of a sample then waits for the next sample.
    """

    n: int
    gamma: float
    extras: tuple[str, ...] = ()
    next_actions: bool = False

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> Table:
        steps = len(trajectory) - int(self.next_actions)
        rows = steps - self.n + 1
        if rows < 1:
            return {}
        returns, discount, last = n_step_returns(
            trajectory.rewards()[:steps],
            trajectory.terminated()[:steps],
            trajectory.finished()[:steps],
            self.n,
            self.gamma,
        )
        batch = returns.shape[1]
        columns = to_columns(Observation.concatenate(trajectory.observations[:rows]), full_catalogue=full_catalogue)
        following = to_columns(Observation.concatenate(trajectory.following[:steps]), full_catalogue=full_catalogue)
        pick = (last * batch + np.arange(batch)).ravel()
        columns |= {NEXT + name: column[pick] for name, column in following.items()}
        columns |= {
            Columns.ACTIONS: np.concatenate([a[Columns.ACTIONS] for a in trajectory.actions[:rows]]).astype(np.int64),
            CHOSEN: np.concatenate([f.chosen for f in trajectory.feedback[:rows]]).astype(np.int64),
            RETURN: returns.ravel(),
            DISCOUNT: discount.ravel(),
        }
        columns |= {name: np.concatenate([a[name] for a in trajectory.actions[:rows]]) for name in self.extras}
        if self.next_actions:
            actions = np.concatenate([a[Columns.ACTIONS] for a in trajectory.actions]).astype(np.int64)
            columns[NEXT + Columns.ACTIONS] = actions[pick + batch]
        trajectory.drop(rows)
        return columns
