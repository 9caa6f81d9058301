"""Generated sessions as the tables of a dataset, without a Python loop over rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.generator.sessions import Sessions
from rec_platform.data.generator.world import CATEGORIES, CITIES, GENDERS, World
from rec_platform.data.schema import DECISIONS, INTERACTIONS, ITEMS, TIMESTAMP, USERS

LOG_START = 1_704_067_200_000_000
"""2024-01-01 UTC in microseconds."""
DAY = 86_400_000_000
HISTORY_LENGTH = 20
"""Items of the history stored with a decision."""


def user_table(world: World, rng: np.random.Generator) -> pa.Table:
    """`schema.USERS`, row = world row; signed up in the two years before the log."""
    signup = LOG_START - DAY * rng.integers(1, 730, size=len(world.age))
    columns = {
        "user_id": names("u", len(world.age)),
        "age": pa.array(world.age.astype(np.float64)),
        "gender": pa.array(GENDERS).take(pa.array(world.gender)),
        "location": pa.array(CITIES).take(pa.array(world.city)),
        "signup_date": pa.array(signup).cast(TIMESTAMP),
        "segment": pa.nulls(len(signup), pa.string()),
    }
    return pa.table(columns, schema=USERS)


def item_table(world: World) -> pa.Table:
    """`schema.ITEMS`, row = world row."""
    kinds = pa.array(CATEGORIES).take(pa.array(world.category))
    number = pc.cast(pa.array(np.arange(len(world.category)) + 1), pa.string())
    columns = {
        "item_id": names("i", len(world.category)),
        "title": pc.binary_join_element_wise(pc.utf8_capitalize(kinds), number, " "),
        "category": pa.ListArray.from_arrays(_offsets(len(kinds), 1), kinds),
        "price": pa.array(world.price),
        "rating": pa.array(world.rating),
    }
    return pa.table(columns, schema=ITEMS)


def log_tables(world: World, users: NDArray, sessions: Sessions, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """Interactions and decisions in time order; ``users`` int [S] are the world rows of the sessions.

    The sessions of a user are spread over the log and overlap only where there is no room. A click and its purchase
    have the decision's own timestamp.
    """
    time = _times(world, users, sessions, rng)
    order = np.lexsort((sessions.step, sessions.session, time))
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    user = users[sessions.session]
    user_ids, item_ids = names("u", world.config.num_users), names("i", world.config.num_items)
    session_ids, decision_ids = names("s", len(users)), names("d", len(order))
    item = sessions.clicked_item
    length, width = sessions.slate.shape
    history_items, history_offsets = _histories(user[order], item[order])
    slots = np.arange(width) == sessions.chosen[:, None]
    rewards = np.stack([slots, slots & sessions.purchased[:, None]], axis=1).astype(np.float64)[order]
    previous = np.where(sessions.step > 0, np.roll(number, 1), -1)[order]
    decisions = {
        "decision_id": decision_ids,
        "user_id": _take(user_ids, user[order]),
        "session_id": _take(session_ids, sessions.session[order]),
        "timestamp": pa.array(time[order]).cast(TIMESTAMP),
        "candidates": pa.nulls(length, DECISIONS.field("candidates").type),
        "slate": pa.ListArray.from_arrays(_offsets(length, width), _take(item_ids, sessions.slate[order].ravel())),
        "propensities": pa.ListArray.from_arrays(
            _offsets(length, width), pa.array(sessions.propensities[order].ravel())
        ),
        "propensity_kind": _constant("plackett_luce_step", length),
        "policy": _constant("logging", length),
        "policy_version": _constant("1", length),
        "history": pa.ListArray.from_arrays(pa.array(history_offsets), _take(item_ids, history_items)),
        "history_feedback": pa.ListArray.from_arrays(
            pa.array(history_offsets), pa.array(np.ones(len(history_items), dtype=np.float32))
        ),
        "context": pa.MapArray.from_arrays(
            _offsets(length, 1), _constant("session_step", length), pa.array(sessions.step[order].astype(np.float64))
        ),
        "chosen": pa.array(sessions.chosen[order].astype(np.int32)),
        "rewards": pa.MapArray.from_arrays(
            _offsets(length, 2),
            pa.array(["click", "purchase"]).take(pa.array(np.tile([0, 1], length))),
            pa.ListArray.from_arrays(_offsets(2 * length, width), pa.array(rewards.ravel())),
        ),
        "reward": pa.array(sessions.reward(world.config.purchase_reward)[order]),
        "previous_decision_id": pa.array(decision_ids).take(pa.array(previous, mask=previous < 0)),
    }
    # One row a click, and one more a purchase, right after it.
    rows = np.repeat(order, (item[order] >= 0).astype(int) + sessions.purchased[order])
    is_purchase = np.concatenate(([False], rows[1:] == rows[:-1])) if len(rows) else np.zeros(0, dtype=bool)
    price = world.price[item[rows]]
    interactions = {
        "user_id": _take(user_ids, user[rows]),
        "item_id": _take(item_ids, item[rows]),
        "timestamp": pa.array(time[rows]).cast(TIMESTAMP),
        "event": pa.array(["click", "purchase"]).take(pa.array(is_purchase.astype(int))),
        "value": pa.array(price, mask=~is_purchase),
        "session_id": _take(session_ids, sessions.session[rows]),
        "propensity": pa.nulls(len(rows), pa.float64()),
    }
    return pa.table(interactions, schema=INTERACTIONS), pa.table(decisions, schema=DECISIONS)


def names(prefix: str, count: int) -> pa.StringArray:
    """Ids ``u0001`` … of equal length, so that the order of ids is the order of numbers."""
    width = max(4, len(str(count)))
    digits = pc.utf8_lpad(pc.cast(pa.array(np.arange(1, count + 1)), pa.string()), width=width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _times(world: World, users: NDArray, sessions: Sessions, rng: np.random.Generator) -> NDArray[np.int64]:
    """Int64 [D] microseconds: a random slot of the log for each session, 5 to 60 seconds between its slates."""
    config = world.config
    longest = config.max_steps * 60_000_000
    keys = rng.random(len(users))
    by_user = np.lexsort((keys, users))
    first = np.searchsorted(users[by_user], users[by_user])
    rank = np.arange(len(users)) - first
    counts = np.bincount(users, minlength=config.num_users)[users[by_user]]
    # The log is cut into one slot a session of the user; a session starts at a random time in its slot.
    slot = config.days * DAY / counts
    room = np.maximum(slot - longest, 0.0)
    start = np.empty(len(users), dtype=np.int64)
    start[by_user] = (LOG_START + rank * slot + rng.random(len(users)) * room).astype(np.int64)
    gap = rng.integers(5_000_000, 60_000_000, size=len(sessions.step))
    gap[sessions.step == 0] = 0
    total = np.cumsum(gap)
    begins = np.flatnonzero(sessions.step == 0)
    return start[sessions.session] + total - np.repeat(total[begins], np.diff(np.append(begins, len(gap))))


def _histories(user: NDArray, item: NDArray) -> tuple[NDArray, NDArray]:
    """The last clicks before each decision, given in time order: flat item rows, and int32 offsets [D + 1]."""
    order = np.argsort(user, kind="stable")
    clicked = item[order] >= 0
    clicks = item[order][clicked]
    before: NDArray[np.int64] = np.cumsum(clicked) - clicked  # clicks before this decision, over the users so far
    begins = np.searchsorted(user[order], user[order])  # first decision of the same user
    counts = np.empty(len(user), dtype=np.int64)
    ends = np.empty(len(user), dtype=np.int64)
    counts[order] = np.minimum(before - before[begins], HISTORY_LENGTH)
    ends[order] = before
    offsets = np.concatenate(([0], np.cumsum(counts)))
    index = np.repeat(ends - counts - offsets[:-1], counts) + np.arange(offsets[-1])
    return clicks[index], offsets.astype(np.int32)


def _take(values: pa.Array, rows: NDArray) -> pa.Array:
    return values.take(pa.array(rows))


def _offsets(rows: int, width: int) -> pa.Array:
    return pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(width))


def _constant(value: str, rows: int) -> pa.Array:
    return pa.repeat(value, rows)
