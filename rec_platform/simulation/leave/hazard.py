"""Leaving as the log shows it: the probability that a session ends with this step, by logistic regression.

    p(leave) = sigmoid(w0 + w1 log n + w2 [nothing chosen] + w3 share answered so far + w4 s)
    n = slates of the session so far; s = mean cosine similarity of the item consumed to those consumed lately

A discrete-time hazard model (Allison 1982). It has no memory beyond what it is given; what really drives people away
and is not among the columns ends up in the constant. One step of the log stands for one slate: a decision where the log
has exposures, otherwise an event, so that sessions of a log of events alone count items, not slates.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from rec_platform.errors import InputError
from rec_platform.simulation.leave.logistic import fit_logistic
from rec_platform.simulation.leave.rule import BoredBy, SlateOutcome, left_at_random
from rec_platform.simulation.leave.session_steps import SessionSteps
from rec_platform.simulation.response.metrics import PredictionMetrics
from rec_platform.types import Float32, Float64

FEWEST_SESSIONS = 50
SHORTEST_MEAN = 1.2
"""Steps of a mean session below which there is nothing to model: almost every session is one step."""
RECENT = 10


class FittedLeave(BaseModel):
    """A hazard with its weights; a `LeaveRule`. Made by `fit_hazard`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    kind: Literal["hazard"] = "hazard"
    constant: float
    log_slates: float
    no_choice: float
    answered_share: float
    likeness: float
    mean_slates: float = Field(gt=0)
    """Steps of a session in the log."""
    recent: int = Field(default=RECENT, ge=1)
    max_slates: int = Field(default=100, ge=1)
    """No session is longer."""

    @property
    def budget(self) -> float:
        """Any: leaving drains it all."""
        return 1.0

    @property
    def bored_by(self) -> BoredBy:
        """The item consumed."""
        return "consumed"

    @property
    def typical_slates(self) -> float:
        """As in the log."""
        return min(self.mean_slates, self.max_slates)

    def drain(self, outcome: SlateOutcome) -> Float32:
        """See `LeaveRule.drain`."""
        logits = np.float32(self.constant) + np.float32(self.log_slates) * np.log(outcome.slates.astype(np.float32))
        logits += np.float32(self.no_choice) * (outcome.chosen < 0)
        logits += np.float32(self.answered_share) * (outcome.answered_slates / outcome.slates)
        logits += np.float32(self.likeness) * outcome.likeness
        return left_at_random(expit(logits), outcome.uniforms)

    def without_boredom(self) -> FittedLeave:
        """Likeness no longer drives anybody away."""
        return self.model_copy(update={"likeness": min(self.likeness, 0.0)})


@dataclass(frozen=True, slots=True)
class HazardReport:
    """How well the hazard predicts the end of the later sessions.

    Attributes:
        sessions: in all.
        mean_steps: of a session.
        holdout: metrics on the last fifth of each user's sessions.
        constant: the same for one hazard for all steps.
        weights: by column.
    """

    sessions: int
    mean_steps: float
    holdout: PredictionMetrics
    constant: PredictionMetrics
    weights: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_hazard(steps: SessionSteps, *, max_slates: int = 100) -> tuple[FittedLeave, HazardReport]:
    """Fit to the sessions of a log.

    Raises:
        InputError: fewer than `FEWEST_SESSIONS` sessions, hardly one with a second step, or no step without an answer.
    """
    mean = len(steps) / max(steps.num_sessions, 1)
    if steps.num_sessions < FEWEST_SESSIONS or mean < SHORTEST_MEAN:
        raise InputError(
            "simulator.leave",
            f"{steps.num_sessions} sessions of {mean:.2f} steps on average do not say when users leave",
            f"give at least {FEWEST_SESSIONS} sessions of more than {SHORTEST_MEAN} steps, or use kind: patience",
        )
    if steps.answered.all():
        raise InputError(
            "simulator.leave",
            "the log's sessions hold only what was consumed, not how users took what did not please them",
            "log what is shown, or use kind: patience",
        )
    columns = _columns(steps)
    late = _later_sessions(steps)
    ended = steps.last.astype(np.float64)
    weights = fit_logistic(columns[~late], ended[~late])
    names = ("constant", "log_slates", "no_choice", "answered_share", "likeness")
    rate = np.clip(ended[~late].mean(), 1e-6, 1 - 1e-6)
    flat = np.full(int(late.sum()), np.log(rate / (1 - rate)))
    named = {name: float(weight) for name, weight in zip(names, weights, strict=True)}
    report = HazardReport(
        sessions=steps.num_sessions,
        mean_steps=mean,
        holdout=PredictionMetrics.of(columns[late] @ weights, steps.last[late]),
        constant=PredictionMetrics.of(flat, steps.last[late]),
        weights=named,
    )
    return FittedLeave.model_validate({**named, "mean_slates": mean, "max_slates": max_slates}), report


def _columns(steps: SessionSteps) -> Float64:
    return np.stack(
        [
            np.ones(len(steps)),
            np.log(steps.number),
            (~steps.answered).astype(np.float64),
            steps.answered_before / steps.number,
            steps.likeness,
        ],
        axis=1,
    ).astype(np.float64)


def _later_sessions(steps: SessionSteps) -> np.ndarray:
    """Bool [S]: the last fifth of each user's sessions."""
    first = np.searchsorted(steps.users, steps.users)
    rank = steps.sessions - steps.sessions[first]
    stop = np.searchsorted(steps.users, steps.users, side="right") - 1
    count = steps.sessions[stop] - steps.sessions[first] + 1
    return np.asarray(rank >= np.ceil(count * 0.8))
