"""What came of decisions: from matched events to rewards a slot and a slate, channels, and the slot chosen.

Events of one moment count in the order they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rec_platform.data.join.reward_spec import IMPRESSION, RewardSpec
from rec_platform.types import Float64, Int32

SPEC_CHANNEL = "reward"
"""The slots' rewards by the spec, as a channel."""

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Touches:
    """T times that something happened to a slot, sorted by time and arrival.

    Attributes:
        rows: int64 [T] decisions.
        slots: int64 [T] flat slots.
        actions: int64 [T] indices into ``names``.
        names: of the actions; an impression's is `IMPRESSION`.
        values: float64 [T] the events' values, NaN = none.
    """

    rows: Int64
    slots: Int64
    actions: Int64
    names: list[str]
    values: Float64


@dataclass(frozen=True)
class Told:
    """R rewards that callers told, sorted by time and arrival.

    Attributes:
        rows: int64 [R] decisions.
        slots: int64 [R] flat slots, -1 = of the slate.
        labels: int64 [R] indices into ``names``.
        names: of the rewards.
        values: float64 [R].
    """

    rows: Int64
    slots: Int64
    labels: Int64
    names: list[str]
    values: Float64


@dataclass(frozen=True)
class Outcomes:
    """Of D decisions with S slots.

    Attributes:
        slot_rewards: float64 [S].
        slate_rewards: float64 [D].
        chosen: int32 [D] the slot of the best interaction that earns more than 0, of equal ones the first; -1 = none.
        channels: map array [D], channel -> list of one value a slot.
    """

    slot_rewards: Float64
    slate_rewards: Float64
    chosen: Int32
    channels: pa.MapArray

    @staticmethod
    def build(offsets: Int64, touches: Touches, told: Told, spec: RewardSpec) -> Outcomes:
        """The outcomes of slates with slots ``offsets`` int64 [D + 1]."""
        worth = spec.of_actions(touches.actions, touches.names, touches.values)
        slots = _told(_derived(int(offsets[-1]), touches, worth, spec), told, spec)
        row_of_slot = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        slates = sums(row_of_slot, slots, len(offsets) - 1)
        counted = _counted(told, spec) & (told.slots < 0)
        if spec.told == "replace":
            slates[told.rows[counted]] = told.values[counted]
        else:
            slates += sums(told.rows[counted], told.values[counted], len(slates))
        return Outcomes(slots, slates, _chosen(offsets, touches, worth), _channels(offsets, touches, told, slots, spec))


def sums(places: Int64, values: Float64, size: int) -> Float64:
    """Float64 [size]: the sum of the values of each place, added in order."""
    return np.bincount(places, weights=values, minlength=size).astype(np.float64)  # integers where there is nothing


def _derived(num_slots: int, touches: Touches, worth: Float64, spec: RewardSpec) -> Float64:
    """Float64 [S] before callers have their say."""
    known = ~np.isnan(worth)
    slots, worth = touches.slots[known], worth[known]
    out = np.full(num_slots, spec.default_reward)
    if spec.combine == "last":
        out[slots] = worth  # of several assignments to one slot the last stands
    elif spec.combine == "best":
        best = np.full(num_slots, -np.inf)
        np.maximum.at(best, slots, worth)
        out = np.where(np.isfinite(best), best, out)
    else:
        happened = np.bincount(slots, minlength=num_slots) > 0
        out = np.where(happened, sums(slots, worth, num_slots), out)
    return out


def _told(derived: Float64, told: Told, spec: RewardSpec) -> Float64:
    counted = _counted(told, spec) & (told.slots >= 0)
    slots, values = told.slots[counted], told.values[counted]
    if spec.told == "add":
        return derived + sums(slots, values, len(derived))
    derived[slots] = values
    return derived


def _counted(told: Told, spec: RewardSpec) -> NDArray[np.bool_]:
    if spec.told_names is None:
        return np.ones(len(told.rows), dtype=np.bool_)
    counts = np.array([name in spec.told_names for name in told.names], dtype=np.bool_)
    return counts[told.labels] if len(counts) else np.zeros(len(told.rows), dtype=np.bool_)


def _chosen(offsets: Int64, touches: Touches, worth: Float64) -> Int32:
    chosen = np.full(len(offsets) - 1, -1, dtype=np.int32)
    seen = touches.names.index(IMPRESSION) if IMPRESSION in touches.names else -1
    good = np.flatnonzero((worth > 0) & (touches.actions != seen))
    order = good[np.lexsort((-good, worth[good], touches.rows[good]))]  # the best, and of equal ones the first, is last
    rows = touches.rows[order]
    chosen[rows] = touches.slots[order] - offsets[rows]
    return chosen


def _channels(offsets: Int64, touches: Touches, told: Told, slot_rewards: Float64, spec: RewardSpec) -> pa.MapArray:
    rows_count = len(offsets) - 1
    actions = [f"action:{name}" if name == SPEC_CHANNEL else name for name in touches.names]
    names = sorted({*actions, *(f"reward:{name}" for name in told.names), SPEC_CHANNEL})
    width = len(names)
    of_action = np.array([names.index(name) for name in actions], dtype=np.int64)
    of_label = np.array([names.index(f"reward:{name}") for name in told.names], dtype=np.int64)
    on_slot = told.slots >= 0
    happened = touches.rows * width + (of_action[touches.actions] if len(actions) else 0)
    said = (told.rows * width + (of_label[told.labels] if len(told.names) else 0))[on_slot]
    always = np.arange(rows_count) * width + names.index(SPEC_CHANNEL)
    pairs = np.unique(np.concatenate([np.unique(happened), np.unique(said), always]))
    row = pairs // width
    starts = np.concatenate(([0], np.cumsum(np.diff(offsets)[row]))).astype(np.int64)
    values = np.zeros(int(starts[-1]))

    def places(keys: Int64, rows: Int64, slots: Int64) -> Int64:
        return np.asarray(starts[np.searchsorted(pairs, keys)] + slots - offsets[rows])

    values[places(happened, touches.rows, touches.slots)] = 1.0
    at = places(said, told.rows[on_slot], told.slots[on_slot])
    if spec.told == "add":
        values += sums(at, told.values[on_slot], len(values))
    else:
        values[at] = told.values[on_slot]
    own = np.repeat(np.arange(rows_count), np.diff(offsets))
    values[places(always[own], own, np.arange(int(offsets[-1])))] = slot_rewards
    keys = pa.DictionaryArray.from_arrays(pa.array((pairs % width).astype(np.int32)), pa.array(names, pa.string()))
    lists = pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), pa.array(values))
    map_offsets = np.searchsorted(row, np.arange(rows_count + 1)).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(map_offsets), keys.dictionary_decode(), lists)
