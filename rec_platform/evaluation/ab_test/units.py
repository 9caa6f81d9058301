"""What an A/B test compares: one row a unit of randomisation, usually a user, with all that came of him so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rec_platform.errors import InputError
from rec_platform.types import Float64


@dataclass(frozen=True)
class Units:
    """n units of A arms.

    Attributes:
        arms: names; the first is the control.
        arm: int64 [n] index into ``arms``.
        metrics: float64 [n] by name; a unit of which nothing came has its 0 there, not a missing value.
        covariate: float64 [n], known before the test began, e.g. the same metric of the weeks before; None where there
            is none. NaN for units that were not there.
        segment: [n] names of groups to tell apart; None where there are none.
    """

    arms: tuple[str, ...]
    arm: NDArray[np.int64]
    metrics: dict[str, Float64]
    covariate: Float64 | None = None
    segment: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) < len(self.arms):
            raise InputError("arms", f"{', '.join(self.arms)}: two or more different ones are needed", "check the log")
        if len(self.arm) and not (self.arm.min() >= 0 and self.arm.max() < len(self.arms)):
            raise InputError("arm", "an index is none of the arms", f"there are {len(self.arms)}")
        columns = {**self.metrics, "covariate": self.covariate, "segment": self.segment}
        for name, column in columns.items():
            if column is not None and column.shape != self.arm.shape:
                raise InputError(name, f"has shape {column.shape}, arm {self.arm.shape}", "give one a unit")
        for name, column in self.metrics.items():
            if not np.isfinite(column).all():
                raise InputError(f"metrics.{name}", "one is not a finite number", "give 0 to units without an event")

    def __len__(self) -> int:
        return len(self.arm)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Int64 [A]: units of each arm."""
        return np.bincount(self.arm, minlength=len(self.arms))

    def take(self, rows: NDArray) -> Units:
        """Some units: bool [n] or an index."""
        return Units(
            self.arms,
            self.arm[rows],
            {name: column[rows] for name, column in self.metrics.items()},
            None if self.covariate is None else self.covariate[rows],
            None if self.segment is None else self.segment[rows],
        )

    @staticmethod
    def of_decisions(
        user_ids: NDArray,
        arm: NDArray,
        rewards: dict[str, Float64],
        *,
        control: str,
        covariate: dict[str, float] | None = None,
        segment: dict[str, str] | None = None,
    ) -> Units:
        """Users of D decisions, each with the sum of what came of his.

        Args:
            user_ids: [D].
            arm: [D] names. Users who were in two arms were not randomised by user: that is refused.
            rewards: float64 [D] by name.
            control: the arm that others are compared with.
            covariate, segment: of users, by id.

        Raises:
            InputError: no such control, or a user in two arms.
        """
        names = [control, *sorted({str(name) for name in arm} - {control})]
        if control not in {str(name) for name in arm}:
            known = ", ".join(names[1:])
            raise InputError("--control", f"no decision is of arm '{control}'", f"the log has {known or 'no arms'}")
        users, row = np.unique(np.asarray(user_ids, dtype=str), return_inverse=True)
        code = np.array([names.index(str(name)) for name in arm], dtype=np.int64)
        least, most = np.full(len(users), len(names)), np.full(len(users), -1)
        np.minimum.at(least, row, code)
        np.maximum.at(most, row, code)
        if (least != most).any():
            both = users[least != most]
            problem = f"{len(both)} users were in two arms, e.g. '{both[0]}'"
            raise InputError("arm", problem, "assign by user, or leave out those who changed")
        return Units(
            tuple(names),
            least.astype(np.int64),
            {
                name: np.bincount(row, weights=column, minlength=len(users)).astype(np.float64)
                for name, column in rewards.items()
            },
            None if covariate is None else np.array([covariate.get(user, np.nan) for user in users]),
            None if segment is None else np.array([segment.get(user, "unknown") for user in users]),
        )
