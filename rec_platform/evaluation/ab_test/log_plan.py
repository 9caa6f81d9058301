"""An A/B test planned from a log: how much its users differ says how many are needed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.cuped import cuped
from rec_platform.evaluation.ab_test.experiment import read_users
from rec_platform.evaluation.ab_test.planning import minimal_detectable_effect, plan
from rec_platform.evaluation.ab_test.ratio import linearised
from rec_platform.evaluation.ab_test.user_metrics import DAY

WEEKS = (7, 14, 28)
"""Days."""


@dataclass(frozen=True)
class LogPlan:
    """Attributes:
    metric: its name.
    users: of the log, by whom it was planned.
    mean, deviation: of the metric over them; of a ratio, of its linearised form.
    variance_ratio: what CUPED leaves of the variance; 1 without a covariate.
    effect: difference to be found, absolute.
    units: users of both arms until it is found with the power asked for.
    days: until so many have come, and the last one's own days are over.
    seen: by days, the difference that they would find; None where no user's days would be over.
    share, power, confidence, users_a_day, days_a_user: as asked for.
    log_days: between the first and the last decision.
    """

    metric: str
    users: int
    mean: float
    deviation: float
    variance_ratio: float
    effect: float
    units: int
    days: float
    seen: dict[int, float | None]
    share: float
    power: float
    confidence: float
    users_a_day: float
    days_a_user: float | None
    log_days: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"remarks": self.remarks}

    @property
    def remarks(self) -> list[str]:
        """What the figures rest on."""
        lines = [
            f"For one look at the end, {self.confidence:.0%} confidence, power {self.power:.0%}. A test that may be "
            "looked at at any time needs more users."
        ]
        if self.days_a_user is None:
            lines.append(
                f"Taken from what users did in the {self.log_days:.3g} days of the log: it holds for a test in which "
                "users have as much time. --days-a-user gives each the same."
            )
        return lines


def plan_from_log(
    log: Path,
    metric: str,
    *,
    effect: float,
    relative: bool,
    users_a_day: float,
    share: float = 0.5,
    power: float = 0.8,
    confidence: float = 0.95,
    since: int | None = None,
    days_a_user: float | None = None,
    before: Path | None = None,
) -> LogPlan:
    """Plan a test of two arms.

    Args:
        metric: see `metrics`.
        effect: difference to be found, absolute, or a share of the log's mean where ``relative``.
        users_a_day: new users of both arms together.
        share: of users in the arm that is tried.
        since, days_a_user, before: see `experiment.read_experiment`.

    Raises:
        InputError: no such metric, users who do not differ, or numbers that cannot be.
    """
    if not 0 < users_a_day < float("inf"):
        raise InputError("--users-a-day", f"{users_a_day}", "choose a number above 0")
    users, covariates = read_users(log, metric, since=since, days_a_user=days_a_user, before=before)
    numerators, denominators = users.sums(users.end)
    known = users.known(users.end)
    values = numerators[metric][known]
    if metric in denominators:
        values = linearised(values, denominators[metric][known])
    log_days = (users.end - int(users.time.min())) / DAY
    if len(values) < 2:
        problem = f"{len(values)} users were there that long: the log has {log_days:.3g} days"
        raise InputError("--days-a-user", problem, "choose fewer")
    if not values.std() > 0:
        raise InputError("--metric", f"{metric} does not vary over the {len(values):,} users", "choose another")
    kept = cuped(values, covariates[metric][known]).variance_ratio if metric in covariates else 1.0
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    wanted = effect * abs(mean) if relative else effect
    if not wanted > 0:
        raise InputError("--effect", f"{metric} has mean {mean:g}", "give an absolute difference, e.g. 0.05")
    left = deviation * float(np.sqrt(kept))
    needed = plan(left, wanted, units_a_day=users_a_day, share=share, power=power, confidence=confidence)
    seen: dict[int, float | None] = {}
    for days in WEEKS:
        come = int(users_a_day * (days - (days_a_user or 0.0)))
        few = come < 2
        seen[days] = (
            None if few else minimal_detectable_effect(left, come, share=share, power=power, confidence=confidence)
        )
    return LogPlan(
        metric=metric,
        users=len(values),
        mean=mean,
        deviation=deviation,
        variance_ratio=kept,
        effect=wanted,
        units=needed.units,
        days=needed.days + (days_a_user or 0.0),
        seen=seen,
        share=share,
        power=power,
        confidence=confidence,
        users_a_day=users_a_day,
        days_a_user=days_a_user,
        log_days=log_days,
    )
