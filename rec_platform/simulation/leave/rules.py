"""The leave rules an experiment may name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rec_platform.simulation.leave.hazard import FittedLeave
from rec_platform.simulation.leave.patience import PatienceConfig
from rec_platform.simulation.leave.repetition import RepetitionConfig
from rec_platform.simulation.leave.temper import TemperConfig


class AutoLeave(BaseModel):
    """A hazard fitted to the log's sessions where it has enough of them, otherwise patience with its defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["auto"] = "auto"
    max_slates: int = Field(default=30, ge=1)
    """No session is longer."""


def _patience_by_default(given: Any) -> Any:
    """``leave: {budget: 3}`` means patience."""
    return {"kind": "patience", **given} if isinstance(given, dict) and "kind" not in given else given


LeaveConfig = Annotated[
    AutoLeave | PatienceConfig | TemperConfig | RepetitionConfig | FittedLeave,
    Field(discriminator="kind"),
    BeforeValidator(_patience_by_default),
]
"""What may stand under ``simulator.leave``; ``kind`` chooses, patience where it is left out."""

FixedLeave = PatienceConfig | TemperConfig | RepetitionConfig | FittedLeave
"""The rules that can be run as they are."""
