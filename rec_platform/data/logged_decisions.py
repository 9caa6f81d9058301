"""The decisions of a log as transitions: what offline reinforcement learning trains from, without any simulator.

One row a decision: what could be known when it was made, the slate shown, what came of it, and which decision followed
in the same session. Observations have the layout of simulated users of the whole catalogue (candidate j is item j), so
that a policy trained here can be judged, and served, there.

How sessions end, stated once. The last decision of a session is *terminated*: the user left, there is no future to
value. It is *truncated* (``terminated`` false, ``following`` -1), so that nothing may be said of what would have come,
in three cases:

- the session has reached ``max_session_slates``;
- the decision lies within `CUT` of the log's last one, so that the log may have ended before the session did;
- the next decision of the session is one of those left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.event_channels import CONSUME
from rec_platform.data.exposures import Exposures
from rec_platform.data.histories import Histories, catalog_indices
from rec_platform.data.user_log import UserLog
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Bool, Float32, Float64, Int32, Observation, PropensityKind

CUT = 30 * 60 * 1_000_000
"""Microseconds: a session silent for half an hour is over."""

CONTEXT_NAMES = ("session_slates", "session_response_rate")
"""The context columns, as learned users of one session show them."""


@dataclass(frozen=True)
class EligibleLists:
    """The candidate lists of D decisions, flat: ``items[offsets[d]:offsets[d + 1]]``; empty = none was logged.

    Attributes:
        offsets: int64 [D + 1].
        items: int32 catalogue indices, -1 = unknown item.
    """

    offsets: NDArray[np.int64]
    items: Int32

    def take(self, rows: NDArray[np.int64]) -> EligibleLists:
        """The lists of some decisions, in the order given."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        index = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return EligibleLists(offsets, self.items[index])


