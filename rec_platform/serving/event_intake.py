"""From the body of ``POST /v1/events`` to rows: each event is taken or refused for itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rec_platform.serving.event_models import (
    EVENT,
    AnyEvent,
    EpisodeEnd,
    EventBatch,
    Impression,
    RawEventBatch,
    microseconds,
)
from rec_platform.serving.problems import Problem, from_validation

MAX_FUTURE_US = 24 * 3600 * 1_000_000
"""An event more than a day ahead would stay the newest of its user for as long: it is refused."""

MAX_DEPTH = 32
"""Levels of an event; it needs four, and what is deeper costs a stack. The parser itself stops at 200."""

MAX_KEPT_BODY = 16_384
"""Characters of a refused event that are kept."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a body held.

    Attributes:
        rows: of the table ``events``.
        rejections: ``{"index", "event_id", "problem"}`` each, as the answer tells them.
        rejected_rows: of the table ``rejected_events``.
        item_ids: that the rows speak of.
    """

    rows: list[dict[str, Any]]
    rejections: list[dict[str, Any]]
    rejected_rows: list[dict[str, Any]]
    item_ids: list[str]


def read_events(body: bytes, *, received_at: int) -> Intake:
    """Read a batch of events.

    Args:
        received_at: now, in microseconds since 1970.

    Raises:
        Problem: the body is not JSON, or not an object of 1 to 500 events.
    """
    try:
        events: list[AnyEvent | Problem] = list(EventBatch.model_validate_json(body).events)
        raw: list[Any] = []
    except ValidationError:
        raw = _raw_events(body)
        events = [_one(item) for item in raw]
    rows, rejections, rejected_rows, item_ids = [], [], [], dict[str, None]()
    for index, event in enumerate(events):
        if not isinstance(event, Problem):
            row = _row(event, received_at, default_moment=received_at + index)  # the order of the batch is kept
            if 0 <= row["occurred_at"] <= received_at + MAX_FUTURE_US:
                rows.append(row)
                item_ids.update((item_id, None) for item_id in _items_of(event))
                continue
            raw = raw or _raw_events(body)
            message = "must be after 1970 and at most a day ahead"
            error = {"loc": ["occurred_at"], "msg": message, "type": "value_error"}
            event = Problem("validation", f"occurred_at: {message}", errors=[error])
        event_id = raw[index].get("event_id") if isinstance(raw[index], dict) else None
        event_id = event_id[:256] if isinstance(event_id, str) else None
        rejections.append({"index": index, "event_id": event_id, "problem": event.body()})
        rejected_rows.append(
            {
                "received_at": received_at,
                "event_id": None if event_id is None else json.dumps(event_id)[1:-1],
                "problem": json.dumps(event.body()),
                "body": json.dumps(raw[index])[:MAX_KEPT_BODY],
            }
        )
    return Intake(rows, rejections, rejected_rows, list(item_ids))


def _raw_events(body: bytes) -> list[Any]:
    try:
        return RawEventBatch.model_validate_json(body).events
    except ValidationError as error:
        raise from_validation(error) from None


def _one(item: Any) -> AnyEvent | Problem:
    try:
        return EVENT.validate_json(json.dumps(without_huge_numbers(item)))
    except ValidationError as error:
        return from_validation(error)
    except Problem as problem:
        return problem


def without_huge_numbers(item: Any, depth: int = 0) -> Any:
    """Integers that no float can hold as infinity, which is refused by field instead of as malformed JSON."""
    if depth > MAX_DEPTH:
        message = f"is nested deeper than {MAX_DEPTH} levels"
        raise Problem("validation", f"the event {message}", errors=[{"loc": [], "msg": message, "type": "too_deep"}])
    if isinstance(item, dict):
        return {key: without_huge_numbers(value, depth + 1) for key, value in item.items()}
    if isinstance(item, list):
        return [without_huge_numbers(value, depth + 1) for value in item]
    if isinstance(item, int) and not isinstance(item, bool) and item.bit_length() > 1023:
        return math.inf
    return item


def _items_of(event: AnyEvent) -> Iterator[str]:
    if isinstance(event, Impression):
        yield from (item.item_id for item in event.items or ())
    elif not isinstance(event, EpisodeEnd) and event.item_id is not None:
        yield event.item_id


def _row(event: AnyEvent, received_at: int, *, default_moment: int) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "user_id": event.user_id,
        "session_id": event.session_id,
        "recommendation_id": event.recommendation_id,
        "item_id": getattr(event, "item_id", None),
        "action": getattr(event, "action", None),
        "value": getattr(event, "value", None),
        "occurred_at": default_moment if event.occurred_at is None else microseconds(event.occurred_at),
        "received_at": received_at,
        "source": event.source,
        "body": event.model_dump_json(),
    }
