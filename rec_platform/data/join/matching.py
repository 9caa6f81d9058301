"""Which event belongs to which decision and slot, and why the others belong to none: every event has one fate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.join.tables import END_EVENT, IMPRESSION_EVENT, list_lengths, microseconds
from rec_platform.data.join.windows import Windows
from rec_platform.types import Bool


class Fate(IntEnum):
    """What became of an event, in the order in which the questions are asked.

    An event that comes twice is a ``DUPLICATE`` and nothing else. Without a decision's id it is ``ORPHAN_NO_ID``, with
    one that the log does not have ``ORPHAN_UNKNOWN_ID``: history, never evaluation. ``PENDING``: its row is open.
    ``TOO_EARLY`` and ``LATE``: outside its row's window. ``UNKNOWN_ITEM``: its slate does not show the item, or none of
    the items of an impression. All others are ``MATCHED``; an ``episode_end`` is where its session is known.
    """

    MATCHED = 0
    DUPLICATE = 1
    ORPHAN_NO_ID = 2
    ORPHAN_UNKNOWN_ID = 3
    PENDING = 4
    TOO_EARLY = 5
    LATE = 6
    UNKNOWN_ITEM = 7


@dataclass(frozen=True)
class Slates:
    """The slates of D decisions, flat: S slots.

    Attributes:
        offsets: int64 [D + 1] slots of decision d are ``offsets[d]`` to ``offsets[d + 1] - 1``.
        keys: int64 [S] ``decision × N + item``, sorted.
        slots: int64 [S] the slot of each key; of an item shown twice in a slate the first comes first.
        items: the N different items.
    """

    offsets: NDArray[np.int64]
    keys: NDArray[np.int64]
    slots: NDArray[np.int64]
    items: pa.Array

    @staticmethod
    def build(slates: pa.ChunkedArray) -> Slates:
        counts = list_lengths(slates)
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        flat = pc.list_flatten(slates)
        items = pc.unique(flat)
        codes = pc.index_in(flat, value_set=items).to_numpy().astype(np.int64)
        keys = np.repeat(np.arange(len(counts)), counts) * max(len(items), 1) + codes
        order = np.argsort(keys, kind="stable")
        return Slates(offsets, keys[order], order, items)

    def find(self, rows: NDArray[np.int64], items: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Int64 [n]: the flat slot of each item in the slate of its decision (-1 = none), -1 where it is not shown."""
        codes = pc.fill_null(pc.index_in(items, value_set=self.items, skip_nulls=True), -1)
        codes = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        wanted = rows * max(len(self.items), 1) + codes
        if not len(self.keys):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found = (self.keys[places] == wanted) & (codes >= 0) & (rows >= 0)
        return np.where(found, self.slots[places], -1)


@dataclass(frozen=True)
class Seen:
    """Impressions, a row an item.

    Attributes:
        events: int64 [n] event rows.
        slots: int64 [n] flat slots.
        viewed: bool [n].
    """

    events: NDArray[np.int64]
    slots: NDArray[np.int64]
    viewed: Bool

    @staticmethod
    def build(events: pa.Table, rows: NDArray[np.int64], impressions: NDArray[np.int64], slates: Slates) -> Seen:
        """What the events ``impressions`` saw of the decisions ``rows`` (of all events); unknown items are left out."""
        listed = events["items"].take(pa.array(impressions))
        told = listed.is_valid().to_numpy().astype(bool)
        explicit, implicit = impressions[told], impressions[~told]
        counts = np.diff(slates.offsets)[rows[implicit]]
        begins = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        whole = np.repeat(slates.offsets[rows[implicit]] - begins[:-1], counts) + np.arange(begins[-1])
        kept = listed.filter(pa.array(told))
        lengths = list_lengths(kept)
        owner = np.repeat(explicit, lengths)
        slots = slates.find(rows[owner], pc.list_flatten(kept))
        viewed = _viewed(events["viewed"].take(pa.array(explicit)), lengths)
        known = slots >= 0
        return Seen(
            events=np.concatenate([np.repeat(implicit, counts), owner[known]]),
            slots=np.concatenate([whole, slots[known]]),
            viewed=np.concatenate([np.ones(len(whole), dtype=bool), viewed[known]]),
        )


