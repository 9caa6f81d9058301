"""What off-policy evaluation foretold of an arm, beside what the A/B test then measured: would it have said the same?

Arm b was served by a policy π_b. From the control's log alone an off-policy estimator says what π_b earns a decision,
V; the arm's own users say what it earned, R_b. Both are of one quantity where requests come to both arms alike and
decisions do not change later requests (an off-policy estimate of slates knows nothing of that: see the sequential
estimators). They rest on different users and are independent, so

    z = (V - R_b) / √(se_V² + se_b²)

is about normal where the estimator is right. The same can be asked the other way: the control's policy from b's log.

Estimates are given as intervals, so that nothing here depends on how the policy was loaded or the log was read. They
must be of the reward a *decision*, the unit that `mean_per_decision` has: not a slot's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from rec_platform.errors import InputError
from rec_platform.evaluation.ab_test.effect import Effect, fixed_horizon
from rec_platform.evaluation.ab_test.units import Units
from rec_platform.evaluation.off_policy.intervals import Interval

Verdict = Literal["better", "worse", "open"]


@dataclass(frozen=True)
class ArmMean:
    """What an arm earned a decision.

    Attributes:
        arm: its name.
        value: reward a decision.
        lower, upper: interval at the confidence asked for, with users as what is independent.
        stderr: by the delta method.
    """

    arm: str
    value: float
    lower: float
    upper: float
    stderr: float


@dataclass(frozen=True)
class Agreement:
    """One estimator against the A/B test.

    Attributes:
        estimator: its name.
        arm: whose policy was estimated.
        log: from which arm's log.
        off_policy: the estimate.
        outcome: what the arm's own users earned.
        z: the difference over its standard error; NaN where the estimate is undefined.
        agrees: whether the difference may well be chance at the confidence; None where the estimate is undefined.
        foretold: the arm against the arm of the log: whether the estimate's interval lies above or below what the log
            earned itself.
        measured: the same by the A/B test's fixed interval.
    """

    estimator: str
    arm: str
    log: str
    off_policy: Interval
    outcome: ArmMean
    z: float
    agrees: bool | None
    foretold: Verdict
    measured: Verdict

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mean_per_decision(units: Units, metric: str, arm: str, confidence: float = 0.95) -> ArmMean:
    """An arm's mean of a metric per decision.

    Raises:
        InputError: the metric is not per decision, or there is no such arm.
    """
    if metric not in units.denominators:
        raise InputError("metric", f"'{metric}' is not per decision", "use e.g. reward_per_decision")
    if arm not in units.arms:
        raise InputError("arm", f"'{arm}' is none", f"there are {', '.join(units.arms)}")
    values = units.values(metric)[units.arm == units.arms.index(arm)]
    against_nothing = fixed_horizon(np.zeros(2), values, confidence)
    return ArmMean(
        arm, against_nothing.difference, against_nothing.lower, against_nothing.upper, against_nothing.stderr
    )


def against_off_policy(
    intervals: Mapping[str, Interval], *, outcome: ArmMean, logged: ArmMean, effect: Effect, confidence: float = 0.95
) -> tuple[Agreement, ...]:
    """Estimates of one arm's policy from another arm's log, against what that arm earned.

    Args:
        intervals: by estimator, of the reward a decision of the policy that served ``outcome.arm``, from the log of
            ``logged.arm`` alone.
        outcome, logged: what the two arms earned, from `mean_per_decision`.
        effect: of ``outcome.arm`` less ``logged.arm`` on the same metric; unadjusted or adjusted by CUPED.
        confidence: at which they agree; the intervals keep their own.
    """
    if not 0.5 <= confidence < 1:
        raise InputError("confidence", f"{confidence}", "choose 0.5 up to below 1, usually 0.95")
    rows = []
    for name, one in intervals.items():
        z = _z(one, outcome)
        agrees = None if np.isnan(z) else bool(abs(z) <= norm.ppf(0.5 + confidence / 2))
        foretold = _verdict(one.lower - logged.value, one.upper - logged.value)
        measured = _verdict(effect.lower, effect.upper)
        rows.append(Agreement(name, outcome.arm, logged.arm, one, outcome, z, agrees, foretold, measured))
    return tuple(rows)


def _z(one: Interval, outcome: ArmMean) -> float:
    """With the standard error that the estimate's interval has on the side where the outcome lies."""
    towards = one.upper - one.value if outcome.value > one.value else one.value - one.lower
    error = np.hypot(towards / norm.ppf(0.5 + one.confidence / 2), outcome.stderr)
    gap = one.value - outcome.value
    if not np.isfinite(error) or not np.isfinite(gap):
        return float("nan")
    if error == 0:
        return 0.0 if gap == 0 else float(np.copysign(np.inf, gap))
    return float(gap / error)


def _verdict(lower: float, upper: float) -> Verdict:
    return "better" if lower > 0 else "worse" if upper < 0 else "open"
