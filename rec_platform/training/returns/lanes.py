"""Trajectories as they are, one row a user: for learners that work out their own targets along time.

Also returns to the end of the session, for learners that bootstrap from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns

from rec_platform.training.engine.columns import Columns as Table
from rec_platform.training.engine.columns import to_columns
from rec_platform.training.engine.trajectory import Trajectory
from rec_platform.training.returns.n_step import CHOSEN
from rec_platform.types import Bool, Float32, Observation

REWARDS, TERMINATED, FINISHED, CUT_VALUES = "rewards", "terminated", "finished", "cut_values"
RETURN_TO_GO, EMITTED = "return_to_go", "emitted"


@dataclass(frozen=True, slots=True)
class LaneRows:
    """Assembles one row a user: observations [B, T + 1, …], and actions, outcomes and rewards [B, T, …].

    The last observation is the one after the last step. ``cut_values`` float32 [B, T] holds the runner's V of the
    observation after a truncation, which is in no other column, and 0 elsewhere.
    """

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> Table:
        observations = [*trajectory.observations, trajectory.following[-1]]
        parts = [to_columns(observation, full_catalogue=full_catalogue) for observation in observations]
        columns = {name: np.stack([part[name] for part in parts], axis=1) for name in parts[0]}
        cut = np.zeros((len(trajectory), observations[0].batch_size), dtype=np.float32)
        for t, feedback in enumerate(trajectory.feedback):
            if feedback.truncated.any():
                cut[t, feedback.truncated] = module.values(trajectory.following[t].take(feedback.truncated))
        columns |= {
            Columns.ACTIONS: np.stack([a[Columns.ACTIONS] for a in trajectory.actions], axis=1).astype(np.int64),
            Columns.ACTION_LOGP: np.stack([a[Columns.ACTION_LOGP] for a in trajectory.actions], axis=1),
            CHOSEN: np.stack([f.chosen for f in trajectory.feedback], axis=1).astype(np.int64),
            REWARDS: trajectory.rewards().T.copy(),
            TERMINATED: trajectory.terminated().T.copy(),
            FINISHED: trajectory.finished().T.copy(),
            CUT_VALUES: cut.T.copy(),
        }
        trajectory.drop(len(trajectory))
        return columns


@dataclass(frozen=True, slots=True)
class ReturnRows:
    """Assembles rows with the discounted return to the end of their session; rows wait until it has ended.

    Attributes:
        gamma: discount in [0, 1].
        longest: steps after which a row goes without its tail, so that endless sessions are not waited for for ever.
    """

    gamma: float
    longest: int = 1_000

    def __call__(self, trajectory: Trajectory, module: Any, full_catalogue: bool) -> Table:
        rewards, finished = trajectory.rewards(), trajectory.finished()
        returns, complete = returns_to_go(rewards, finished, self.gamma)
        steps, batch = rewards.shape
        for action in trajectory.actions:
            action.setdefault(EMITTED, np.zeros(batch, dtype=bool))
        emitted = np.stack([action[EMITTED] for action in trajectory.actions])
        overdue = np.arange(steps)[:, None] < steps - self.longest
        ready = (complete | overdue) & ~emitted
        for action, now in zip(trajectory.actions, ready, strict=True):
            action[EMITTED] = action[EMITTED] | now
        step, lane = np.nonzero(ready)
        columns: Table = {}
        if len(step):
            pick = step * batch + lane
            columns = to_columns(
                Observation.concatenate(trajectory.observations).take(pick), full_catalogue=full_catalogue
            )
            actions = np.concatenate([a[Columns.ACTIONS] for a in trajectory.actions]).astype(np.int64)
            columns |= {
                Columns.ACTIONS: actions[pick],
                CHOSEN: np.concatenate([f.chosen for f in trajectory.feedback]).astype(np.int64)[pick],
                RETURN_TO_GO: returns[step, lane],
            }
        waiting = ~np.stack([action[EMITTED] for action in trajectory.actions]).all(axis=1)
        trajectory.drop(int(np.argmax(waiting)) if waiting.any() else steps)
        return columns


def returns_to_go(rewards: Float32, finished: Bool, gamma: float) -> tuple[Float32, Bool]:
    """Discounted returns to the end of each step's session, and whether that end was reached: each [T, B].

    G_t = r_t + γ G_{t+1}, and G_{t+1} = 0 after the last step of a session or of the trajectory.
    """
    returns, complete = np.zeros_like(rewards), np.zeros_like(finished)
    tail, ended = np.zeros(rewards.shape[1], dtype=np.float32), np.zeros(rewards.shape[1], dtype=bool)
    for t in range(len(rewards) - 1, -1, -1):
        tail = rewards[t] + np.float32(gamma) * tail * ~finished[t]
        ended = ended | finished[t]
        returns[t], complete[t] = tail, ended
    return returns, complete
