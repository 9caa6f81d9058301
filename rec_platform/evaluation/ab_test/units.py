"""What an A/B test compares: one row a unit of randomisation, usually a user, with all that came of him so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.ratio import linearised
from rec_platform.types import Float64


@dataclass(frozen=True)
class Units:
    """n units of A arms.

    Attributes:
        arms: names; the first is the control.
        arm: int64 [n] index into ``arms``.
        metrics: float64 [n] by name; a unit of which nothing came has its 0 there, not a missing value.
        covariates: float64 [n] by metric, known before the test began, e.g. the same metric of the weeks before. NaN
            for units that were not there. A metric without one is not adjusted.
        segment: [n] names of groups to tell apart; None where there are none.
        denominators: float64 [n] by metric: those metrics are the sum of ``metrics`` over the sum of these, e.g. reward
            over decisions. The others are means over units.
    """

    arms: tuple[str, ...]
    arm: NDArray[np.int64]
    metrics: dict[str, Float64]
    covariates: dict[str, Float64] = field(default_factory=dict)
    segment: NDArray[np.str_] | None = None
    denominators: dict[str, Float64] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms):
            raise InputError("arms", f"{', '.join(self.arms)}: two or more different ones are needed", "check the log")
        if len(self.arm) and not (self.arm.min() >= 0 and self.arm.max() < len(self.arms)):
            raise InputError("arm", "an index is none of the arms", f"there are {len(self.arms)}")
        columns = [(f"metrics.{name}", column) for name, column in self.metrics.items()]
        columns += [(f"covariates.{name}", column) for name, column in self.covariates.items()]
        columns += [(f"denominators.{name}", column) for name, column in self.denominators.items()]
        for name, column in [*columns, *([] if self.segment is None else [("segment", self.segment)])]:
            if column.shape != self.arm.shape:
                raise InputError(name, f"has shape {column.shape}, arm {self.arm.shape}", "give one a unit")
        for name, column in columns:
            if not name.startswith("covariates") and not np.isfinite(column).all():
                raise InputError(name, "one is not a finite number", "give 0 to units without an event")
        for name, column in self.denominators.items():
            if name not in self.metrics or (column < 0).any():
                raise InputError(f"denominators.{name}", "belongs to no metric, or is below 0", "give counts")

    def __len__(self) -> int:
        return len(self.arm)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Int64 [A]: units of each arm."""
        return np.bincount(self.arm, minlength=len(self.arms))

    def values(self, metric: str) -> Float64:
        """Float64 [n] whose mean over an arm is the arm's metric and whose spread says how sure that is.

        The metric itself, or where it is a ratio its `linearised` form, arm by arm; NaN in an arm that has no ratio.
        """
        values = self.metrics[metric]
        if metric not in self.denominators:
            return values
        out = np.empty(len(self))
        for number in range(len(self.arms)):
            own = self.arm == number
            out[own] = linearised(values[own], self.denominators[metric][own])
        return out

    def take(self, rows: NDArray) -> Units:
        """Some units: bool [n] or an index."""
        return Units(
            self.arms,
            self.arm[rows],
            {name: column[rows] for name, column in self.metrics.items()},
            {name: column[rows] for name, column in self.covariates.items()},
            None if self.segment is None else self.segment[rows],
            {name: column[rows] for name, column in self.denominators.items()},
        )
