"""What ``POST /v1/events`` takes: one envelope, told apart by ``type``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter

from rec_platform.serving.api_models import Feature, Identifier, Name, Number, Strict

MAX_EVENTS = 500

_Rank = Annotated[int, Field(ge=1, le=100_000)]


class _Envelope(Strict):
    """What every event has.

    Attributes:
        event_id: chosen by the caller; sent twice, it counts once.
        occurred_at: RFC 3339 with an offset; the time of arrival if left out.
        recommendation_id: the slate it is about; null for events that came from elsewhere.
    """

    event_id: Identifier
    user_id: Identifier
    session_id: Identifier | None = None
    recommendation_id: Identifier | None = None
    occurred_at: AwareDatetime | None = None
    context: dict[Name, Feature] = Field(default_factory=dict, max_length=64)
    source: Literal["server", "client", "import"] = "client"
    schema_version: Literal[1] = 1


class ImpressedItem(Strict):
    """One item that was on the screen."""

    item_id: Identifier
    rank: _Rank
    viewed: bool = True
    dwell_ms: int | None = Field(default=None, ge=0, le=86_400_000)


class Impression(_Envelope):
    """The slate was shown; without ``items`` as it was served."""

    type: Literal["impression"]
    items: list[ImpressedItem] | None = Field(default=None, max_length=500)


class Interaction(_Envelope):
    """The user did something with an item: click, like, purchase, rating (``value`` is the stars), skip …"""

    type: Literal["interaction"]
    item_id: Identifier
    action: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Number | None = None
    quantity: int | None = Field(default=None, ge=1, le=1_000_000)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None


class Reward(_Envelope):
    """A reward told by the caller, instead of one derived from interactions."""

    type: Literal["reward"]
    item_id: Identifier | None = None
    value: Number
    name: Name = "reward"


class EpisodeEnd(_Envelope):
    """The session is over."""

    type: Literal["episode_end"]


Event = Annotated[Impression | Interaction | Reward | EpisodeEnd, Field(discriminator="type")]

AnyEvent = Impression | Interaction | Reward | EpisodeEnd

EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Event)


class EventBatch(Strict):
    """1 to 500 events. Each is taken or refused for itself."""

    events: list[Event] = Field(min_length=1, max_length=MAX_EVENTS)


class RawEventBatch(Strict):
    """The same before its events are looked at."""

    events: list[Any] = Field(min_length=1, max_length=MAX_EVENTS)


class RejectedEvent(Strict):
    """An event that was refused, kept with its reason in the dead-letter table."""

    index: int
    event_id: str | None
    problem: dict[str, Any]


class EventsAccepted(Strict):
    """What became of the events.

    Attributes:
        accepted: new, and on disk.
        duplicates: known by their ``event_id`` already; the first one stands.
        missing_ids: item ids of accepted events that the model's catalogue does not have (kept, not yet learned from).
    """

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    missing_ids: list[str]


def microseconds(moment: datetime) -> int:
    """Since 1970, UTC."""
    return round(moment.timestamp() * 1_000_000)
