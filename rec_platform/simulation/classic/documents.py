"""What the classic environments share: M candidate documents drawn anew each step, and a slate of k of them.

RecSim draws the features of every document afresh. Here documents are items of a fixed catalogue of N, drawn uniformly
and with replacement, so the same document may stand twice in a candidate list.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from rec_platform.types import Float64, Int32


class DocumentConfig(BaseModel):
    """How many documents are shown; the base of every classic environment's constants."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    slate_size: int = Field(default=1, ge=1)
    """k."""
    num_candidates: int = Field(default=5, ge=1, validate_default=True)
    """M documents drawn anew each step."""

    @field_validator("num_candidates")
    @classmethod
    def _hold_a_slate(cls, num_candidates: int, info: ValidationInfo) -> int:
        slate_size = info.data.get("slate_size", 0)
        if slate_size > num_candidates:
            raise ValueError(
                f"slate_size {slate_size} is more than the {num_candidates} candidates: set slate_size to at most "
                f"{num_candidates} or num_candidates to at least {slate_size}"
            )
        return num_candidates


def draw_documents(rng: np.random.Generator, num_documents: int, shape: tuple[int, int]) -> Int32:
    """Uniform catalogue indices, int32 ``shape``."""
    width = np.uint16 if num_documents <= 1 << 16 else np.uint32
    return rng.integers(0, num_documents, shape, dtype=width).astype(np.int32)


def entry_documents(uniforms: Float64, num_documents: int) -> Int32:
    """Catalogue indices of new users' first candidates from their draws in [0, 1): int32 of the same shape."""
    return (uniforms * num_documents).astype(np.int32)
