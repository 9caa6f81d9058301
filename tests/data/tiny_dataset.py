"""Datasets of a few rows, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.manifest import Source
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, USERS
from rec_platform.data.writer import write_dataset

SECOND = 1_000_000
HOUR = 3_600 * SECOND


def event(user: str, item: str, second: float, name: str = "click", **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "timestamp": int(second * SECOND), "event": name, **more}


def decision(name: str, user: str, second: float, slate: list[str], chosen: int | None, **more: Any) -> dict[str, Any]:
    return {
        "decision_id": name,
        "user_id": user,
        "timestamp": int(second * SECOND),
        "slate": slate,
        "propensities": [0.5] * len(slate),
        "propensity_kind": "slot_marginal",
        "policy": "test",
        "chosen": chosen,
        **more,
    }


def tiny_dataset(
    folder: Path,
    events: list[dict[str, Any]],
    decisions: list[dict[str, Any]] | None = None,
    *,
    items: str = "abcde",
    feedback: FeedbackRule | None = None,
) -> Dataset:
    """Items of one letter; the users of the events, aged 20, 21 … in order of name."""
    events = sorted(events, key=lambda row: row["timestamp"])
    names = sorted({row["user_id"] for row in events})
    return write_dataset(
        folder / "dataset",
        name="tiny",
        source=Source(name="test", format="generator"),
        interactions=pa.Table.from_pylist(events, schema=INTERACTIONS),
        items=pa.Table.from_pylist([{"item_id": name} for name in items], schema=ITEMS),
        users=pa.Table.from_pylist(
            [{"user_id": name, "age": 20.0 + row} for row, name in enumerate(names)], schema=USERS
        ),
        decisions=None if decisions is None else pa.Table.from_pylist(decisions, schema=DECISIONS),
        feedback=feedback,
    )
