"""KuaiSim's leave rule (Zhao et al. 2023, "KuaiSim: A comprehensive simulator for recommender systems", section 3.3).

    temper starts at ``temper``; a slate adds clip(mean over the slate of the answers - tolerance, -tolerance, 0)
    a user whose temper is below 1 leaves

With the published numbers (20, and 2) a slate costs between 1 and 2 whatever is shown: sessions of 10 to 20 slates, and
no boredom, so there is nothing long-term to learn but to be answered. It is here to compare with, and as a second rule.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rec_platform.simulation.leave.rule import BoredBy, SlateOutcome
from rec_platform.types import Float32

ROUNDING = 1e-4
"""More than float32 loses in the longest session, less than an answer changes."""


class TemperConfig(BaseModel):
    """A `LeaveRule`; see the module."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    kind: Literal["temper"] = "temper"
    temper: float = Field(default=20.0, gt=1)
    """At the start of a session."""
    tolerance: float = Field(default=2.0, gt=0)
    """Lost with a slate of which nothing was answered."""
    max_slates: int = Field(default=100, ge=1)
    """No session is longer."""

    @property
    def budget(self) -> float:
        """A temper below 1 is a budget used up; one of 1 is not, however the sum of the changes was rounded."""
        return self.temper - 1.0 + ROUNDING

    @property
    def bored_by(self) -> BoredBy:
        """Nobody is bored."""
        return "nothing"

    @property
    def recent(self) -> int:
        """Nothing is remembered."""
        return 1

    @property
    def typical_slates(self) -> float:
        """Of a user who answers a quarter of what he is shown."""
        return min(self.budget / max(self.tolerance - 0.25, 0.25), self.max_slates)

    def drain(self, outcome: SlateOutcome) -> Float32:
        """See `LeaveRule.drain`."""
        mean = outcome.answered / np.float32(outcome.slate_size)
        return -np.clip(mean - np.float32(self.tolerance), -np.float32(self.tolerance), np.float32(0.0))

    def without_boredom(self) -> TemperConfig:
        """The rule itself: it knows no boredom."""
        return self
