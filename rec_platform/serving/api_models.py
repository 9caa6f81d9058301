"""What ``POST /v1/recommendations`` takes and gives. Unknown fields are refused, so that no typo passes silently."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_LIMIT = 500
MAX_LIST = 10_000

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An opaque id: 1 to 256 characters, no control characters."""

Number = Annotated[float, Field(allow_inf_nan=False)]
"""A finite number."""

Feature = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
"""A number that stays finite as float32."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Strict(BaseModel):
    """A body in which types are what they say (no "10" for 10) and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RecommendationRequest(Strict):
    """A request for a slate.

    Attributes:
        user_id: who; an unknown user is a new user.
        session_id: the episode that recommendations and events belong to.
        placement: where the slate is shown; kept in the log.
        recommendation_id: chosen by the caller, seeds the draw and makes the call idempotent; made up if left out.
        limit: k, how many items.
        context: features of the moment, by the names the model was trained with; a feature left out is 0.
        candidates: the only items that may be shown; the whole catalogue if null.
        exclude_items: items that may not be shown.
        exclude_seen: true excludes all the user ever interacted with, false nothing; null what is in the history that
            the model sees, as in training.
        explore: false asks for the model's best slate without chance.
        defer_activation: it may never be shown, and counts only when it is activated, or an event tells of it.
        validate_only: decide, but log nothing (``mode`` is then ``validate_only``).
        labels: kept in the log.
    """

    ranks: ClassVar[bool] = False

    user_id: Identifier
    session_id: Identifier | None = None
    placement: Identifier | None = None
    recommendation_id: Identifier | None = None
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    context: dict[Name, Feature] = Field(default_factory=dict, max_length=64)
    candidates: list[Identifier] | None = Field(default=None, min_length=1, max_length=MAX_LIST)
    exclude_items: list[Identifier] = Field(default_factory=list, max_length=MAX_LIST)
    exclude_seen: bool | None = None
    explore: bool = True
    defer_activation: bool = False
    validate_only: bool = False
    labels: dict[Name, Label] = Field(default_factory=dict, max_length=32)


class Ranking(RecommendationRequest):
    """All the candidates that the model knows, in the model's order: ``limit`` is how many there are."""

    ranks: ClassVar[bool] = True


class RankRequest(Strict):
    """A request to put the caller's candidates in order.

    Attributes:
        candidates: in the caller's own order, which is told beside each item; those that are not in the catalogue are
            left out. Also what the user has seen is ranked.
        user_id, session_id, placement, recommendation_id, context, explore, defer_activation, validate_only, labels: as
            in a request for a slate.
    """

    user_id: Identifier
    candidates: list[Identifier] = Field(min_length=1, max_length=MAX_LIST)
    session_id: Identifier | None = None
    placement: Identifier | None = None
    recommendation_id: Identifier | None = None
    context: dict[Name, Feature] = Field(default_factory=dict, max_length=64)
    explore: bool = True
    defer_activation: bool = False
    validate_only: bool = False
    labels: dict[Name, Label] = Field(default_factory=dict, max_length=32)

    def ranking(self) -> Ranking:
        """The same as a request for a slate; what was validated is not validated again."""
        return Ranking.model_construct(**dict(self), limit=1, exclude_seen=False)


class ServedModel(BaseModel):
    """Which model answered."""

    name: str
    version: str
    alias: str | None
    policy: str


class RecommendedItem(BaseModel):
    """One slot of the slate.

    Attributes:
        item_id: what is shown.
        rank: the slot, from 1.
        score: the model's score.
        propensity: float64, how likely it was that this item took this slot; read as ``propensity_kind`` says.
        source: where the item came from.
    """

    item_id: str
    rank: int
    score: float
    propensity: float
    source: Literal["policy"]


class ExperimentArm(BaseModel):
    """Which test a user is in, and in which arm."""

    id: str
    arm: str


class Degraded(BaseModel):
    """Another model answered than the one whose turn it was.

    Attributes:
        reason: why.
        served_by: ``NAME@VERSION`` of the one that did.
    """

    reason: Literal["model_not_loaded", "model_failed"]
    served_by: str


class RecommendationResponse(BaseModel):
    """A slate, and all that is needed to learn from it.

    Attributes:
        recommendation_id: send it along with events about this slate.
        episode_id: the session's id, or the recommendation's own where there is no session.
        previous_recommendation_id: the one before in the session.
        experiment: null where none is running.
        degraded: null where the model answered whose turn it was.
        filtered: how many items of the catalogue (or of the caller's candidates) could not be shown.
        missing_ids: ids of the request that are not in the catalogue.
    """

    recommendation_id: str
    episode_id: str
    previous_recommendation_id: str | None
    created_at: str
    model: ServedModel
    mode: Literal["online", "validate_only"]
    experiment: ExperimentArm | None
    degraded: Degraded | None
    items: list[RecommendedItem]
    propensity_kind: Literal["plackett_luce_step", "slot_marginal", "deterministic"]
    filtered: int
    missing_ids: list[str]


class RankedItem(RecommendedItem):
    """One candidate.

    Attributes:
        baseline_rank: its place among the caller's known candidates, from 1.
    """

    baseline_rank: int


class RankResponse(RecommendationResponse):
    """The first 500 of the caller's known candidates."""

    items: list[RankedItem]  # type: ignore[assignment]


class Activation(BaseModel):
    """A deferred recommendation that counts.

    Attributes:
        activated_at: when that was told first.
    """

    recommendation_id: str
    activated_at: str
