"""What all bandits have in common: they learn from (observation, item, reward), and give a policy at any time.

Learning and serving are apart. A learner holds sufficient statistics and changes with `partial_fit`; its `scorer()` is
a snapshot that never changes, is exported without pickle and is served like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from rec_platform.data.calendar import CALENDAR_NAMES, calendar_columns
from rec_platform.errors import InputError
from rec_platform.policies.context_key import ContextColumn, ContextKey
from rec_platform.policies.fitting import FitLog
from rec_platform.policies.policy import Policy, Sampler, Scorer
from rec_platform.types import Float32, Float64, Int32, Observation


@dataclass(frozen=True)
class BanditSpace:
    """What a bandit must know before its first event. N items, D features of items.

    Attributes:
        num_items: N.
        slate_size: K, the slots that per-slot bandits tell apart.
        user_feature_names, context_names: columns of the observations.
        item_features: float32 [N, D]; only linear bandits need them.
        quantities: float64 [N] or [contexts, N], how often items were taken so far; for initial values.
    """

    num_items: int
    slate_size: int = 1
    user_feature_names: tuple[str, ...] = ()
    context_names: tuple[str, ...] = ()
    item_features: Float32 | None = None
    quantities: Float64 | None = None


@dataclass(frozen=True)
class BanditLog:
    """Events to learn from, oldest first.

    Attributes:
        observation: B rows.
        items: int32 [B] or [B, k] catalogue indices shown; -1 = nothing.
        rewards: float64, of the same shape; NaN where it is not known what came of the item.
        slots: int64, of the same shape; None: column j is slot j.
    """

    observation: Observation
    items: Int32
    rewards: Float64
    slots: NDArray[np.int64] | None = None

    @staticmethod
    def of_events(log: FitLog, *, positive: float = 1.0, negative: float = -2.0) -> BanditLog:
        """The events of histories, in order of time, in the contexts of their moments (`CALENDAR_NAMES`).

        Observations show the moment and nothing of the user. A log without exposures says only what users responded to.
        """
        events = log.histories
        order = np.argsort(events.timestamps, kind="stable")
        rows = len(order)
        observation = Observation(
            user_features=np.zeros((rows, 0), np.float32),
            history=np.full((rows, 0), -1, np.int32),
            history_feedback=np.zeros((rows, 0), np.float32),
            context=calendar_columns(events.timestamps[order]),
            candidates=events.items[order][:, None].astype(np.int32),
        )
        rewards = np.where(events.feedback > 0, positive, negative).astype(np.float64)
        return BanditLog(observation, events.items[order].astype(np.int32), rewards[order])

    @staticmethod
    def space_of_events(log: FitLog) -> BanditSpace:
        """The space that `of_events` lies in, with the log's counts as quantities."""
        return BanditSpace(
            len(log.catalog), context_names=CALENDAR_NAMES, item_features=log.catalog.features, quantities=log.counts
        )


@dataclass(frozen=True)
class Rewarded:
    """Known rewards as flat rows, oldest first: ``rows`` int64 [n] of the observation, items, slots, rewards [n]."""

    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    slots: NDArray[np.int64]
    rewards: Float64

    @staticmethod
    def of(
        observation: Observation, items: ArrayLike, rewards: ArrayLike, slots: ArrayLike | None, size: int
    ) -> Rewarded:
        """What of B observations can be learned from.

        Args:
            items, rewards, slots: see `BanditLog`.
            size: N.

        Raises:
            InputError: shapes that do not fit, an item not of the catalogue, or an infinite reward.
        """
        shown, reward = np.asarray(items), np.asarray(rewards, dtype=np.float64)
        if shown.ndim not in (1, 2) or len(shown) != observation.batch_size or reward.shape != shown.shape:
            problem = f"items {shown.shape} and rewards {reward.shape} of {observation.batch_size} observations"
            raise InputError("rewards", problem, "give both as [B] or [B, k]")
        if slots is not None and np.shape(slots) != shown.shape:
            raise InputError("slots", f"have shape {np.shape(slots)}, items {shown.shape}", "give one for each item")
        if shown.ndim == 1:
            shown, reward = shown[:, None], reward[:, None]
        slot = np.arange(shown.shape[1]) if slots is None else np.asarray(slots).reshape(shown.shape)
        if (shown >= size).any():
            raise InputError("items", f"{int(shown.max())} is not of the catalogue", f"it has {size} items")
        if np.isinf(reward).any():
            raise InputError("rewards", "an infinite one", "leave it out as NaN")
        known = (shown >= 0) & ~np.isnan(reward)
        rows, _ = np.nonzero(known)
        return Rewarded(
            rows,
            shown[known].astype(np.int64),
            np.broadcast_to(slot, shown.shape)[known].astype(np.int64),
            reward[known],
        )


class BanditLearner(ABC):
    """Learns in place. Copies of it and its state are picklable; nothing in it is code."""

    @abstractmethod
    def partial_fit(
        self, observation: Observation, items: ArrayLike, rewards: ArrayLike, slots: ArrayLike | None = None
    ) -> None:
        """Learn what came of ``items``; see `BanditLog` for the shapes. Oldest first, where the world drifts.

        Raises:
            InputError: shapes that do not fit, an item or a reward that cannot be.
        """

    @abstractmethod
    def scorer(self) -> Scorer:
        """What is believed now: unchanged by later learning."""

    @abstractmethod
    def sampler(self) -> Sampler:
        """How this bandit explores."""

    def policy(self, name: str) -> Policy:
        """Scorer and sampler of now."""
        return Policy(name, self.scorer(), self.sampler())

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """All that was learned, as arrays; copies."""

    @abstractmethod
    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on, to the last bit, from what `state` of a learner of the same settings gave.

        Raises:
            InputError: arrays of other sizes, or one that is missing.
        """


class BanditSettings(BaseModel):
    """The `algorithm:` section of a bandit.

    Attributes:
        kind: the algorithm's name.
        context: groups of columns that make the context, see `ContextKey`; none: one context for all.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]
    context: list[str | ContextColumn] = Field(default_factory=list)

    @abstractmethod
    def start(self, space: BanditSpace, seed: int = 0) -> BanditLearner:
        """A learner that has seen nothing; ``seed`` decides initial values that are drawn."""

    def fit(self, log: BanditLog, space: BanditSpace, seed: int = 0) -> BanditLearner:
        """A learner that has seen ``log``."""
        learner = self.start(space, seed)
        learner.partial_fit(log.observation, log.items, log.rewards, log.slots)
        return learner

    def restore(self, space: BanditSpace, state: Mapping[str, np.ndarray]) -> BanditLearner:
        """The learner whose `BanditLearner.state` was saved."""
        learner = self.start(space)
        learner.set_state(state)
        return learner

    def key(self, space: BanditSpace) -> ContextKey:
        return ContextKey.build(self.context, space.user_feature_names, space.context_names)
