"""What is known of a candidate beside the champion, in numbers alone: what a decision record keeps for ever."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Compared(_Strict):
    """Candidate against champion on one quantity; larger is better.

    Attributes:
        candidate, champion: values; None where only the difference is known.
        difference: candidate less champion.
        lower, upper: interval of it at the gate's confidence.
        decisions: how many it rests on.
    """

    candidate: float | None = None
    champion: float | None = None
    difference: float
    lower: float
    upper: float
    decisions: int = Field(ge=0)


class Evidence(_Strict):
    """All of it.

    Attributes:
        model: name of the model.
        candidate: its version.
        champion: the version it would replace; None where there is none.
        log: what was evaluated: path, hash, span and number of decisions, reward spec.
        estimator: of the value.
        value: of the reward; None where nothing could be estimated.
        effective_sample_size: of the candidate's importance weights.
        warnings: codes of the estimate's warnings, with their sentences.
        guardrails: other rewards, by name; None where nothing can be said of one.
        segments: the value in each group of decisions, by name; None where nothing can be said there. Their intervals
            hold all at once.
        simulation: session return with simulated users; None where neither bundle has one, or they differ in users.
    """

    model: str
    candidate: int
    champion: int | None
    log: dict[str, Any] = Field(default_factory=dict)
    estimator: str = ""
    value: Compared | None = None
    effective_sample_size: float | None = None
    warnings: dict[str, str] = Field(default_factory=dict)
    guardrails: dict[str, Compared | None] = Field(default_factory=dict)
    segments: dict[str, Compared | None] = Field(default_factory=dict)
    simulation: Compared | None = None
