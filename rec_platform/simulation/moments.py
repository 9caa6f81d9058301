"""Simulated users who ask at moments of the log: what recommenders see whose context is the calendar.

The users themselves do as they do without a calendar. A user asks for all slates of a session at one moment, drawn from
those at which the log's users responded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.request_context import USER_HASH, request_context
from rec_platform.errors import InputError
from rec_platform.simulation.simulator import SimulatedUsers, Simulator
from rec_platform.types import Bool, Feedback, Float32, Int32, Observation


class InMoments:
    """A simulator whose context columns are ``names`` of `data.request_context`, in the place of its own.

    Attributes:
        moments: int64 [n] microseconds since 1970, UTC, to draw from.
    """

    def __init__(self, simulator: Simulator, names: Sequence[str], moments: NDArray[np.int64]) -> None:
        if not len(moments):
            raise InputError("moments", "there are none", "give those of a log")
        self.simulator, self.names, self.moments = simulator, tuple(names), np.asarray(moments, dtype=np.int64)
        self.spec = replace(simulator.spec, context_names=self.names)
        self.item_features: Float32 = simulator.item_features

    def users(self, count: int, *, seed: int, staggered: bool = False) -> MomentUsers:
        """The same users as without moments, and a moment for each."""
        return MomentUsers(self, self.simulator.users(count, seed=seed, staggered=staggered), count, seed)

    def immediate_value(self, observation: Observation) -> Float32:
        return self.simulator.immediate_value(observation)

    def variants(self) -> Mapping[str, Simulator]:
        return {name: InMoments(other, self.names, self.moments) for name, other in self.simulator.variants().items()}


class MomentUsers:
    """B live users; a `SimulatedUsers`. Users of the simulator have no id: `USER_HASH` is -1, which is unknown."""

    def __init__(self, simulator: InMoments, users: SimulatedUsers, count: int, seed: int) -> None:
        self.spec = simulator.spec
        self._simulator, self._users = simulator, users
        self._rng = np.random.default_rng([seed, 2])
        self._columns = self._drawn(count)

    @property
    def observation(self) -> Observation:
        return replace(self._users.observation, context=self._columns)

    def step(self, positions: Int32) -> Feedback:
        return self._users.step(positions)

    def restart(self, finished: Bool) -> None:
        self._users.restart(finished)
        columns = self._columns.copy()  # the old ones were handed out
        columns[finished] = self._drawn(int(finished.sum()))
        self._columns = columns

    def get_state(self) -> dict[str, Any]:
        return {
            "users": self._users.get_state(),
            "columns": self._columns.copy(),
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        if np.shape(state.get("columns", ())) != self._columns.shape:
            raise InputError("state.columns", f"is missing or not of shape {self._columns.shape}", "it is of others")
        self._users.set_state(state["users"])
        self._columns = np.array(state["columns"], dtype=np.float32)
        self._rng.bit_generator.state = state["rng"]

    def _drawn(self, count: int) -> Float32:
        simulator = self._simulator
        moments = simulator.moments[self._rng.integers(len(simulator.moments), size=count)]
        columns = request_context(simulator.names, moments, [""] * count)
        if USER_HASH in simulator.names:
            columns[:, simulator.names.index(USER_HASH)] = -1.0
        return columns
