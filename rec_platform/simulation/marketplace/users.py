"""The live users of a marketplace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.generator.sessions import patience_spent, purchase_probability
from rec_platform.data.generator.world import CATEGORIES
from rec_platform.errors import InputError
from rec_platform.simulation.candidates.sets import full_catalogue
from rec_platform.simulation.choice import multinomial_logit
from rec_platform.simulation.positions import check_positions
from rec_platform.simulation.streams import LaneStreams
from rec_platform.simulation.users_state import OF, check_alike, copies, identity, put_back
from rec_platform.types import Bool, Feedback, Float32, Float64, Int32, Observation

if TYPE_CHECKING:
    from rec_platform.simulation.marketplace.simulator import Marketplace


class MarketplaceUsers:
    """B live users of a `Marketplace`; a `SimulatedUsers`.

    Arrays are changed in place until an observation is handed out, and copied before the first change after that.

    Attributes:
        world_users: int64 [B] rows of the world.
        fatigue: float64 [B, C] recent consumption of each category.
        patience: float64 [B] what is left of it.
    """

    PHASES: ClassVar[Mapping[str, tuple[str, ...]]] = {"choice": ("_answer",), "transition": ("_tire", "_remember")}
    _STATE = (
        "world_users",
        "fatigue",
        "patience",
        "_slates",
        "_answered",
        "_user_features",
        "_history",
        "_history_feedback",
        "_candidates",
    )
    _SHOWN = ("_user_features", "_history", "_history_feedback", "_candidates")

    def __init__(self, simulator: Marketplace, count: int, *, seed: int, staggered: bool) -> None:
        self.spec = spec = simulator.spec
        self._simulator = simulator
        self._config = simulator.config
        self._world = simulator.world
        self._streams = LaneStreams(seed, count)
        self._rng = self._streams.rng
        self._row = np.arange(count)
        self.world_users: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.fatigue: Float64 = np.zeros((count, len(CATEGORIES)))
        self.patience: Float64 = np.zeros(count)
        self._slates: Int32 = np.zeros(count, dtype=np.int32)
        self._answered: Int32 = np.zeros(count, dtype=np.int32)
        self._user_features: Float32 = np.empty((count, len(spec.user_feature_names)), dtype=np.float32)
        self._history: Int32 = np.empty((count, spec.history_length), dtype=np.int32)
        self._history_feedback: Float32 = np.empty((count, spec.history_length), dtype=np.float32)
        self._candidates: Int32 = np.tile(np.arange(spec.num_items, dtype=np.int32), (count, 1))
        self._observation: Observation | None = None
        self._enter(self._row)
        if staggered:
            self._stagger()

    @property
    def observation(self) -> Observation:
        """What the recommender may know now."""
        if self._observation is None:
            share = self._answered / np.maximum(self._slates, 1)
            context = np.stack([self._slates / self._config.max_steps, share], axis=1).astype(np.float32)
            self._observation = Observation(
                user_features=self._user_features,
                history=self._history,
                history_feedback=self._history_feedback,
                context=context,
                candidates=self._candidates,
            )
        return self._observation

    def step(self, positions: Int32) -> Feedback:
        """Show a slate to each user; see `SimulatedUsers.step`."""
        count = len(self._row)
        positions = check_positions(positions, batch_size=count, spec=self.spec)
        items = np.take_along_axis(self._candidates, positions, axis=1)
        if items.min() < 0:
            row, slot = np.argwhere(items < 0)[0]
            problem = f"position {positions[row, slot]} in row {row} holds no available item"
            raise InputError("positions", problem, "choose positions where candidates >= 0")
        chosen, purchased, utility = self._answer(items)
        clicked, slot = chosen >= 0, np.maximum(chosen, 0)
        self._disown()
        self._tire(items[self._row, slot], clicked, utility)
        self._remember(np.flatnonzero(clicked), items[self._row, slot][clicked])
        responses = np.zeros((count, self.spec.slate_size, 2), dtype=np.float32)
        responses[self._row, slot, 0] = clicked
        responses[self._row, slot, 1] = purchased
        return Feedback(
            chosen=chosen,
            responses=responses,
            reward=(clicked + self._config.purchase_reward * purchased).astype(np.float32),
            terminated=(self.patience <= 0) | (self._slates >= self._config.max_steps),
            truncated=np.zeros(count, dtype=np.bool_),
        )

    def restart(self, finished: Bool) -> None:
        """Replace the users of ``finished`` bool [B]; see `SimulatedUsers.restart`."""
        rows = np.flatnonzero(finished)
        if len(rows):
            self._disown()
            self._enter(rows)

    def get_state(self) -> dict[str, Any]:
        """See `SimulatedUsers.get_state`."""
        own = {OF: identity(self, len(self._row)), "streams": self._streams.get_state()}
        return {**own, **copies(self, self._STATE)}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SimulatedUsers.set_state`."""
        check_alike(self.get_state(), state)
        self._streams.set_state(state["streams"])
        put_back(self, self._STATE, state)
        self._observation = None  # all arrays are new

    def _answer(self, items: Int32) -> tuple[Int32, Bool, Float64]:
        """Slot clicked int32 [B], whether it was bought bool [B], and its utility [B] (that of slot 0 where none)."""
        config, uniforms = self._config, self._rng.random((2, len(items)), dtype=np.float32)
        utility = self._world.affinity(self.world_users, items)
        utility -= config.boredom * self.fatigue[self._row[:, None], self._world.category[items]]
        chosen = multinomial_logit(utility.astype(np.float32), np.float32(config.null_utility), uniforms[0])
        taken = utility[self._row, np.maximum(chosen, 0)]
        return chosen, (chosen >= 0) & (uniforms[1] < purchase_probability(taken)), taken

    def _tire(self, items: Int32, clicked: Bool, utility: Float64) -> None:
        """Fatigue, patience and counts after ``items`` [B] of ``utility`` [B] where clicked."""
        self.fatigue *= self._config.fatigue_decay
        self.fatigue[self._row[clicked], self._world.category[items[clicked]]] += 1.0
        self.patience -= patience_spent(utility, clicked, self._config.null_utility)
        self._slates += 1
        self._answered += clicked

    def _remember(self, users: NDArray[np.int64], items: Int32) -> None:
        """One item more in the history of each of ``users``, the oldest entry falling out."""
        dropped = self._history[users, 0]
        history = np.concatenate([self._history[users, 1:], items[:, None]], axis=1)
        self._history[users] = history
        self._history_feedback[users, :-1] = self._history_feedback[users, 1:]
        self._history_feedback[users, -1] = 1.0
        if not self._config.repeats:
            freed = dropped >= 0
            self._candidates[users[freed], dropped[freed]] = dropped[freed]
            self._candidates[users[:, None], np.where(history >= 0, history, items[:, None])] = -1

    def _disown(self) -> None:
        """Before a change: leave the arrays to the observation that was handed out, and go on with copies."""
        if self._observation is not None:
            self._observation = None
            for name in self._SHOWN:
                setattr(self, name, getattr(self, name).copy())

    def _enter(self, rows: NDArray[np.int64]) -> None:
        """New users, rested, in ``rows`` int [n]; the arrays must be ours."""
        population, draws = self._simulator.population, self._streams.entries(rows, 2)
        who = (draws[:, 0] * self._config.num_users).astype(np.int64)
        self.world_users[rows] = who
        self.fatigue[rows] = 0.0
        self.patience[rows] = self._config.patience * (0.5 + draws[:, 1])
        self._slates[rows] = 0
        self._answered[rows] = 0
        self._user_features[rows] = population.user_features[who]
        self._history[rows] = population.history[who]
        self._history_feedback[rows] = population.history_feedback[who]
        if not self._config.repeats:
            self._candidates[rows] = full_catalogue(population.history[who], self.spec.num_items)

    def _stagger(self) -> None:
        """Start after a uniform number of slates that did not please, fewer than end the session."""
        most = np.minimum(np.ceil(self.patience), self._config.max_steps)
        passed = np.floor(self._rng.random(len(self._row)) * most)
        self.patience -= passed
        self._slates[:] = passed.astype(np.int32)
