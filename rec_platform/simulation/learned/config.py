"""What a learned simulator shows, how its users answer and leave, and how all that is fitted."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from rec_platform.data.event_channels import CONSUME
from rec_platform.simulation.candidates.config import CandidateShares
from rec_platform.simulation.learned.presets import PRESETS
from rec_platform.simulation.leave.returning import SessionsConfig
from rec_platform.simulation.leave.rules import AutoLeave, LeaveConfig
from rec_platform.simulation.response.fit import ResponseFitConfig


class LearnedSimulatorConfig(BaseModel):
    """The section ``simulator:`` of an experiment with ``kind: learned``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    preset: Literal["kuaisim", "kuaisim_sessions", "easyrl4rec"] | None = None
    """A published protocol to start from (`presets`); other keys override it."""
    slate_size: int = Field(default=5, ge=1)
    """k."""
    history_length: int = Field(default=50, ge=1)
    """L, the visible history."""
    num_candidates: int | None = Field(default=None, ge=1, validate_default=True)
    """M items offered anew each step; None = the whole catalogue."""
    candidates: CandidateShares = Field(default_factory=CandidateShares)
    """Where they come from."""
    min_history: int = Field(default=5, ge=0)
    """Events a user must have before the point at which he enters."""
    choice: Literal["one", "each"] = "one"
    """Users consume one item of a slate at most, or answer each on its own."""
    correlation_penalty: float = Field(default=0.0, ge=0)
    """With ``choice: each``: taken from an item's probability, times its mean cosine with the items of the slate."""
    channels: tuple[str, ...] | None = None
    """Further events that a consumption may bring (``purchase``, ``rating>=5``); None = what the log has; [] = none."""
    reward: dict[str, float] = Field(default_factory=lambda: {CONSUME: 1.0})
    """Reward of each channel's event, summed over the slate."""
    leave: LeaveConfig = Field(default_factory=AutoLeave)
    """When users leave."""
    sessions: SessionsConfig = Field(default_factory=SessionsConfig)
    """Whether they come back."""
    members: int = Field(default=3, ge=3)
    """Response models of the ensemble, those held back included."""
    held_back: int = Field(default=1, ge=1)
    """Members that training never sees: they answer in the evaluation simulator, and are fitted on its users."""
    pessimism: float = Field(default=0.0, ge=0)
    """Taken from the reward: this times the members' standard deviation of the expected answers of the slate."""
    response: ResponseFitConfig = Field(default_factory=ResponseFitConfig)
    """How the response models are fitted."""

    @field_validator("num_candidates")
    @classmethod
    def _hold_a_slate(cls, num_candidates: int | None, info: ValidationInfo) -> int | None:
        slate_size = info.data.get("slate_size", 0)
        if num_candidates is not None and slate_size > num_candidates:
            raise ValueError(
                f"slate_size {slate_size} is more than the {num_candidates} candidates: set slate_size to at most "
                f"{num_candidates} or num_candidates to at least {slate_size}"
            )
        return num_candidates

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, dict) else None
        if not (isinstance(name, str) and name in PRESETS):
            return given
        merged = {**PRESETS[name], **given}
        for key, section in PRESETS[name].items():  # a section that does not say of which kind it is only changes keys
            own = given.get(key)
            if isinstance(section, dict) and isinstance(own, dict) and "kind" not in own and key != "reward":
                merged[key] = {**section, **own}
        return merged

    @model_validator(mode="after")
    def _belong_together(self) -> LearnedSimulatorConfig:
        if self.held_back >= self.members:
            raise ValueError(f"held_back {self.held_back} leaves none of the {self.members} members to train with")
        if self.pessimism and self.members - self.held_back < 2:
            raise ValueError("pessimism needs two members that are not held back: set members to held_back + 2 or more")
        if self.correlation_penalty and self.choice == "one":
            raise ValueError("correlation_penalty needs choice: each")
        if self.sessions.absence_penalty and self.sessions.per_user == 1:
            raise ValueError("sessions.absence_penalty needs sessions.per_user of 2 or more")
        if self.num_candidates is None:
            if self.candidates.random < 1:
                raise ValueError("candidates: needs num_candidates; without it the whole catalogue is offered")
            return self
        if self.candidates.counts(self.num_candidates)["random"] < self.slate_size:
            raise ValueError(
                f"candidates.random must give at least a slate ({self.slate_size} places): other sources may name "
                f"items that are not available"
            )
        return self
