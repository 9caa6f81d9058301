"""A number that may change while training goes on."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field


def _rising(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    shares = [share for share, _ in points]
    if shares != sorted(shares) or not all(0.0 <= share <= 1.0 for share in shares):
        raise ValueError("shares of training must rise within 0 to 1, e.g. [[0, 0.01], [0.5, 0.001]]")
    return points


NotNegative = Annotated[float, Field(ge=0)]
Points = Annotated[list[tuple[float, NotNegative]], Field(min_length=1), AfterValidator(_rising)]
Schedule = NotNegative | Points
"""A constant, or [share of training, value] pairs, linear in between and constant outside them."""


def at(schedule: Schedule, progress: float) -> float:
    """The value after ``progress`` in [0, 1] of training."""
    if isinstance(schedule, int | float):
        return float(schedule)
    shares, values = zip(*schedule, strict=True)
    return float(np.interp(progress, shares, values))
