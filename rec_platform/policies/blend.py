"""A hybrid of recommenders that are each fitted to the same log."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rec_platform.policies.fitting import FitLog, FittedSettings
from rec_platform.policies.nested import Algorithm, settings_of
from rec_platform.policies.scorers.blend import BlendScorer


class BlendPart(BaseModel):
    """Attributes:
    weight: of the part's probabilities.
    algorithm: as an experiment's `algorithm:` section; not one that learns from what it shows.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    weight: float = Field(default=1.0, ge=0)
    algorithm: Algorithm


class BlendSettings(FittedSettings):
    """See `BlendScorer`.

    Attributes:
        parts: by default a Markov chain and a sequence policy, half and half.
    """

    kind: ClassVar[str] = "blend"
    parts: list[BlendPart] = Field(
        default_factory=lambda: [BlendPart(algorithm={"kind": kind}) for kind in ("markov", "sequence")], min_length=1
    )

    @field_validator("parts")
    @classmethod
    def _some_weight(cls, parts: list[BlendPart]) -> list[BlendPart]:
        if not sum(part.weight for part in parts) > 0:
            raise ValueError("every weight is 0")
        return parts

    def fit(self, log: FitLog, seed: int) -> BlendScorer:
        settings = [settings_of(part.algorithm) for part in self.parts]
        total = sum(part.weight for part in self.parts)
        return BlendScorer(
            parts=tuple(one.fit(log, seed) for one in settings),
            weights=tuple(part.weight / total for part in self.parts),
            log_scores=tuple(one.log_scores for one in settings),
        )
