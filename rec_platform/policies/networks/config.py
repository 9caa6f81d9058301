"""The `policy:` section of an experiment: which network scores the candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Width = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True, slots=True)
class StateSizes:
    """How wide the parts of an observation are (letters as in `rec_platform.types`).

    Attributes:
        history_length: L, may be 0.
        user_features: F, may be 0.
        context: C, may be 0.
        slate_size: k.
    """

    history_length: int
    user_features: int
    context: int
    slate_size: int


class NetworkConfig(BaseModel):
    """A neural scorer: one encoder of the user's state, one head over item vectors.

    Attributes:
        encoder: what summarises the history. ``none`` ignores it, ``mean`` pools it with learned weights by age,
            ``gru`` reads it in order, ``attention`` weighs each event by what came after it (SASRec), ``drr_ave``,
            ``drr_u`` and ``drr_p`` multiply the last five liked items with each other or with the user (DRR).
        head: ``dot`` is an inner product of a state query with item vectors: full capacity. ``trade_off`` only weighs
            a relevance fitted to the log against likeness to what was consumed last, with weights that depend on the
            state: small, so that it cannot exploit what is wrong with its simulator.
        hidden: widths of the layers between state and head.
        embedding: width d of item vectors and queries.
        item_ids: learn a vector, and in actors and choice models a bias, for each item beside its content features.
        window: history entries that count as "consumed last" (head ``trade_off``).
        inverse_temperature: initial sharpness of the slate distribution (head ``trade_off``).
        diversity: initial weight of likeness (head ``trade_off``).
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    encoder: Literal["none", "mean", "gru", "attention", "drr_ave", "drr_u", "drr_p"] = "mean"
    head: Literal["dot", "trade_off"] = "dot"
    hidden: list[Width] = Field(default_factory=lambda: [64, 64])
    embedding: int = Field(default=32, ge=1, le=1024)
    item_ids: bool = True
    window: int = Field(default=10, ge=1)
    inverse_temperature: float = Field(default=6.0, gt=0)
    diversity: float = Field(default=1.0, gt=0)
