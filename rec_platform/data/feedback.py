"""How an event becomes +1 or -1 in a history: the one rule that ingest, simulator, training and serving share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

POSITIVE_EVENTS = ("click", "like", "add_to_cart", "purchase", "consume")
NEGATIVE_EVENTS = ("dislike", "skip", "ignore")

RANDOM_RATING = "random_rating"
"""A rating of an item drawn uniformly at random: never enters a history; models are judged on it."""


@dataclass(frozen=True, slots=True)
class FeedbackRule:
    """Which events count, and which way.

    Attributes:
        positive: events that mean +1.
        negative: events that mean -1.
        rating_threshold: an event ``rating`` is +1 from this value on, -1 below.

    Every other event (``impression``, ``view``, ``random_rating`` …) leaves no trace in a history.
    """

    positive: tuple[str, ...] = POSITIVE_EVENTS
    negative: tuple[str, ...] = NEGATIVE_EVENTS
    rating_threshold: float = 4.0

    def feedback(self, event: str, value: float | None) -> float:
        """+1, -1, or 0 for an event that does not enter a history."""
        if event == "rating":
            return 0.0 if value is None else (1.0 if value >= self.rating_threshold else -1.0)
        return 1.0 if event in self.positive else (-1.0 if event in self.negative else 0.0)

    def column(self, events: pa.ChunkedArray | pa.Array, values: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """The same for columns of a table: float32 [rows]."""
        event = events.to_numpy(zero_copy_only=False).astype(object)
        value = values.to_numpy(zero_copy_only=False).astype(np.float64)
        out = np.zeros(len(event), dtype=np.float32)
        out[np.isin(event, self.positive)] = 1.0
        out[np.isin(event, self.negative)] = -1.0
        rated = (event == "rating") & ~np.isnan(value)
        out[rated] = np.where(value[rated] >= self.rating_threshold, 1.0, -1.0)
        return out

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> FeedbackRule:
        return FeedbackRule(
            positive=tuple(values["positive"]),
            negative=tuple(values["negative"]),
            rating_threshold=float(values["rating_threshold"]),
        )
