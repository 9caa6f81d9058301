"""Bandits that keep a value for every context and item: all that differs between them is the table they score by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from rec_platform.errors import InputError
from rec_platform.policies.bandits.learner import BanditLearner, BanditSettings, Rewarded
from rec_platform.policies.bandits.statistics import RewardStatistics
from rec_platform.policies.context_key import ContextKey
from rec_platform.policies.learned_state import checked_state
from rec_platform.policies.online import LearnerSpace
from rec_platform.policies.policy import Sampler
from rec_platform.policies.rewards import RewardRule
from rec_platform.policies.samplers import Greedy, PerSlot
from rec_platform.policies.scorers.table import TableScorer
from rec_platform.types import Float64, Observation

UNPLAYED = np.float32(1e9)
"""The index of an item that was never shown: above all others, and finite so that it can be served and logged."""


class TableSettings(BanditSettings):
    """Settings of one of them.

    Attributes:
        slots: ``shared``: an item's value is the same wherever it stands, and each shown item teaches it;
            ``per_slot``: each place of the slate has values of its own (a bandit a slot).
        discount: γ; a reward weighs γ^age, age in shown items. None: all weigh alike.
        window: only the last so many shown items count. None: all do.
    """

    slots: Literal["shared", "per_slot"] = "shared"
    discount: float | None = Field(default=None, gt=0, lt=1)
    window: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_kind_of_drift(self) -> TableSettings:
        if self.discount is not None and self.window is not None:
            raise ValueError("discount and window are two ways to forget: choose one")
        return self

    def start(self, space: LearnerSpace, seed: int = 0) -> TableBandit:
        return TableBandit(self, space, seed)

    @abstractmethod
    def tables(self, statistics: RewardStatistics, initial: Float64) -> tuple[Float64, Float64 | None]:
        """Values float [rows, N] to score by, and the spread of what is believed [rows, N] where something is drawn.

        Args:
            initial: float64, of a shape that broadcasts to [rows, N]: what `initial_values` gave.
        """

    @abstractmethod
    def sampler(self) -> Sampler:
        """How slates are drawn from the scores."""

    def initial_values(self, space: LearnerSpace, rows: int, rng: np.random.Generator) -> Float64:
        """Values of what was never shown, float64, broadcasting to [rows, N]."""
        return np.zeros((1, 1))

    def scaled(self, rewards: Float64) -> Float64:
        """Rewards as they are counted."""
        return rewards

    def greedy_sampler(self) -> Sampler:
        return Greedy() if self.slots == "shared" else PerSlot(0.0)


class BoundedSettings(TableSettings):
    """Of bandits whose proofs ask for rewards in [0, 1].

    Attributes:
        reward_range: least and largest reward; they are scaled to [0, 1] and values are on that scale.
        rewards: by default 1 for a positive response and 0 for none.
    """

    reward_range: tuple[float, float] = (0.0, 1.0)
    rewards: RewardRule = Field(default_factory=lambda: RewardRule(events={}, positive=1.0, ignored=0.0))

    @model_validator(mode="after")
    def _rising(self) -> BoundedSettings:
        if self.reward_range[0] >= self.reward_range[1]:
            raise ValueError(f"reward_range {self.reward_range} does not rise")
        least, largest = self.rewards.range
        if self.rewards.noise or least < self.reward_range[0] or largest > self.reward_range[1]:
            raise ValueError(f"rewards must lie in reward_range {self.reward_range}, without noise")
        return self

    def accepts(self, reward: float) -> bool:
        return self.reward_range[0] <= reward <= self.reward_range[1]

    def scaled(self, rewards: Float64) -> Float64:
        """Raises `InputError` where a reward lies outside."""
        low, high = self.reward_range
        if ((rewards < low) | (rewards > high)).any():
            worst = rewards[np.argmax(np.maximum(low - rewards, rewards - high))]
            raise InputError("rewards", f"{worst} is outside {low} … {high}", "set algorithm.reward_range")
        return (rewards - low) / (high - low)


class TableBandit(BanditLearner):
    """Statistics of rewards [slots × contexts, N] under the settings of one kind."""

    def __init__(self, settings: TableSettings, space: LearnerSpace, seed: int) -> None:
        self.settings = settings
        self.key: ContextKey = settings.key(space)
        self.slots = space.slate_size if settings.slots == "per_slot" else 1
        rows = self.slots * self.key.size
        self.statistics = RewardStatistics((rows, space.num_items), settings.discount or 1.0, settings.window)
        self.initial = settings.initial_values(space, rows, np.random.default_rng(seed))

    def partial_fit(
        self, observation: Observation, items: ArrayLike, rewards: ArrayLike, slots: ArrayLike | None = None
    ) -> None:
        known = Rewarded.of(observation, items, rewards, slots, self.statistics.shape[1])
        slot = np.clip(known.slots, 0, self.slots - 1)
        rows = slot * self.key.size + self.key.ids(observation)[known.rows]
        self.statistics.add(rows, known.items, self.settings.scaled(known.rewards))

    def scorer(self) -> TableScorer:
        values, spread = self.settings.tables(self.statistics, self.initial)
        shape = (self.slots, self.key.size, self.statistics.shape[1])
        by_slot = values.astype(np.float32).reshape(shape)
        return TableScorer(self.key, by_slot, None if spread is None else spread.astype(np.float32))

    def sampler(self) -> Sampler:
        return self.settings.sampler()

    def state(self) -> dict[str, np.ndarray]:
        return self.statistics.state() | {"initial": self.initial.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        arrays = checked_state(state, self.statistics.state())
        initial = np.array(state.get("initial", np.zeros((0, 0))), dtype=np.float64)
        rows, items = self.statistics.shape
        if initial.shape not in {(r, i) for r in (1, rows) for i in (1, items)}:  # starts from counts or noise differ
            raise InputError("state.initial", f"is missing or not of shape {(rows, items)}", "settings differ")
        self.statistics.set_state(arrays)
        self.initial = initial