@dataclass(frozen=True)
class LoggedDecisions:
    """D decisions, sorted by user and time, each a slate of k different known items. N items, L history, F features.

    Attributes:
        users: int64 [D] user rows of ``histories``.
        sessions: int64 [D]; decisions of one session share it.
        ends: int64 [D] events of the user's history strictly before the decision.
        context: float32 [D, 2] `CONTEXT_NAMES`: slates of the session so far / ``max_session_slates``, and the share of
            them of which something was consumed.
        positions: int32 [D, k] what was shown; candidate j is item j.
        propensities: float64 [D, k], NaN where unknown.
        propensity_kind: how to read them; None where decisions differ in it, or it is not known.
        chosen: int32 [D] slot consumed, -1 = none.
        reward: float32 [D].
        terminated: bool [D] the session ended with this decision.
        following: int64 [D] row of the next decision of the session, -1 = none.
        histories, user_features: of the U users; float32 [U, F].
        num_items, history_length: N and L.
        eligible: candidate lists; None where no decision has one that is not the whole catalogue.
        dropped: decisions left out because their slate is not k different known items.
    """

    users: NDArray[np.int64]
    sessions: NDArray[np.int64]
    ends: NDArray[np.int64]
    context: Float32
    positions: Int32
    propensities: Float64
    propensity_kind: PropensityKind | None
    chosen: Int32
    reward: Float32
    terminated: Bool
    following: NDArray[np.int64]
    histories: Histories
    user_features: Float32
    num_items: int
    history_length: int
    eligible: EligibleLists | None
    dropped: int

    @staticmethod
    def build(
        log: UserLog,
        *,
        history_length: int,
        max_session_slates: int,
        reward: Mapping[str, float],
        dataset: Dataset | None = None,
    ) -> LoggedDecisions:
        """The decisions of ``log``; k is its longest slate.

        Args:
            history_length: L.
            max_session_slates: longest session of the users the policy is for; the scale of the context.
            reward: weight of each channel, summed over the slate: a logged reward channel, or ``consume``, which is 1
                in the slot chosen and in slots with a logged ``consume`` or ``click``.
            dataset: what ``log`` was read from. It tells how propensities are to be read and which candidates were
                eligible; without it every item is that does not stand in the visible history.

        Raises:
            InputError: no decision with a whole slate, an unknown channel, sizes below their least, or ``dataset`` is
                another one.
        """
        exposures = log.exposures
        if exposures is None or not len(exposures):
            fix = "ingest a log that says what was shown, or train in a simulator"
            raise InputError("data.dataset", "the log has no decisions", fix)
        for field, value, least in (
            ("max_session_slates", max_session_slates, 1),
            ("history_length", history_length, 0),
        ):
            if value < least:
                raise InputError(field, f"{value} is below {least}", f"give at least {least}")
        slates = np.sort(exposures.items, axis=1)
        kept = (slates[:, 0] >= 0) & (slates[:, 1:] != slates[:, :-1]).all(axis=1)
        if not kept.any():
            problem = f"no decision shows {slates.shape[1]} different known items"
            raise InputError("data.dataset", problem, "ingest slates of one length, and all items they show")
        kind, eligible = (None, None) if dataset is None else _stated(dataset, log, kept)
        context, terminated, following = _sessions(exposures, max_session_slates)
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        return LoggedDecisions(
            users=exposures.users[kept],
            sessions=exposures.sessions[kept],
            ends=exposures.ends[kept],
            context=context[kept],
            positions=exposures.items[kept],
            propensities=exposures.propensities[kept],
            propensity_kind=kind,
            chosen=exposures.chosen[kept],
            reward=_reward(exposures, reward)[kept],
            terminated=terminated[kept],
            following=np.where(following >= 0, number[following], -1)[kept],
            histories=log.histories,
            user_features=log.user_features,
            num_items=len(log.catalog),
            history_length=history_length,
            eligible=eligible,
            dropped=int(len(kept) - kept.sum()),
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def slate_size(self) -> int:
        """k."""
        return int(self.positions.shape[1])

    @property
    def truncated(self) -> Bool:
        """Bool [D]: nothing is known of what came after."""
        return (self.following < 0) & ~self.terminated

    def observation(self, rows: NDArray[Any]) -> Observation:
        """What could be known at some decisions; M = N.

        Available is what the decision's candidate list names, or, where it has none, every item that does not stand in
        the visible history. What was shown is available in any case: some recommenders repeat themselves.

        Args:
            rows: int [n] of 0 to D - 1; a `following` of -1 is no row.

        Raises:
            InputError: a row out of range.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise InputError("rows", f"a row is outside 0..{len(self) - 1}", "leave out those without a following one")
        users, everything = self.users[rows], np.arange(self.num_items, dtype=np.int32)
        history, feedback = self.histories.window(users, self.ends[rows], self.history_length)
        available = np.ones((len(rows), self.num_items), dtype=np.bool_)
        row, column = np.nonzero(history >= 0)
        available[row, history[row, column]] = False
        if self.eligible is not None:
            lists = self.eligible.take(rows)
            counts = np.diff(lists.offsets)
            available[counts > 0] = False
            known = lists.items >= 0
            available[np.repeat(np.arange(len(rows)), counts)[known], lists.items[known]] = True
        available[np.arange(len(rows))[:, None], self.positions[rows]] = True
        return Observation(
            user_features=self.user_features[users],
            history=history,
            history_feedback=feedback,
            context=self.context[rows],
            candidates=np.where(available, everything, np.int32(-1)),
        )


def _sessions(exposures: Exposures, longest: int) -> tuple[Float32, Bool, NDArray[np.int64]]:
    """Context float32 [D, 2], terminated bool [D] and following int64 [D] of all decisions, those left out too."""
    size = len(exposures)
    order = np.lexsort((np.arange(size), exposures.sessions, exposures.users))  # sessions of a user may overlap
    users, sessions = exposures.users[order], exposures.sessions[order]
    begins = np.concatenate(([True], (np.diff(users) != 0) | (np.diff(sessions) != 0)))
    start = np.maximum.accumulate(np.where(begins, np.arange(size), 0))
    before = np.arange(size) - start
    answered = exposures.chosen[order] >= 0
    running: NDArray[np.int64] = np.cumsum(answered) - answered
    context = np.stack([before / longest, (running - running[start]) / np.maximum(before, 1)], axis=1)
    last = np.concatenate((begins[1:], [True]))
    times = exposures.timestamps[order]
    cut = (before + 1 >= longest) | (times > times.max() - CUT)
    following = np.where(last, -1, np.concatenate((order[1:], [-1])))
    in_order = np.empty(size, dtype=np.int64)
    in_order[order] = np.arange(size)
    return context.astype(np.float32)[in_order], (last & ~cut)[in_order], following[in_order]


def _reward(exposures: Exposures, weights: Mapping[str, float]) -> Float32:
    """Float32 [D]: the weights over the channels, summed over the slots."""
    known = (CONSUME, *(name for name in exposures.channels if name != CONSUME))
    unknown = sorted(set(weights) - set(known))
    if unknown:
        raise InputError("reward", f"no channel {', '.join(unknown)} in the decisions", did_you_mean(unknown[0], known))
    consumed = np.arange(exposures.items.shape[1]) == exposures.chosen[:, None]
    total = np.zeros(len(exposures), dtype=np.float64)
    for number, name in enumerate(exposures.channels):
        if name in (CONSUME, "click"):
            consumed |= exposures.rewards[:, :, number] > 0
        if name != CONSUME:
            total += weights.get(name, 0.0) * exposures.rewards[:, :, number].sum(axis=1, dtype=np.float64)
    total += weights.get(CONSUME, 0.0) * consumed.sum(axis=1)
    return total.astype(np.float32)


def _stated(dataset: Dataset, log: UserLog, kept: Bool) -> tuple[PropensityKind | None, EligibleLists | None]:
    """What the table of decisions says beyond `Exposures`: the one kind of propensities, and candidate lists."""
    assert log.exposures is not None
    table = dataset.decisions
    rows = None if table is None else _table_rows(table, log.exposures, log)
    if table is None or rows is None:
        raise InputError("dataset", "its decisions are not those of the log", "give the dataset the log was read from")
    table = table.select(["propensity_kind", "candidates"]).take(pa.array(rows[kept]))
    kinds = table["propensity_kind"].unique().to_pylist()
    kind = cast(PropensityKind, kinds[0]) if len(kinds) == 1 and kinds[0] in get_args(PropensityKind) else None
    lists = _without_whole(_flat(table["candidates"], log.catalog), len(log.catalog))
    return kind, lists if len(lists.items) else None


def _without_whole(lists: EligibleLists, num_items: int) -> EligibleLists:
    """The lists, empty where one names the whole catalogue: then it restricts nothing."""
    counts = np.diff(lists.offsets)
    restricts = np.ones(len(counts), dtype=np.bool_)
    for row in np.flatnonzero(counts >= num_items):
        listed = lists.items[lists.offsets[row] : lists.offsets[row + 1]]
        named = np.zeros(num_items + 1, dtype=np.bool_)
        named[listed] = True  # an unknown item, -1, marks the place behind the last
        restricts[row] = not named[:-1].all()
    offsets = np.concatenate(([0], np.cumsum(counts * restricts))).astype(np.int64)
    return EligibleLists(offsets, lists.items[np.repeat(restricts, counts)])


def _table_rows(table: pa.Table, exposures: Exposures, log: UserLog) -> NDArray[np.int64] | None:
    """The row of each exposure in the table, int64 [D]; None where it has no such row.

    They are paired by user, time, chosen slot and slate; equal ones stand in the same order on both sides.
    """
    names = pa.array(log.histories.user_ids, pa.string())
    users = pc.fill_null(pc.index_in(table["user_id"], value_set=names), -1).to_numpy(zero_copy_only=False)
    slates = _flat(table["slate"], log.catalog)
    counts = np.diff(slates.offsets)
    items = np.full((len(table), max(int(counts.max(initial=0)), 1)), -1, dtype=np.int32)
    items[np.arange(items.shape[1]) < counts[:, None]] = slates.items
    if items.shape[1] != exposures.items.shape[1]:
        return None
    chosen = pc.fill_null(table["chosen"], -2).to_numpy(zero_copy_only=False)
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    keys = np.column_stack([users, times, chosen, items]).astype(np.int64)
    wanted = np.column_stack([exposures.users, exposures.timestamps, exposures.chosen, exposures.items])
    both = np.concatenate([wanted.astype(np.int64), keys])
    order = np.lexsort(both.T)
    codes = np.empty(len(both), dtype=np.int64)
    codes[order] = np.cumsum(np.concatenate(([False], (np.diff(both[order], axis=0) != 0).any(axis=1))))
    own, theirs = codes[: len(wanted)], codes[len(wanted) :]
    found = np.flatnonzero(np.isin(theirs, own))
    found = found[np.argsort(theirs[found], kind="stable")]
    by_code = np.argsort(own, kind="stable")
    if len(found) != len(own) or (theirs[found] != own[by_code]).any():
        return None
    rows = np.empty(len(own), dtype=np.int64)
    rows[by_code] = found
    return rows


def _flat(lists: pa.ChunkedArray, catalog: Catalog) -> EligibleLists:
    """Lists of ids as flat catalogue indices; a null is an empty list."""
    array = lists.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return EligibleLists(
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64), catalog_indices(pc.list_flatten(array), catalog)
    )
