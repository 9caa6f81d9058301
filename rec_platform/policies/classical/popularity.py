"""What most users took: of all time, or lately."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from rec_platform.data.histories import DAY
from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.scorers.static import StaticScorer


class PopularitySettings(FittedSettings):
    """Items by their number of positive events.

    Attributes:
        days: only the last so many days of the log count; None for all of it.
    """

    kind: ClassVar[str] = "popularity"
    days: float | None = Field(default=None, gt=0)

    def fit(self, log: FitLog, seed: int) -> StaticScorer:
        counts = log.counts
        if self.days is not None:
            events = log.histories
            late = (events.timestamps > events.timestamps.max() - self.days * DAY) & (events.feedback > 0)
            recent = np.bincount(events.items[late], minlength=len(log.catalog))
            counts = recent + counts / (counts.sum() + 1.0)  # of items with none lately, those with more before
        return StaticScorer(counts.astype(np.float32))
