"""Small logs of decisions and events, by hand and at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rec_platform.data.join import EVENTS
from rec_platform.data.schema import DECISIONS

MINUTE = 60_000_000
START = 1_700_000_000_000_000 - 1_700_000_000_000_000 % (86_400 * 1_000_000)
"""A midnight."""

DECISION_LOG = pa.schema(
    [
        *(field for field in DECISIONS if field.name not in ("chosen", "rewards", "reward")),
        pa.field("placement", pa.string()),
        pa.field("deferred", pa.bool_()),
        pa.field("experiment_id", pa.string()),
        pa.field("experiment_arm", pa.string()),
    ]
)


def decision(name: str, minute: float, slate: str = "abc", **more: Any) -> dict[str, Any]:
    """A slate of items of one letter."""
    return {
        "decision_id": name, "user_id": "u", "session_id": None, "timestamp": START + int(minute * MINUTE),
        "slate": list(slate), "propensities": [0.5] * len(slate), "propensity_kind": "plackett_luce_step",
        "policy": "p", "placement": None, "deferred": None,
    } | more  # fmt: skip


def event(name: str, about: str | None, minute: float, kind: str = "interaction", /, **more: Any) -> dict[str, Any]:
    """A click on ``item``, unless told otherwise."""
    item = more.pop("item", None)
    row = {
        "event_id": name, "type": kind, "occurred_at": START + int(minute * MINUTE), "recommendation_id": about,
        "item_id": item, "action": "click" if kind == "interaction" else None, "value": None, "name": None,
        "items": None, "viewed": None, "user_id": "u", "session_id": None,
    }  # fmt: skip
    return row | more


def decisions_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=DECISION_LOG)


def events_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=EVENTS)


def random_log(rng: np.random.Generator, size: int = 12) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Decisions within two hours in three sessions and events of all kinds, in a random order, with all that goes
    wrong: whole minutes, so that bounds are met exactly and moments are shared."""
    decisions = []
    for number in range(size):
        slate = rng.permutation(list("abcdef"))[: rng.integers(0, 4)]
        decisions.append(
            decision(
                f"d{number if rng.random() < 0.95 else 0}",
                int(rng.integers(0, 120)),
                "".join(slate),
                user_id=str(rng.choice(["u", "v"])),
                session_id=[None, "s", "t"][rng.integers(3)],
                placement=[None, "home", "cart"][rng.integers(3)],
                deferred=[None, True, False][rng.integers(3)],
            )
        )
    events = [_random_event(rng, number, decisions) for number in range(size * 5)]
    for _ in range(size // 2):
        again = events[rng.integers(len(events))] | ({"value": 9.0} if rng.random() < 0.5 else {})
        events.insert(int(rng.integers(len(events))), again)
    return decisions, events


def _random_event(rng: np.random.Generator, number: int, decisions: list[dict[str, Any]]) -> dict[str, Any]:
    about = decisions[rng.integers(len(decisions))]
    minute = (about["timestamp"] - START) // MINUTE + int(rng.integers(-4, 40))
    name: str | None = about["decision_id"]
    if rng.random() < 0.2:
        name = [None, "lost"][rng.integers(2)]
    kind = str(rng.choice(["interaction", "impression", "reward", "episode_end"], p=[0.5, 0.25, 0.2, 0.05]))
    row = event(f"e{number}", name, minute, kind, user_id=about["user_id"])
    item = str(rng.choice(about["slate"])) if about["slate"] and rng.random() < 0.85 else "z"
    value = [None, round(float(rng.normal()), 2)][rng.integers(2)]
    if kind == "interaction":
        row |= {"item_id": item, "action": str(rng.choice(["click", "purchase", "skip", "view"])), "value": value}
    elif kind == "reward":
        label = [None, "margin"][rng.integers(2)]
        row |= {"item_id": None if rng.random() < 0.2 else item, "value": value or 0.3, "name": label or "reward"}
    elif kind == "episode_end":
        row |= {"session_id": [None, "s", "other"][rng.integers(3)]}
    elif rng.random() < 0.7:
        items = [str(i) for i in rng.permutation(list("abcdefz"))[: rng.integers(0, 4)]]
        row |= {"items": items, "viewed": [None, [bool(rng.random() < 0.6) for _ in items]][rng.integers(2)]}
    return row