def _viewed(lists: pa.ChunkedArray, lengths: NDArray[np.int64]) -> Bool:
    """Bool [sum of lengths]: as listed; true where nothing, or a list of another length, is told."""
    out = np.ones(int(lengths.sum()), dtype=bool)
    same = list_lengths(lists) == lengths
    told = pc.list_flatten(lists.filter(pa.array(same)))
    out[np.repeat(same, lengths)] = pc.fill_null(told, True).to_numpy(zero_copy_only=False)
    return out


def first_of(ids: pa.ChunkedArray) -> Bool:
    """Bool [rows]: whether an id stands for the first time."""
    codes = pc.index_in(ids, value_set=pc.unique(ids)).to_numpy().astype(np.int64)  # numbered as they appear
    out = np.ones(len(codes), dtype=bool)
    out[1:] = codes[1:] > np.maximum.accumulate(codes)[:-1] if len(codes) else True
    return out


def named_decisions(events: pa.Table, decision_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Int64 [E]: the row of the decision that each event names, -1 where it names none or an unknown one."""
    rows = pc.index_in(events["recommendation_id"], value_set=decision_ids, skip_nulls=True)
    return pc.fill_null(rows, -1).to_numpy().astype(np.int64)


def fates_by_time(
    events: pa.Table, kinds: NDArray[np.int8], rows: NDArray[np.int64], first: Bool, windows: Windows, closed: Bool
) -> NDArray[np.int8]:
    """Int8 [E] `Fate` as far as ids and times tell it; items are looked at afterwards.

    Args:
        rows: of `named_decisions`.
        first: false for duplicates.
        closed: bool [D] which rows are closed.
    """
    fates = np.full(len(events), Fate.MATCHED, dtype=np.int8)
    nameless = pc.is_null(events["recommendation_id"]).to_numpy()
    fates[rows < 0] = Fate.ORPHAN_UNKNOWN_ID
    fates[nameless] = Fate.ORPHAN_NO_ID
    known = np.flatnonzero(rows >= 0)
    row, time = rows[known], microseconds(events["occurred_at"])[known]
    fates[known] = np.select(
        [~closed[row], time < windows.opens[row], time > windows.closes[row]],
        [np.int8(Fate.PENDING), np.int8(Fate.TOO_EARLY), np.int8(Fate.LATE)],
        default=np.int8(Fate.MATCHED),
    )
    ends = np.flatnonzero((kinds == END_EVENT) & first)
    fates[ends[windows.end_matched]] = Fate.MATCHED
    lost = ends[~windows.end_matched]
    fates[lost] = np.where(nameless[lost], Fate.ORPHAN_NO_ID, Fate.ORPHAN_UNKNOWN_ID)
    fates[~first] = Fate.DUPLICATE
    return fates


def with_items(
    fates: NDArray[np.int8], kinds: NDArray[np.int8], events: pa.Table, slots: NDArray[np.int64], seen: Seen
) -> NDArray[np.int8]:
    """The fates, with ``UNKNOWN_ITEM`` where an item that is named is not shown.

    Args:
        slots: int64 [E] flat slots of the item of each matched event, -1 = not shown or no item named.
    """
    fates = fates.copy()
    matched = fates == Fate.MATCHED
    named = pc.is_valid(events["item_id"]).to_numpy()
    fates[matched & named & (slots < 0) & (kinds != END_EVENT) & (kinds != IMPRESSION_EVENT)] = Fate.UNKNOWN_ITEM
    shows = np.zeros(len(fates), dtype=bool)
    shows[seen.events] = True
    listed = pc.fill_null(pc.greater(pc.list_value_length(events["items"]), 0), False).to_numpy()
    fates[matched & (kinds == IMPRESSION_EVENT) & listed & ~shows] = Fate.UNKNOWN_ITEM
    return fates
