"""The events of a log, each looked at once: its decision, its fate and its slot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.join.matching import Fate, Seen, Slates, fates_by_time, first_of, named_decisions, with_items
from rec_platform.data.join.reward_spec import RewardSpec
from rec_platform.data.join.tables import (
    END_EVENT,
    IMPRESSION_EVENT,
    INTERACTION_EVENT,
    REWARD_EVENT,
    event_types,
    microseconds,
)
from rec_platform.data.join.windows import Windows
from rec_platform.types import Bool

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """The events, looked at: ``kinds`` int8 [E], ``rows`` int64 [E] decisions (-1), ``fates`` int8 [E] and ``slots``
    int64 [E] flat slots of the items named (-1); ``seen`` of matched impressions; ``early`` how many of the matched
    happened before their decision."""

    table: pa.Table
    kinds: NDArray[np.int8]
    rows: Int64
    fates: NDArray[np.int8]
    slots: Int64
    seen: Seen
    early: int

    def matched(self, kind: int) -> Int64:
        """Int64 [n]: event rows of a kind that are joined."""
        return np.flatnonzero((self.kinds == kind) & (self.fates == Fate.MATCHED))

    def per_row(self, kind: int, size: int) -> Int64:
        """Int64 [size]: how many events of a kind each decision has."""
        return np.bincount(self.rows[self.matched(kind)], minlength=size)


def look_up(
    decisions: pa.Table, events: pa.Table, spec: RewardSpec, now: int, given_out: Bool, before: pa.Table
) -> tuple[Windows, Slates, Found]:
    """Look at a conformed log.

    Args:
        now: microseconds since 1970.
        given_out: bool [D] decisions whose rows were given out before.
        before: ``decision_id`` of all rows given out before.
    """
    kinds, first = event_types(events), first_of(events["event_id"])
    rows = named_decisions(events, decisions["decision_id"])
    ends = np.flatnonzero((kinds == END_EVENT) & first)
    windows = Windows.build(decisions, events.take(pa.array(ends)), rows[ends], spec)
    closed = (windows.closes <= now) | given_out
    fates = fates_by_time(events, kinds, rows, first, windows, closed)
    gone = np.flatnonzero((fates == Fate.ORPHAN_UNKNOWN_ID) & (kinds != END_EVENT))
    if len(gone) and len(before):  # of rows whose decisions are no longer in the log
        named = events["recommendation_id"].take(pa.array(gone))
        fates[gone[pc.is_in(named, value_set=before["decision_id"]).to_numpy()]] = Fate.LATE
    slates = Slates.build(decisions["slate"])
    slots = np.full(len(events), -1, dtype=np.int64)
    matched = np.flatnonzero((fates == Fate.MATCHED) & ((kinds == INTERACTION_EVENT) | (kinds == REWARD_EVENT)))
    slots[matched] = slates.find(rows[matched], events["item_id"].take(pa.array(matched)))
    seen = Seen.build(events, rows, np.flatnonzero((fates == Fate.MATCHED) & (kinds == IMPRESSION_EVENT)), slates)
    fates = with_items(fates, kinds, events, slots, seen)
    joined = np.flatnonzero((fates == Fate.MATCHED) & (kinds != END_EVENT))
    early = int((microseconds(events["occurred_at"])[joined] < windows.made[rows[joined]]).sum())
    return windows, slates, Found(events, kinds, rows, fates, slots, seen, early)
