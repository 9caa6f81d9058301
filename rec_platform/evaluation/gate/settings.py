"""What a candidate must show."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class GateSettings(BaseModel):
    """Attributes:
    confidence: of every interval, two-sided: at 0.95 a candidate that is as good as the champion passes the first check
        once in forty times.
    least_gain: the lower bound of the value's difference must be above it; below 0 a candidate may be promoted that
        is not proven better, but proven not to lose more (non-inferiority).
    effective_sample_size: the least, of the candidate's importance weights.
    decisions: the fewest to judge by.
    estimator: of whole slates. ``snips`` assumes nothing of how slots act on one another; ``rsnips`` (a slot's reward
        depends on no later slot) needs far fewer decisions for long slates; ``ips``, ``rips`` the same, not normalised.
    guardrails: by reward channel, how much of it may be lost: a check fails where the upper bound of the difference
        lies below minus this. With ``-`` before the name (``-skip``), less of it is better.
    segment_loss: how much any group of decisions may lose, likewise.
    segment_decisions: groups with fewer decisions are not judged.
    simulator: ``agree`` fails where simulated users surely prefer the champion; ``require`` also where nothing is
        known; ``ignore`` looks away.
    blocking: codes of warnings of the estimate (`off_policy.CODES`) with which nothing is promoted.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    least_gain: float = 0.0
    effective_sample_size: float = Field(default=200.0, ge=0)
    decisions: int = Field(default=1_000, ge=1)
    estimator: Literal["ips", "snips", "rips", "rsnips"] = "snips"
    guardrails: dict[str, float] = Field(default_factory=dict)
    segment_loss: float = Field(default=0.0, ge=0)
    segment_decisions: int = Field(default=500, ge=1)
    simulator: Literal["agree", "require", "ignore"] = "agree"
    blocking: tuple[str, ...] = (
        "few_units",
        "low_effective_sample_size",
        "no_overlap",
        "support_gap",
        "weights_do_not_average_one",
        "propensities_too_small",
        "propensities_not_reproduced",
    )
