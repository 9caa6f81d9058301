"""From the body of ``POST /v1/items:batch`` to what is stored, item by item."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rec_platform.serving.event_intake import without_huge_numbers
from rec_platform.serving.problems import Problem, from_validation
from rec_platform.serving.record_models import ItemBatch, NamedItem, RawItemBatch


@dataclass(frozen=True, slots=True)
class ItemIntake:
    """What a body held.

    Attributes:
        bodies: by item id; of two with one id the last.
        accepted: how many were taken, those with one id counted each.
        rejections: ``{"index", "item_id", "problem"}`` each, as the answer tells them.
    """

    bodies: dict[str, dict[str, Any]]
    accepted: int
    rejections: list[dict[str, Any]]


def read_items(body: bytes) -> ItemIntake:
    """Read a batch of items.

    Raises:
        Problem: the body is not JSON, or not an object of 1 to 500 items.
    """
    try:
        items: list[NamedItem | Problem] = list(ItemBatch.model_validate_json(body).items)
        raw: list[Any] = []
    except ValidationError:
        try:
            raw = RawItemBatch.model_validate_json(body).items
        except ValidationError as error:
            raise from_validation(error) from None
        items = [_one(item) for item in raw]
    taken = [item for item in items if not isinstance(item, Problem)]
    bodies = {item.item_id: item.model_dump(mode="json", exclude={"item_id"}, exclude_none=True) for item in taken}
    rejections = [
        {"index": index, "item_id": _id_of(raw[index]), "problem": item.body()}
        for index, item in enumerate(items)
        if isinstance(item, Problem)
    ]
    return ItemIntake(bodies, len(taken), rejections)


def _one(item: Any) -> NamedItem | Problem:
    try:
        return NamedItem.model_validate_json(json.dumps(without_huge_numbers(item)))
    except ValidationError as error:
        return from_validation(error)
    except Problem as problem:
        return problem


def _id_of(item: Any) -> str | None:
    item_id = item.get("item_id") if isinstance(item, dict) else None
    return item_id[:256] if isinstance(item_id, str) else None
