"""What users were shown: the decisions of a log, aligned with the histories of its users.

A history holds what a user responded to; exposures also hold what he passed over, in which slot, and how likely the
logging policy was to show it. They are what choice models and leave models are fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import Histories, catalog_indices
from rec_platform.types import Bool, Float32, Float64, Int32


@dataclass(frozen=True)
class Exposures:
    """D decisions of users of a `Histories`, sorted by user and time. k = longest slate, E = event channels.

    Attributes:
        users: int64 [D] user rows.
        ends: int64 [D] events of the user's history strictly before the decision.
        sessions: int64 [D] number of the session; decisions of one session share it.
        items: int32 [D, k] catalogue indices shown, -1 = empty slot or unknown item.
        chosen: int32 [D] slot consumed, -1 = none.
        propensities: float64 [D, k], NaN where unknown.
        timestamps: int64 [D] microseconds since 1970, UTC.
        channels: E names of the logged reward channels.
        rewards: float32 [D, k, E].
    """

    users: NDArray[np.int64]
    ends: NDArray[np.int64]
    sessions: NDArray[np.int64]
    items: Int32
    chosen: Int32
    propensities: Float64
    timestamps: NDArray[np.int64]
    channels: tuple[str, ...]
    rewards: Float32

    @staticmethod
    def build(dataset: Dataset, catalog: Catalog, histories: Histories) -> Exposures | None:
        """The joined decisions of ``dataset`` whose user is in ``histories``; None where there are none.

        A decision without ``session_id`` belongs to the session of ``previous_decision_id``'s decision, or starts one.
        Decisions that are not joined yet (``chosen`` null) are left out, those without any known item too, and those
        of which an item was consumed that is not known.
        """
        table = dataset.decisions
        if table is None or not len(table):
            return None
        users = pc.fill_null(pc.index_in(table["user_id"], value_set=pa.array(histories.user_ids, pa.string())), -1)
        users = users.to_numpy(zero_copy_only=False).astype(np.int64)
        chosen = pc.fill_null(table["chosen"], -2).to_numpy(zero_copy_only=False).astype(np.int32)
        items = _padded(table["slate"], catalog)
        propensities = _padded_numbers(table["propensities"], items.shape[1])
        channels, rewards = _rewards(table["rewards"], items.shape[1])
        kept = (users >= 0) & (chosen >= -1) & (chosen < items.shape[1]) & (items >= 0).any(axis=1)
        consumed = items[np.arange(len(items)), np.clip(chosen, 0, items.shape[1] - 1)]
        kept &= (chosen < 0) | (consumed >= 0)
        if not kept.any():
            return None
        timestamps = table["timestamp"].cast(pa.int64()).to_numpy()
        order = np.flatnonzero(kept)
        order = order[np.lexsort((order, timestamps[order], users[order]))]
        return Exposures(
            users=users[order],
            ends=events_before(histories, users[order], timestamps[order]),
            sessions=session_numbers(table)[order],
            items=items[order],
            chosen=chosen[order],
            propensities=propensities[order],
            timestamps=timestamps[order],
            channels=channels,
            rewards=rewards[order],
        )

    def __len__(self) -> int:
        return len(self.users)

    def select(self, user_rows: NDArray, num_users: int) -> Exposures:
        """Those of some users (int rows or bool mask), renumbered as `Histories.select` renumbers them.

        Args:
            num_users: U of the histories these exposures belong to.
        """
        rows = np.arange(num_users)[np.asarray(user_rows)]
        begins = np.searchsorted(self.users, np.arange(num_users))
        stops = np.searchsorted(self.users, np.arange(num_users), side="right")
        counts = (stops - begins)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts)))
        index = np.repeat(begins[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        arrays = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name not in ("users", "channels")}
        return Exposures(users=np.repeat(np.arange(len(rows)), counts), channels=self.channels, **arrays)

    def within(self, whole: Histories, part: Histories) -> Exposures:
        """Those of which ``part`` holds what came next: `Histories.before` of ``whole``, which they belong to.

        A decision whose user has no later event in ``part`` is left out: what came of it may have been held back.
        """
        row = {name: number for number, name in enumerate(part.user_ids)}
        number = np.array([row.get(name, -1) for name in whole.user_ids], dtype=np.int64)[self.users]
        kept = (number >= 0) & (self.ends < part.counts[np.maximum(number, 0)])
        arrays = {f.name: getattr(self, f.name)[kept] for f in fields(self) if f.name not in ("users", "channels")}
        return Exposures(users=number[kept], channels=self.channels, **arrays)

    @property
    def slots(self) -> Bool:
        """Bool [D, k]: which slots hold a known item."""
        return self.items >= 0


def _padded(slates: pa.ChunkedArray, catalog: Catalog) -> Int32:
    """Int32 [D, k]: catalogue indices, -1 where a slate is shorter or an item unknown."""
    array = slates.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.full((len(array), max(int(counts.max(initial=0)), 1)), -1, dtype=np.int32)
    out[np.arange(out.shape[1]) < counts[:, None]] = catalog_indices(pc.list_flatten(array), catalog)
    return out


def _padded_numbers(lists: pa.ChunkedArray, width: int) -> Float64:
    """Float64 [D, width], NaN where a list is shorter."""
    array = lists.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    out = np.full((len(array), max(int(counts.max(initial=0)), width)), np.nan)
    values = pc.list_flatten(array).to_numpy(zero_copy_only=False)
    out[np.arange(out.shape[1]) < counts[:, None]] = values
    return out[:, :width]


def _rewards(rewards: pa.ChunkedArray, slate_size: int) -> tuple[tuple[str, ...], Float32]:
    """Channel names in order of first appearance and float32 [D, k, E]."""
    array = rewards.combine_chunks()
    offsets = array.offsets.to_numpy()
    keys, lists = array.keys, array.items
    names = tuple(dict.fromkeys(keys.to_pylist()))
    out = np.zeros((len(array), slate_size, len(names)), dtype=np.float32)
    if not names:
        return (), out
    channel = np.array([names.index(key) for key in keys.to_pylist()], dtype=np.int64)
    row = np.repeat(np.arange(len(array)), np.diff(offsets))
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    starts = np.concatenate(([0], np.cumsum(counts)))[:-1]
    slot = np.arange(len(values)) - np.repeat(starts, counts)
    inside = slot < slate_size
    out[np.repeat(row, counts)[inside], slot[inside], np.repeat(channel, counts)[inside]] = values[inside]
    return names, out


def session_numbers(table: pa.Table) -> NDArray[np.int64]:
    """Int64 [D]: a number a session, of the rows of `schema.DECISIONS` (see `Exposures.build`)."""
    named = table["session_id"].combine_chunks().dictionary_encode()
    numbers = pc.fill_null(named.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    users = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    numbers = np.where(numbers >= 0, users.astype(np.int64) * (len(named.dictionary) + 1) + numbers, -1)
    unnamed = np.flatnonzero(numbers < 0)
    if len(unnamed):
        row_of = {name: row for row, name in enumerate(table["decision_id"].to_pylist())}
        previous = table["previous_decision_id"].to_pylist()
        order = unnamed[np.argsort(table["timestamp"].cast(pa.int64()).to_numpy()[unnamed], kind="stable")]
        fresh = int(numbers.max(initial=0)) + 1
        for row in order:
            before = row_of.get(previous[row])
            numbers[row] = numbers[before] if before is not None and numbers[before] >= 0 else fresh + row
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def events_before(histories: Histories, users: NDArray[np.int64], timestamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 [D]: how many events of its user lie strictly before each decision; decisions sorted by (user, time)."""
    user = np.concatenate([users, histories.user_of_event])
    time = np.concatenate([timestamps, histories.timestamps])
    is_event = np.concatenate([np.zeros(len(users), dtype=bool), np.ones(len(histories.items), dtype=bool)])
    order = np.lexsort((is_event, time, user))  # a decision stands before events of its own instant
    before = np.cumsum(is_event[order]) - is_event[order]
    counts = np.empty(len(order), dtype=np.int64)
    counts[order] = before
    return counts[: len(users)] - histories.offsets[users]
