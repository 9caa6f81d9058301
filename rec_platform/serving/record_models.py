"""What the routes of users and items take and give: what is known of them beyond what they did.

An attribute that is null is as one that is left out, but in PATCH, where null takes an attribute away (RFC 7396).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from rec_platform.serving.api_models import Identifier, Name, Number, Strict

MAX_ITEMS = 500

Text = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class UserAttributes(Strict):
    """What is known of a user, by the columns of a log's ``users`` table; models read what they were trained with.

    Attributes:
        age: years.
        signup_date: RFC 3339 with an offset.
        segment: what the user was put in, as by `rec-platform segment`.
    """

    age: Annotated[float, Field(ge=0, le=150, allow_inf_nan=False)] | None = None
    gender: Text | None = None
    location: Text | None = None
    signup_date: AwareDatetime | None = None
    segment: Text | None = None


class User(UserAttributes):
    """A user as he is known; he is never told by what he did."""

    user_id: str


class ItemAttributes(Strict):
    """What is known of an item beyond the model's catalogue.

    Attributes:
        price: in the shop's own currency.
        in_stock: null where nobody said.
        attributes: whatever else; PATCH replaces it as a whole.
    """

    title: Annotated[str, StringConstraints(max_length=1024)] | None = None
    category: Annotated[list[Text], Field(max_length=64)] | None = None
    price: Amount | None = None
    rating: Number | None = None
    in_stock: bool | None = None
    attributes: dict[Name, Number | bool | Text | list[Text] | None] | None = Field(default=None, max_length=64)


class Item(ItemAttributes):
    """An item as it is known.

    Attributes:
        updated_at: RFC 3339; null where nothing was put and only the model knows it.
        in_catalogue: whether the model in service can show it; a new item waits for the next model.
    """

    item_id: str
    updated_at: str | None
    in_catalogue: bool


class NamedItem(ItemAttributes):
    """An item of a batch."""

    item_id: Identifier


class ItemBatch(Strict):
    """1 to 500 items. Each replaces what was known of it, or is refused for itself; the last of an id stays."""

    items: list[NamedItem] = Field(min_length=1, max_length=MAX_ITEMS)


class RawItemBatch(Strict):
    """The same before its items are looked at."""

    items: list[Any] = Field(min_length=1, max_length=MAX_ITEMS)


class RejectedItem(Strict):
    """An item that was refused, and why."""

    index: int
    item_id: str | None
    problem: dict[str, Any]


class ItemsAccepted(Strict):
    """What became of a batch.

    Attributes:
        accepted: on disk.
        missing_ids: accepted items that the model in service does not know.
    """

    accepted: int
    rejected: list[RejectedItem]
    missing_ids: list[str]


class SimilarRequest(Strict):
    """How many items, and which not. Where the catalogue has fewer, all of them are given."""

    limit: int = Field(default=10, ge=1, le=MAX_ITEMS)
    exclude_items: list[Identifier] = Field(default_factory=list, max_length=10_000)


class SimilarItem(Strict):
    """``score``: the cosine of the two items' content features, in [-1, 1]."""

    item_id: str
    rank: int
    score: float


class SimilarModel(Strict):
    """Whose catalogue was read."""

    name: str
    version: str


class SimilarResponse(Strict):
    """The most similar first; of equally similar items the first of the catalogue first."""

    item_id: str
    items: list[SimilarItem]
    model: SimilarModel


class Erasure(Strict):
    """The forgetting of a user.

    Attributes:
        job_id: to ask for it at ``/v1/erasures/{job_id}``; it is kept, the user's id is not.
        status: ``finished``: nothing in the tables names the user.
        counts: rows that went, by table, and decisions by ``model@version``.
    """

    job_id: str
    status: str
    requested_at: str
    finished_at: str | None
    counts: dict[str, Any]


class ErasureStarted(Strict):
    """Where to ask what became of it."""

    job_id: str
    status: str
