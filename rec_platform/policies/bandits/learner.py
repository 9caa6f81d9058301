"""What all bandits have in common: they learn from (observation, item, reward), and hold sufficient statistics."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rec_platform.errors import InputError
from rec_platform.policies.experience import Experience
from rec_platform.policies.online import LearnerSpace, OnlineLearner, OnlineSettings
from rec_platform.types import Float64, Observation


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
            items, rewards, slots: see `Experience`.
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


class BanditLearner(OnlineLearner):
    """Learns how good items are, each for itself and now."""

    @abstractmethod
    def partial_fit(
        self, observation: Observation, items: ArrayLike, rewards: ArrayLike, slots: ArrayLike | None = None
    ) -> None:
        """Learn what came of ``items``; see `Experience` for the shapes. Oldest first, where the world drifts.

        Raises:
            InputError: shapes that do not fit, an item or a reward that cannot be.
        """

    def learn(self, experience: Experience) -> None:
        self.partial_fit(experience.observation, experience.items, experience.rewards, experience.slots)


class BanditSettings(OnlineSettings):
    """The `algorithm:` section of a bandit."""

    @abstractmethod
    def start(self, space: LearnerSpace, seed: int = 0) -> BanditLearner: ...
