"""What every leave rule answers: how much of a user's patience a slate used up.

A user enters with `LeaveRule.budget`. Every slate drains some of it; at 0 or below, or after `max_slates`, he leaves.
A rule without memory drains either nothing or everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from rec_platform.types import Float32, Int32


@dataclass(frozen=True, slots=True)
class SlateOutcome:
    """What B users met and did in one step.

    Attributes:
        chosen: int32 [B] slot consumed, -1 = none.
        answered: float32 [B] how many items of the slate were.
        slate_size: k.
        likeness: float32 [B] of the slate to what the user consumed lately, measured as the rule's ``bored_by`` and
            ``recent`` say; 0 where the rule wants none.
        slates: int32 [B] slates of the session so far, this one included.
        answered_slates: float32 [B] how many of them were answered.
        uniforms: float32 [B] in [0, 1), a draw of the rule's own.
    """

    chosen: Int32
    answered: Float32
    slate_size: int
    likeness: Float32
    slates: Int32
    answered_slates: Float32
    uniforms: Float32


BoredBy = Literal["consumed", "shown", "category", "nothing"]
"""Whose likeness counts: the item consumed; the mean of the slate; how often the categories of the item consumed stand
among those lately consumed (a count, the largest over its categories); or nothing's."""


class LeaveRule(Protocol):
    """When users leave."""

    @property
    def budget(self) -> float:
        """Patience at the start of a session."""
        ...

    @property
    def max_slates(self) -> int:
        """No session is longer."""
        ...

    @property
    def bored_by(self) -> BoredBy:
        """Which likeness the rule looks at."""
        ...

    @property
    def recent(self) -> int:
        """How many of the newest history entries the likeness is to."""
        ...

    @property
    def typical_slates(self) -> float:
        """About how many slates a session has: where sessions start staggered."""
        ...

    def drain(self, outcome: SlateOutcome) -> Float32:
        """Patience used up by the slate, float32 [B]; may be inf."""
        ...


def left_at_random(probability: Float32, uniforms: Float32) -> Float32:
    """A drain without memory: inf with ``probability`` [B], else 0."""
    return np.where(uniforms < probability, np.float32(np.inf), np.float32(0.0)).astype(np.float32)
