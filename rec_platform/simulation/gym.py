"""Simulators as Gymnasium environments, for tools that speak that interface.

`SlateVectorEnv` steps B users at once, `SlateEnv` one. Training here does not go through either: the columnar runner
steps the simulator itself.

    observation   Dict of the `Observation` fields, zero-sized ones left out:
                  user_features float32 [F], history int32 [L], history_feedback float32 [L], context float32 [C],
                  candidates int32 [M] (-1 = not available); the vector environment puts B in front of each shape
    action        MultiDiscrete([M] * k): the slate's positions in candidates. A slot that repeats an earlier slot's
                  position or names one that is not available takes the first free available position instead, because
                  the action space cannot say "distinct". (The simulators themselves refuse such slates.)
    reward        `Feedback.reward`
    info          chosen: the slot consumed, -1 = none; responses: [k, E]; positions: the slate as it was shown
    end           `Feedback.terminated`, `Feedback.truncated`

`SlateVectorEnv` resets in the same step (`AutoresetMode.SAME_STEP`): where a session ended, the observation returned is
the next user's first. As in Gymnasium's own vector environments, ``info["final_obs"]`` is then an object array [B] with
the last observation of each user who left and None elsewhere; ``info["_final_obs"]`` bool [B] says who did. There is no
NEXT_STEP: the simulators move all users at once, and a new user would have to wait a step.

Importing this module registers the classic environments of `ENVIRONMENTS`; so does importing `rec_platform` after
Gymnasium, and naming the module in front of the id:

    gymnasium.make_vec("rec_platform/InterestEvolution-v0", num_envs=64, slate_size=2)
    gymnasium.make_vec("rec_platform.simulation.gym:rec_platform/InterestEvolution-v0", num_envs=64)

Further arguments of ``make`` and ``make_vec`` are the constants of the environment (`InterestEvolutionConfig` and so
on); long-term satisfaction also takes ``preset="recsim"``, ``"moderate"`` or ``"strong"`` in place of ``sensitivity``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rec_platform.config import parse
from rec_platform.errors import InputError
from rec_platform.simulation.classic.interest_evolution import InterestEvolutionConfig
from rec_platform.simulation.classic.interest_exploration import InterestExplorationConfig
from rec_platform.simulation.classic.kinds import ClassicConfig, build_classic
from rec_platform.simulation.classic.long_term_satisfaction import LongTermSatisfactionConfig
from rec_platform.simulation.gym_registration import (
    INTEREST_EVOLUTION,
    INTEREST_EXPLORATION,
    LONG_TERM_SATISFACTION,
    register_environments,
)
from rec_platform.simulation.simulator import SimulatedUsers, Simulator, SimulatorSpec
from rec_platform.types import Bool, Feedback, Int32, Observation

ENVIRONMENTS: dict[str, type[ClassicConfig]] = {
    INTEREST_EVOLUTION: InterestEvolutionConfig,
    INTEREST_EXPLORATION: InterestExplorationConfig,
    LONG_TERM_SATISFACTION: LongTermSatisfactionConfig,
}
"""Registered ids and the constants they take."""


class SlateVectorEnv(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """B users of a simulator; see the module for spaces and resets."""

    def __init__(self, simulator: Simulator, num_envs: int) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.simulator = simulator
        self.num_envs = num_envs
        self.render_mode = None
        self.single_observation_space = observation_space(simulator.spec)
        self.single_action_space = action_space(simulator.spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._users: SimulatedUsers | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """New users in all places; the same ``seed`` gives the same course. No options are known."""
        super().reset(seed=seed)
        self._users = self.simulator.users(self.num_envs, seed=_draw_seed(self.np_random))
        return to_dict(self._users.observation), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Show a slate to each user; ``actions`` int [B, k]."""
        feedback, positions, users = _step(self._users, actions)
        info: dict[str, Any] = {"chosen": feedback.chosen, "responses": feedback.responses, "positions": positions}
        if feedback.finished.any():
            info["final_obs"] = _final_observations(to_dict(users.observation), feedback.finished)
            info["_final_obs"] = feedback.finished
            users.restart(feedback.finished)
        return to_dict(users.observation), feedback.reward, feedback.terminated, feedback.truncated, info


