"""EasyRL4Rec's leave rule (Yu et al. 2024; KuaiRec's environment of Gao et al. 2023, "CIRS").

    W = what the user consumed lately: the positive ones of the ``recent`` newest entries of his visible history
    he leaves when a category of the item consumed now stands more than ``most`` times in W (before it is added), or
    after ``max_slates``

Differences to the published code, which shows one item a step and knows no "nothing": an item shown and not consumed
changes nothing, and W is as long as there is history (the code's slice is empty or wrong-ended in the first steps).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rec_platform.simulation.leave.rule import BoredBy, SlateOutcome
from rec_platform.types import Float32


class RepetitionConfig(BaseModel):
    """A `LeaveRule`; see the module."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    kind: Literal["repetition"] = "repetition"
    recent: int = Field(default=9, ge=1)
    """N, newest history entries that W is taken from."""
    most: int = Field(default=1, ge=0)
    """τ: a category may stand so often in W."""
    max_slates: int = Field(default=30, ge=1)
    """No session is longer."""

    @property
    def budget(self) -> float:
        """Any: a repetition drains it all."""
        return 1.0

    @property
    def bored_by(self) -> BoredBy:
        """Categories."""
        return "category"

    @property
    def typical_slates(self) -> float:
        """A guess."""
        return min(5.0, self.max_slates)

    def drain(self, outcome: SlateOutcome) -> Float32:
        """See `LeaveRule.drain`."""
        return np.where(outcome.likeness > self.most, np.float32(np.inf), np.float32(0.0)).astype(np.float32)

    def without_boredom(self) -> RepetitionConfig:
        """Repetition never drives anybody away."""
        return self.model_copy(update={"most": 1_000_000})
