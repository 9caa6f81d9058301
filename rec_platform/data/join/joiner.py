"""The join itself: tables of decisions and events in, closed rows out, with a count of everything that was not joined.

Rules, stated once:

- An event belongs to the decision whose id it carries, never to one guessed from user and time.
- Time is when things happened (``occurred_at``), and all bounds are inclusive: an event is joined from
  ``backward_seconds`` before its decision (clocks differ, and rewards may be logged before the decision is) until the
  row closes. What happens later is late: it is counted and changes nothing.
- A row closes at its placement's deadline or at the end of its session (`windows`). It is given out once that moment is
  not after ``now``; until then it is open and its events are pending.
- Rows that were closed in an earlier run stay as they were. An event of theirs that happened in time and arrived only
  afterwards is late as well; to take such events in, rebuild from the raw log.
- Of events, and of decisions, with one id the first counts.
- Of an item that a slate shows twice, events belong to its first slot.
- A decision whose activation was deferred becomes active when its slate, or an item of it, is seen or used; else the
  row is inactive: given out without rewards.
- Rows are sorted by time and id. The result depends on the two logs and on which rows are closed, on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.join.found import Found, look_up
from rec_platform.data.join.health import JoinCounts, JoinHealth, health_columns, propensity_health, sample_ratio
from rec_platform.data.join.matching import Fate, Slates, first_of
from rec_platform.data.join.outcomes import Outcomes, Told, Touches
from rec_platform.data.join.reward_spec import IMPRESSION, RewardSpec
from rec_platform.data.join.tables import (
    IMPRESSION_EVENT,
    INTERACTION_EVENT,
    JOINED,
    REWARD_EVENT,
    conform_decisions,
    conform_events,
    microseconds,
)
from rec_platform.data.join.windows import Windows
from rec_platform.data.schema import TIMESTAMP
from rec_platform.types import Bool

Int64 = NDArray[np.int64]

BLOCK = 2**17
"""Rows made at once; it bounds the memory and changes nothing else."""


@dataclass(frozen=True)
class Joined:
    """What a join gives.

    Attributes:
        rows: rows closed by now that were not closed before, `tables.JOINED` and the log's other columns.
        counts: of the whole input, rows closed before included.
        health: whether the log is fit to be evaluated on.
        spec: what the rewards were made with.
    """

    rows: pa.Table
    counts: JoinCounts
    health: JoinHealth
    spec: RewardSpec


def join(
    decisions: pa.Table,
    events: pa.Table,
    spec: RewardSpec,
    now: datetime | int,
    *,
    closed: pa.Table | None = None,
    arm_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> Joined:
    """Join decisions with what came of them.

    Args:
        decisions: at least `tables.REQUIRED`; ``placement``, ``deferred`` (bool), ``experiment_id``, ``experiment_arm``
            and ``num_candidates`` are used where they are there, and all columns are kept.
        events: `tables.EVENTS`, in the order they arrived; columns that may be null may be missing.
        now: rows that close up to this moment are given out; microseconds since 1970, or a time (UTC without a zone).
        closed: ``decision_id``, ``active`` and ``joined_events`` of rows given out before.
        arm_weights: shares of an experiment's arms, by its id; equal where it is not named.

    Raises:
        InputError: a column is missing or has values that cannot be.
    """
    moment, before = as_microseconds(now), _before(closed)
    decisions, events = conform_decisions(decisions), conform_events(events)
    fresh = first_of(decisions["decision_id"])
    duplicate_decisions = int((~fresh).sum())
    if duplicate_decisions:
        decisions = decisions.filter(pa.array(fresh))
    places = pc.fill_null(pc.index_in(decisions["decision_id"], value_set=before["decision_id"]), -1).to_numpy()
    windows, slates, found = look_up(decisions, events, spec, moment, places >= 0, before)
    done = (windows.closes <= moment) | (places >= 0)
    new = np.flatnonzero(done & (places < 0))
    active = _active(decisions, found)
    finished = health_columns(decisions).filter(pa.array(done))
    propensities, arms = propensity_health(finished), sample_ratio(finished, arm_weights or {})
    order = _in_order(decisions, new)
    blocks = [order[begin : begin + BLOCK] for begin in range(0, max(len(order), 1), BLOCK)]
    rows = pa.concat_tables([_rows(decisions, block, windows, slates, found, active, spec) for block in blocks])
    late_arrivals = _late_arrivals(found, places, before)
    inactive = int((~active[new]).sum()) + int(pc.sum(pc.invert(before["active"])).as_py() or 0)
    fates = np.bincount(found.fates, minlength=len(Fate))
    counts = JoinCounts(
        decisions=len(decisions) + duplicate_decisions,
        duplicate_decisions=duplicate_decisions,
        rows=len(new) + len(before),
        open_rows=int((~done).sum()),
        inactive_rows=inactive,
        events=len(events),
        duplicates=int(fates[Fate.DUPLICATE]),
        matched=int(fates[Fate.MATCHED]) - late_arrivals,
        early=found.early,
        late=int(fates[Fate.LATE]) + late_arrivals,
        late_arrivals=late_arrivals,
        too_early=int(fates[Fate.TOO_EARLY]),
        unknown_items=int(fates[Fate.UNKNOWN_ITEM]),
        orphans_without_id=int(fates[Fate.ORPHAN_NO_ID]),
        orphans_of_unknown_id=int(fates[Fate.ORPHAN_UNKNOWN_ID]),
        pending=int(fates[Fate.PENDING]),
    )
    told: dict[str, Any] = {**counts.rates(), **propensities}
    health = JoinHealth(**told, arms=arms)
    return Joined(rows, counts, health, spec)


def as_microseconds(moment: datetime | int) -> int:
    """Since 1970, UTC."""
    if isinstance(moment, datetime):
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
    return int(moment)


def _before(closed: pa.Table | None) -> pa.Table:
    fields = [JOINED.field(name) for name in ("decision_id", "active", "joined_events")]
    if closed is None:
        return pa.schema(fields).empty_table()
    return closed.select([field.name for field in fields]).combine_chunks()


def _active(decisions: pa.Table, found: Found) -> Bool:
    """Bool [D]: not deferred, or seen, or used."""
    if "deferred" not in decisions.column_names:
        return np.ones(len(decisions), dtype=np.bool_)
    deferred = pc.fill_null(decisions["deferred"], False).to_numpy()
    used = found.per_row(IMPRESSION_EVENT, len(decisions)) + found.per_row(INTERACTION_EVENT, len(decisions))
    return np.asarray(~deferred | (used > 0))


def _in_order(decisions: pa.Table, rows: Int64) -> Int64:
    """The rows sorted by time and id."""
    keys = decisions.select(["timestamp", "decision_id"]).take(pa.array(rows))
    order = pc.sort_indices(keys, sort_keys=[("timestamp", "ascending"), ("decision_id", "ascending")])
    return np.asarray(rows[order.to_numpy()])


def _late_arrivals(found: Found, places: NDArray[np.int32], before: pa.Table) -> int:
    """How many events belong to rows given out before and are not in them."""
    rows = np.flatnonzero(places >= 0)
    if not len(rows):
        return 0
    now = sum(found.per_row(kind, len(places)) for kind in (IMPRESSION_EVENT, INTERACTION_EVENT, REWARD_EVENT))
    then = before["joined_events"].to_numpy()[places[rows]]
    return int(np.maximum(np.asarray(now)[rows] - then, 0).sum())


def _rows(
    decisions: pa.Table,
    kept: Int64,
    windows: Windows,
    slates: Slates,
    found: Found,
    active: Bool,
    spec: RewardSpec,
) -> pa.Table:
    """The rows ``kept`` int64 [n] of the decisions, with their outcomes."""
    outcomes = _outcomes(slates, found, spec, kept)
    counts = {
        name: found.per_row(kind, len(decisions))[kept].astype(np.int32)
        for name, kind in (("impressions", 0), ("interactions", 1), ("rewards", 2))
    }
    lives = active[kept]
    lengths = np.diff(slates.offsets)[kept]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    columns = {
        "chosen": pa.array(outcomes.chosen, mask=~lives),
        "rewards": _masked(outcomes.channels, lives),
        "reward": pa.array(outcomes.slate_rewards, mask=~lives),
        "closed_at": pa.array(windows.closes[kept]).cast(TIMESTAMP),
        "closed_by": pa.array(["deadline", "episode_end"]).take(pa.array(windows.ended[kept].astype(np.int8))),
        "active": pa.array(lives),
        "slot_rewards": _masked(pa.ListArray.from_arrays(pa.array(offsets), pa.array(outcomes.slot_rewards)), lives),
        "reward_spec": pa.repeat(spec.version, len(kept)),
        "joined_events": pa.array(sum(counts.values(), np.zeros(len(kept), dtype=np.int32))),
        **{f"joined_{name}": pa.array(values) for name, values in counts.items()},
    }
    return with_columns(decisions.take(pa.array(kept)), columns)


def with_columns(decisions: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Conformed decisions with the columns of the join, in the order of `JOINED` and then of the log."""
    others = [name for name in decisions.column_names if name not in JOINED.names]
    fields = [*JOINED, *(decisions.schema.field(name) for name in others)]
    arrays = [columns[f.name].cast(f.type) if f.name in columns else decisions[f.name] for f in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _outcomes(slates: Slates, found: Found, spec: RewardSpec, kept: Int64) -> Outcomes:
    """Of the rows ``kept``, in their order."""
    number = np.full(len(slates.offsets) - 1, -1, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    lengths = np.diff(slates.offsets)[kept]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    times = microseconds(found.table["occurred_at"])

    def placed(events: Int64, slots: Int64) -> tuple[Int64, Int64, Int64, Int64]:
        """Which of them count, in order of time; their rows and flat slots among the rows kept."""
        rows = number[found.rows[events]]
        use = np.flatnonzero(rows >= 0)
        use = use[np.lexsort((slots[use], events[use], times[events[use]]))]
        rows, slots, old = rows[use], slots[use], found.rows[events[use]]
        return use, events[use], rows, np.where(slots >= 0, slots - slates.offsets[old] + offsets[rows], -1)

    done = found.matched(INTERACTION_EVENT)
    done = done[found.slots[done] >= 0]
    viewed = found.seen.viewed
    events = np.concatenate([done, found.seen.events[viewed]])
    slots = np.concatenate([found.slots[done], found.seen.slots[viewed]])
    names, codes = _codes(found.table["action"].take(pa.array(done)), len(events), IMPRESSION)
    use, used, rows, at = placed(events, slots)
    values = found.table["value"].take(pa.array(used)).to_numpy()
    touches = Touches(rows, at, codes[use], names, np.where(use < len(done), values, np.nan))
    said = found.matched(REWARD_EVENT)
    labels, codes = _codes(found.table["name"].take(pa.array(said)), len(said), "reward")
    use, used, rows, at = placed(said, found.slots[said])
    told = Told(rows, at, codes[use], labels, found.table["value"].take(pa.array(used)).to_numpy())
    return Outcomes.build(offsets, touches, told, spec)


def _codes(names: pa.ChunkedArray, size: int, missing: str) -> tuple[list[str], Int64]:
    """The different names and int64 [size] indices into them; what is null, or behind the last, is ``missing``."""
    distinct = sorted({*pc.unique(names.drop_null()).to_pylist(), missing})
    codes = np.full(size, distinct.index(missing), dtype=np.int64)
    found = pc.index_in(names, value_set=pa.array(distinct, pa.string()))
    codes[: len(names)] = pc.fill_null(found, distinct.index(missing)).to_numpy()
    return distinct, codes


def _masked(array: pa.Array, kept: Bool) -> pa.Array:
    """With nulls where ``kept`` is false."""
    return array if kept.all() else pc.if_else(pa.array(kept), array, pa.scalar(None, array.type))