class SlateEnv(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """One user of a simulator at a time; see the module for spaces."""

    def __init__(self, simulator: Simulator) -> None:
        self.metadata = {"render_modes": []}
        self.simulator = simulator
        self.observation_space = observation_space(simulator.spec)
        self.action_space = action_space(simulator.spec)
        self._users: SimulatedUsers | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new user; the same ``seed`` gives the same user and course. No options are known."""
        super().reset(seed=seed)
        self._users = self.simulator.users(1, seed=_draw_seed(self.np_random))
        return self._first(self._users.observation), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Show the slate ``action`` int [k]."""
        feedback, positions, users = _step(self._users, np.asarray(action)[None])
        info = {"chosen": int(feedback.chosen[0]), "responses": feedback.responses[0], "positions": positions[0]}
        observation = self._first(users.observation)
        return observation, float(feedback.reward[0]), bool(feedback.terminated[0]), bool(feedback.truncated[0]), info

    @staticmethod
    def _first(observation: Observation) -> dict[str, np.ndarray]:
        return {name: array[0] for name, array in to_dict(observation).items()}


def observation_space(spec: SimulatorSpec) -> Dict:
    """The space of one user's observation, zero-sized parts left out."""
    last = spec.num_items - 1
    parts = {
        "user_features": Box(-np.inf, np.inf, (len(spec.user_feature_names),), np.float32),
        "history": Box(-1, last, (spec.history_length,), np.int32),
        "history_feedback": Box(-1.0, 1.0, (spec.history_length,), np.float32),
        "context": Box(-np.inf, np.inf, (len(spec.context_names),), np.float32),
        "candidates": Box(-1, last, (spec.num_candidates,), np.int32),
    }
    return Dict({name: box for name, box in parts.items() if box.shape[0] > 0})


def action_space(spec: SimulatorSpec) -> MultiDiscrete:
    """The space of one user's slate."""
    return MultiDiscrete([spec.num_candidates] * spec.slate_size)


def to_dict(observation: Observation) -> dict[str, np.ndarray]:
    """An observation as Gymnasium's Dict space has it, [B, …] each, zero-sized parts left out."""
    names = ("user_features", "history", "history_feedback", "context", "candidates")
    parts = {name: getattr(observation, name) for name in names}
    return {name: array for name, array in parts.items() if array.shape[1] > 0}


def resolve_positions(actions: np.ndarray, available: Bool) -> Int32:
    """Slates without repeated or unavailable positions, int32 [B, k], from ``actions`` int [B, k].

    From the first slot on, a position that an earlier slot took, or that is not in ``available`` bool [B, M], gives way
    to the first available one that no earlier slot took. A position out of range is left for the simulator to refuse.
    """
    positions = np.array(actions, dtype=np.int32)
    if positions.ndim != 2 or positions.shape[0] != available.shape[0]:
        return positions
    if positions.size and not 0 <= positions.min() <= positions.max() < available.shape[1]:
        return positions
    free = available.copy()
    rows = np.arange(len(positions))
    for slot in range(positions.shape[1]):
        blocked = np.flatnonzero(~free[rows, positions[:, slot]])
        if len(blocked):
            positions[blocked, slot] = free[blocked].argmax(axis=1)
        free[rows, positions[:, slot]] = False
    return positions


def classic_env(environment: str, **constants: Any) -> SlateEnv:
    """One user of a name of `ENVIRONMENTS`."""
    return SlateEnv(_simulator(environment, constants))


def classic_vector_env(environment: str, num_envs: int = 1, **constants: Any) -> SlateVectorEnv:
    """``num_envs`` users of a name of `ENVIRONMENTS`."""
    return SlateVectorEnv(_simulator(environment, constants), num_envs)


def _simulator(environment: str, constants: dict[str, Any]) -> Simulator:
    config = ENVIRONMENTS[environment]
    if config is LongTermSatisfactionConfig and "preset" in constants:
        preset = LongTermSatisfactionConfig.preset(constants.pop("preset"))
        constants = {"sensitivity": preset.sensitivity, **constants}
    return build_classic(parse(config, constants, ""))


def _final_observations(observations: dict[str, np.ndarray], finished: Bool) -> np.ndarray:
    """Object array [B]: the observation of each user who left, None for the others."""
    final = np.full(len(finished), None, dtype=object)
    for row in np.flatnonzero(finished):
        final[row] = {name: array[row] for name, array in observations.items()}
    return final


def _step(users: SimulatedUsers | None, actions: np.ndarray) -> tuple[Feedback, Int32, SimulatedUsers]:
    if users is None:
        raise InputError("step", "was called before reset", "call reset first")
    positions = resolve_positions(actions, users.observation.available)
    return users.step(positions), positions, users


def _draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**63 - 1))


register_environments()
