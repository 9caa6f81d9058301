"""The earlier part of a log as a dataset of its own, so that what is held back cannot reach anything fitted to it.

Recommenders that are fitted to histories can be handed those of a `HeldOut`. Simulated users, reinforcement learning
and offline algorithms read a whole dataset (events of every kind, decisions, popularity): they get this one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.dataset import Dataset
from rec_platform.data.histories import Histories
from rec_platform.data.manifest import Source
from rec_platform.data.splits import HeldOut
from rec_platform.data.writer import write_dataset
from rec_platform.types import Bool

NEVER = np.iinfo(np.int64).max
"""The moment of a user of whom nothing is held back."""


def write_earlier_part(dataset: Dataset, histories: Histories, held_out: HeldOut, output: Path) -> Dataset:
    """Write what of ``dataset`` lies before each user's cut.

    Items and users stay as they are, so a catalogue index means the same item in both. Of events whatever kind they are
    those before the cut stay; of decisions those before it that were not answered by an event behind it. A segment that
    was computed from events behind a cut becomes unknown.

    Args:
        histories: of ``dataset``, what ``held_out`` cut.

    Raises:
        InputError: ``output`` cannot be written.
    """
    moments, items = _cuts(dataset, histories, held_out)
    log = dataset.interactions
    users, row_items, times = _user_rows(dataset, log), _item_rows(dataset, log["item_id"]), _microseconds(log)
    kept = times < moments[users]
    kept |= (times == moments[users]) & (row_items >= 0) & (row_items < items[users])
    removed = np.unique(users[~kept] * (len(dataset.items) + 1) + row_items[~kept])
    decisions = dataset.decisions
    if decisions is not None:
        decisions = decisions.filter(pa.array(_decisions_before(dataset, decisions, moments, removed)))
    return write_dataset(
        output,
        name=f"{dataset.name}, earlier part",
        source=Source(name=dataset.name, format="earlier part", parameters={"of": dataset.hash, "cut": held_out.split}),
        interactions=log.filter(pa.array(kept)),
        items=dataset.items,
        users=_users_then(dataset, int(moments.min())),
        decisions=decisions if decisions is not None and len(decisions) else None,
        feedback=dataset.feedback_rule,
    )


def _cuts(dataset: Dataset, histories: Histories, held_out: HeldOut) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row of the users table: microseconds of his cut, and the item before which events of it are earlier."""
    size = len(dataset.users)
    if held_out.moment is not None:
        return np.full(size, held_out.moment, dtype=np.int64), np.zeros(size, dtype=np.int64)
    moments, items = np.full(size, NEVER, dtype=np.int64), np.zeros(size, dtype=np.int64)
    train = dict(zip(held_out.train.user_ids, held_out.train.counts, strict=True))
    ends = np.array([train.get(name, 0) for name in histories.user_ids], dtype=np.int64)
    cut = np.flatnonzero(ends < histories.counts)
    rows = _rows_of(dataset, pa.array([histories.user_ids[user] for user in cut], pa.string()))
    first = histories.offsets[cut] + ends[cut]
    moments[rows], items[rows] = histories.timestamps[first], histories.items[first]
    return moments, items


def _decisions_before(dataset: Dataset, decisions: pa.Table, moments: NDArray[np.int64], removed: NDArray) -> Bool:
    """Bool [decisions]: made before the cut, and nothing of its slate was taken behind it."""
    users = _user_rows(dataset, decisions)
    kept: Bool = (users >= 0) & (_microseconds(decisions) < moments[users])
    slates = decisions["slate"].combine_chunks()
    owner = pc.list_parent_indices(slates).to_numpy(zero_copy_only=False).astype(np.int64)
    shown = _item_rows(dataset, pc.list_flatten(slates))
    slot = _places(np.bincount(owner, minlength=len(decisions)))
    chosen = pc.fill_null(decisions["chosen"], -1).to_numpy(zero_copy_only=False)
    answered = (slot == chosen[owner]) | _rewarded(decisions["rewards"].combine_chunks(), owner, slot)
    later = answered & np.isin(users[owner] * (len(dataset.items) + 1) + shown, removed)
    kept[owner[later]] = False
    return kept


def _rewarded(rewards: pa.MapArray, owner: NDArray[np.int64], slot: NDArray[np.int64]) -> Bool:
    """Bool [shown items]: whether any reward channel of the decision ``owner`` says something of the place ``slot``."""
    lists = rewards.items
    channels = np.repeat(np.arange(len(rewards)), np.diff(rewards.offsets.to_numpy()))
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False)
    width = int(max(slot.max(initial=0), counts.max(initial=0))) + 1
    told = np.repeat(channels, counts) * width + _places(counts)
    found: Bool = np.isin(owner * width + slot, told[np.nan_to_num(values) != 0])
    return found


def _places(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 [rows]: the number of each row within its group, of groups of ``counts`` rows one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _users_then(dataset: Dataset, first_cut: int) -> pa.Table:
    """The users, without segments where these know of events behind a cut."""
    segments, users = dataset.manifest.segments, dataset.users
    if segments is None or int(segments.as_of.timestamp() * 1_000_000) <= first_cut:
        return users
    column = users.schema.get_field_index("segment")
    return users.set_column(column, users.schema.field(column), pa.nulls(len(users), pa.string()))


def _user_rows(dataset: Dataset, table: pa.Table) -> NDArray[np.int64]:
    """Int64 [rows]: the row of each row's user in the users table, -1 for one of whom no event is known."""
    return _rows_of(dataset, table["user_id"])


def _rows_of(dataset: Dataset, user_ids: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    rows = pc.fill_null(pc.index_in(user_ids, value_set=dataset.users["user_id"].combine_chunks()), -1)
    numbers: NDArray[np.int64] = rows.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _item_rows(dataset: Dataset, item_ids: pa.ChunkedArray | pa.Array) -> NDArray[np.int64]:
    """Int64 [rows]: catalogue indices, -1 for an unknown item."""
    rows = pc.fill_null(pc.index_in(item_ids, value_set=dataset.items["item_id"].combine_chunks()), -1)
    numbers: NDArray[np.int64] = rows.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _microseconds(table: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = table["timestamp"].cast(pa.int64()).to_numpy()
    return times
