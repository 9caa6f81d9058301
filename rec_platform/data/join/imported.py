"""Logs that come joined already, such as open-bandit's: their channels become rewards by the spec, no event is needed.

A channel is an action that happened where it is above 0, with that number as its value; its rewards are combined as the
spec says. Channels have no times: for the combination ``last`` the best counts. A channel that the spec has no reward
for, and ``reward`` and ``reward:…`` of an earlier join, earn nothing. The slot chosen of which no channel tells that
anything came was consumed: it earns what the spec gives for ``consume``. ``chosen`` stays as it was logged.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.event_channels import CONSUME
from rec_platform.data.join.health import JoinCounts, JoinHealth, health_columns, propensity_health, sample_ratio
from rec_platform.data.join.joiner import Joined, with_columns
from rec_platform.data.join.matching import first_of
from rec_platform.data.join.outcomes import SPEC_CHANNEL, sums
from rec_platform.data.join.reward_spec import RewardSpec
from rec_platform.data.join.tables import conform_decisions, list_lengths
from rec_platform.errors import InputError
from rec_platform.types import Float64


def join_imported(decisions: pa.Table, spec: RewardSpec) -> Joined:
    """The decisions of a dataset as closed rows; those that were never joined (``chosen`` null) stay open.

    Raises:
        InputError: a column is missing or has values that cannot be.
    """
    table = conform_decisions(decisions)
    fresh = first_of(table["decision_id"])
    joined = table["chosen"].is_valid().to_numpy()
    rows = table.filter(pa.array(fresh & joined))
    order = pc.sort_indices(rows, sort_keys=[("timestamp", "ascending"), ("decision_id", "ascending")])
    rows = rows.take(order)
    offsets = np.concatenate(([0], np.cumsum(list_lengths(rows["slate"])))).astype(np.int64)
    _check_chosen(rows)
    slots, channels = _rewards(rows["rewards"], rows["chosen"].to_numpy(), offsets, spec)
    size = len(rows)
    none = pa.array(np.zeros(size, dtype=np.int32))
    columns = {
        "rewards": channels,
        "reward": pa.array(sums(np.repeat(np.arange(size), np.diff(offsets)), slots, size)),
        "closed_at": rows["timestamp"].combine_chunks(),
        "closed_by": pa.repeat("import", size),
        "active": pa.repeat(True, size),
        "slot_rewards": pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(slots)),
        "reward_spec": pa.repeat(spec.version, size),
        **{f"joined_{name}": none for name in ("events", "impressions", "interactions", "rewards")},
    }
    counts = JoinCounts(
        decisions=len(table),
        duplicate_decisions=int((~fresh).sum()),
        rows=size,
        open_rows=int((fresh & ~joined).sum()),
    )
    health = JoinHealth(**propensity_health(health_columns(rows)), arms=sample_ratio(rows, {}))
    return Joined(with_columns(rows, columns), counts, health, spec)


def _check_chosen(rows: pa.Table) -> None:
    chosen = rows["chosen"].to_numpy()
    wrong = np.flatnonzero((chosen < -1) | (chosen >= list_lengths(rows["slate"])))
    if len(wrong):
        problem = (
            f"decision '{rows['decision_id'][int(wrong[0])]}' chose slot {chosen[wrong[0]]}, which it does not have"
        )
        raise InputError("decisions.chosen", problem, "give a slot of the slate from 0, or -1 for none")


def _rewards(
    maps: pa.ChunkedArray, chosen: NDArray[np.int32], offsets: NDArray[np.int64], spec: RewardSpec
) -> tuple[Float64, pa.MapArray]:
    """Rewards float64 [S] of the slots, and the channels with `SPEC_CHANNEL` last."""
    array = maps.combine_chunks()
    array = array.take(pa.array(np.arange(len(array)))) if array.offset else array
    starts = array.offsets.to_numpy().astype(np.int64)
    keys = array.keys.slice(starts[0], starts[-1] - starts[0])
    lists = array.items.slice(starts[0], starts[-1] - starts[0])
    row = np.repeat(np.arange(len(array)), np.diff(starts))
    kept = pc.not_equal(keys, SPEC_CHANNEL).to_numpy(zero_copy_only=False)
    keys, lists, row = keys.filter(pa.array(kept)), lists.filter(pa.array(kept)), row[kept]
    names = pc.unique(keys).to_pylist()
    slots = np.full(int(offsets[-1]), np.nan)
    lengths = np.diff(offsets)
    sizes = list_lengths(pa.chunked_array([lists]))
    values = pc.list_flatten(lists).to_numpy(zero_copy_only=False).astype(np.float64)
    slot = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    owner = np.repeat(row, sizes)
    inside = slot < lengths[owner]
    channel = np.repeat(pc.index_in(keys, value_set=pa.array(names, pa.string())).to_numpy(), sizes)
    worth = np.where(values > 0, spec.of_actions(channel, names, values), np.nan)
    at, worth = (offsets[owner] + slot)[inside], worth[inside]
    at, worth = at[~np.isnan(worth)], worth[~np.isnan(worth)]
    if spec.combine == "sum":
        happened = np.bincount(at, minlength=len(slots)) > 0
        slots = np.where(happened, sums(at, worth, len(slots)), np.nan)
    else:
        np.fmax.at(slots, at, worth)
    consumed = offsets[:-1][chosen >= 0] + chosen[chosen >= 0]
    silent = consumed[np.isnan(slots[consumed])]
    slots[silent] = spec.of_actions(np.zeros(len(silent), dtype=np.int64), [CONSUME], np.full(len(silent), np.nan))
    slots = np.where(np.isnan(slots), spec.default_reward, slots)
    return slots, _with_channel(keys, lists, row, slots, offsets)


def _with_channel(
    keys: pa.Array, lists: pa.Array, row: NDArray[np.int64], slots: Float64, offsets: NDArray[np.int64]
) -> pa.MapArray:
    size = len(offsets) - 1
    own = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(slots)).cast(lists.type)
    all_rows = np.concatenate([row, np.arange(size)])
    order = pa.array(np.argsort(all_rows, kind="stable"))
    names = pa.concat_arrays([keys.cast(pa.string()), pa.array([SPEC_CHANNEL] * size, pa.string())]).take(order)
    starts = np.searchsorted(np.sort(all_rows), np.arange(size + 1)).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(starts), names, pa.concat_arrays([lists, own]).take(order))
