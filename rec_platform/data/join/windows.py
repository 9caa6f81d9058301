"""When a decision's row is open for events: from a little before it was logged until it closes.

A row closes ``wait_seconds`` after its decision, or when its session ends, whichever is first. An ``episode_end`` ends
the session it names (of its user) and that of the decision it names: all their decisions up to that moment, and none
that come after. A decision without a session is ended only by an end that names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.join.reward_spec import RewardSpec
from rec_platform.data.join.tables import microseconds
from rec_platform.types import Bool


@dataclass(frozen=True)
class Windows:
    """Of D decisions, in microseconds since 1970.

    Attributes:
        opens: int64 [D] an event before this moment is too early.
        made: int64 [D] when the decision was made.
        closes: int64 [D] an event after this moment is late.
        ended: bool [D] closed by an ``episode_end``, before its deadline.
        end_matched: bool [ends] which of the ends found their session.
    """

    opens: NDArray[np.int64]
    made: NDArray[np.int64]
    closes: NDArray[np.int64]
    ended: Bool
    end_matched: Bool

    @staticmethod
    def build(decisions: pa.Table, ends: pa.Table, end_rows: NDArray[np.int64], spec: RewardSpec) -> Windows:
        """The windows of ``decisions``.

        Args:
            ends: events of type ``episode_end``, without duplicates.
            end_rows: int64 [ends] the decision that an end names, -1 = none.
        """
        made = microseconds(decisions["timestamp"])
        deadline = made + _waits(decisions["placement"], spec)
        groups, own, named = _sessions(decisions, ends, end_rows)
        times = microseconds(ends["occurred_at"])
        end = _next_end(made, groups, np.concatenate([times, times]), np.concatenate([own, named]))
        return Windows(
            opens=made - round(spec.backward_seconds * 1e6),
            made=made,
            closes=np.minimum(deadline, end),
            ended=end < deadline,
            end_matched=(own >= 0) | (named >= 0),
        )


def _waits(placements: pa.ChunkedArray, spec: RewardSpec) -> NDArray[np.int64]:
    names = list(spec.placement_wait_seconds)
    waits = np.array([spec.wait_us(name) for name in names] + [spec.wait_us(None)], dtype=np.int64)
    codes = pc.index_in(placements, value_set=pa.array(names, pa.string()))
    return waits[pc.fill_null(codes, len(names)).to_numpy()]


def _sessions(
    decisions: pa.Table, ends: pa.Table, end_rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """A number a session: of decisions int64 [D], and int64 [ends] of the sessions that ends name and of those of the
    decisions that they name (-1 = none, or unknown)."""
    size, none = len(decisions), np.full(len(ends), -1, dtype=np.int64)
    if not len(ends) or not size:
        return np.arange(size), none, none
    names = _session_names(decisions)
    distinct = pc.unique(names.drop_null())
    own = pc.fill_null(pc.index_in(names, value_set=distinct), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    groups = np.where(own >= 0, own, len(distinct) + np.arange(size))
    ends_own = pc.index_in(_session_names(ends), value_set=distinct, skip_nulls=True)
    found = pc.fill_null(ends_own, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return groups, found, np.where(end_rows >= 0, groups[end_rows], -1)


def _session_names(table: pa.Table) -> pa.Array:
    """User and session as one text; null without either."""
    joined = pc.binary_join_element_wise(table["user_id"], table["session_id"], "\x00")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _next_end(
    made: NDArray[np.int64], groups: NDArray[np.int64], times: NDArray[np.int64], end_groups: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Int64 [D]: the first end of each decision's session at or after it; the largest integer where there is none."""
    never = np.iinfo(np.int64).max
    known = end_groups >= 0
    if not known.any():
        return np.full(len(made), never)
    group = np.concatenate([groups, end_groups[known]])
    time = np.concatenate([made, times[known]])
    is_end = np.arange(len(group)) >= len(made)
    order = np.lexsort((is_end, time, group))  # an end of the same instant stands behind the decision
    places = np.where(is_end[order], np.arange(len(order)), len(order))
    following = np.minimum.accumulate(places[::-1])[::-1]
    at = order[np.minimum(following, len(order) - 1)]
    found = (following < len(order)) & (group[at] == group[order])
    out = np.empty(len(order), dtype=np.int64)
    out[order] = np.where(found, time[at], never)
    return out[: len(made)]
