"""What an event is worth to a recommender that learns from what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rec_platform.data.event_channels import CONSUME
from rec_platform.data.histories import Histories
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Float32, Float64


class RewardRule(BaseModel):
    """The reward of a shown item: that of the best thing that came of it. The defaults are the RFM recommender's.

    Attributes:
        events: reward of each event, or response channel, by name.
        positive: of a positive response whose event has no reward of its own: a rating, or a simulated consumption.
        ignored: reward of an item of which nothing came, or nothing good.
        noise: standard deviation of what simulated rewards are drawn around these with.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    events: dict[str, float] = Field(default_factory=lambda: {"purchase": 5.0, "click": 1.0})
    positive: float = 1.0
    ignored: float = -2.0
    noise: float = Field(default=0.0, ge=0)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest, noise left out."""
        worth = (*self.events.values(), self.positive, self.ignored)
        return min(worth), max(worth)

    def of_responses(self, responses: Float32, channels: Sequence[str]) -> Float64:
        """Rewards float64 [B, k] of ``responses`` [B, k, E] in ``channels`` (E names); above 0 means that it happened.

        Raises:
            InputError: none of the channels has a reward.
        """
        known = {CONSUME: self.positive} | self.events
        worth = np.array([known.get(name, -np.inf) for name in channels])
        if not np.isfinite(worth).any():
            problem = f"none of the channels {', '.join(channels)} has a reward"
            raise InputError("algorithm.rewards", problem, did_you_mean(next(iter(channels), ""), self.events))
        best = np.where(responses > 0, worth, -np.inf).max(axis=-1)
        return np.where(np.isfinite(best), best, self.ignored)

    def of_histories(self, histories: Histories) -> Float64:
        """Rewards float64 [rows] of the events of histories, each for itself."""
        positive = np.full(len(histories.items), self.positive)
        if histories.events is not None:
            worth = np.array([self.events.get(name, self.positive) for name in histories.event_names])
            positive = worth[histories.events]
        return np.where(histories.feedback > 0, positive, self.ignored)
