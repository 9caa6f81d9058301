"""Each user's responses in time order, flat and ready for vectorised windows.

The tie rule, stated once: a user's events are sorted by time, those of one moment as their items stand in the
catalogue. Events of one item at one timestamp are one entry (a click and the purchase that came of it), which is
negative where any of them is: so a repeated row counts once. The entry's propensity, session and event are those of the
row that stands: of the least feedback, the first in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.catalog import Catalog
from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.types import Float32, Float64, Int32

DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class Histories:
    """Events of U users; the events of user row u are ``offsets[u]:offsets[u + 1]``, oldest first.

    An event's *position* is its number within its user, from 0.

    Attributes:
        user_ids: U ids, in order of id.
        offsets: int64 [U + 1].
        items: int32 [rows] catalogue indices.
        feedback: float32 [rows] +1 or -1.
        timestamps: int64 [rows] microseconds since 1970, UTC.
        propensities: float64 [rows] the probability that the row came to be in the log (`schema.INTERACTIONS`), NaN
            where the log does not say; None where it says so of no event.
        sessions: int64 [rows] a number for each (user, session_id), from 0; None where the log has no session ids.
            Where it has some, a user's events of one day (UTC) without one are a session of their own.
        events: int16 [rows] what happened, as a number of ``event_names``; None where that is not known.
        event_names: as the log calls them.
    """

    user_ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    items: Int32
    feedback: Float32
    timestamps: NDArray[np.int64]
    propensities: Float64 | None = None
    sessions: NDArray[np.int64] | None = None
    events: NDArray[np.int16] | None = None
    event_names: tuple[str, ...] = ()

    @staticmethod
    def build(dataset: Dataset, catalog: Catalog, rule: FeedbackRule | None = None) -> Histories:
        """The events of ``dataset`` that ``rule`` (its own where None) calls positive or negative.

        Items that are not in ``catalog`` are left out; so are users without an event.
        """
        log = dataset.interactions
        feedback = (rule or dataset.feedback_rule).column(log["event"], log["value"])
        items = catalog_indices(log["item_id"], catalog)
        kept = (feedback != 0) & (items >= 0)
        names = log["user_id"].combine_chunks().dictionary_encode()
        distinct = np.asarray(names.dictionary.to_pylist(), dtype=object)
        by_name = np.argsort(distinct)
        rank = np.empty(len(by_name), dtype=np.int64)
        rank[by_name] = np.arange(len(by_name))
        timestamps = log["timestamp"].cast(pa.int64()).to_numpy()[kept]
        propensities = log["propensity"].to_numpy()[kept]
        events = log["event"].filter(pa.array(kept)).combine_chunks().dictionary_encode()
        return Histories.from_events(
            user_ids=tuple(distinct[by_name]),
            users=rank[names.indices.to_numpy()[kept]],
            items=items[kept],
            feedback=feedback[kept],
            timestamps=timestamps,
            propensities=None if np.isnan(propensities).all() else propensities,
            sessions=session_codes(log["session_id"].filter(pa.array(kept)), timestamps),
            events=events.indices.to_numpy().astype(np.int16),
            event_names=tuple(events.dictionary.to_pylist()),
        )

    @staticmethod
    def from_events(
        *,
        user_ids: tuple[str, ...],
        users: NDArray[np.int64],
        items: Int32,
        feedback: Float32,
        timestamps: NDArray[np.int64],
        propensities: Float64 | None = None,
        sessions: NDArray[np.int64] | None = None,
        events: NDArray[np.int16] | None = None,
        event_names: tuple[str, ...] = (),
    ) -> Histories:
        """Sort events given in any order, all [rows]; ``users`` indexes ``user_ids``.

        Args:
            sessions: any number for each session; those of two users are two sessions, whatever their numbers.
        """
        # The feedback comes last, so that the first of a repeated (user, timestamp, item) is its least one.
        order = np.lexsort((feedback, items, timestamps, users))
        new = np.ones(len(users), dtype=bool)
        new[1:] = np.any([np.diff(column[order]) != 0 for column in (users, timestamps, items)], axis=0)
        order = order[new]
        users = users[order]
        counts = np.bincount(users, minlength=len(user_ids))
        present = counts > 0
        return Histories(
            user_ids=tuple(name for name, kept in zip(user_ids, present, strict=True) if kept),
            offsets=np.concatenate(([0], np.cumsum(counts[present]))).astype(np.int64),
            items=items[order].astype(np.int32),
            feedback=feedback[order].astype(np.float32),
            timestamps=timestamps[order].astype(np.int64),
            propensities=None if propensities is None else propensities[order].astype(np.float64),
            sessions=None if sessions is None else _numbered(users, sessions[order]),
            events=None if events is None else events[order],
            event_names=event_names,
        )

    def __len__(self) -> int:
        return len(self.user_ids)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Int64 [U]: events of each user."""
        return np.diff(self.offsets)

    @cached_property
    def user_of_event(self) -> NDArray[np.int64]:
        """Int64 [rows]: the user row of each event."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Int64 [rows]: the position of each event within its user."""
        return np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.counts)

    def window(self, users: NDArray[Any], ends: NDArray[Any], length: int) -> tuple[Int32, Float32]:
        """The last ``length`` events of each user strictly before position ``ends``.

        Args:
            users: int [B] user rows.
            ends: int [B] from 0 (no history) to the user's count (all of it).

        Returns:
            history int32 [B, length] and feedback float32 [B, length], newest last, padded at the left with -1 and 0.

        Raises:
            InputError: a user row or an end is out of range.
        """
        users, ends = np.asarray(users, dtype=np.int64), np.asarray(ends, dtype=np.int64)
        if users.size and not (users.min() >= 0 and users.max() < len(self)):
            raise InputError("users", f"a user row is outside 0..{len(self) - 1}")
        if ends.size and not (ends.min() >= 0 and (ends <= self.counts[users]).all()):
            raise InputError("ends", "an end is below 0 or past the user's last event")
        start = self.offsets[users][:, None]
        index = start + ends[:, None] + np.arange(-length, 0)[None, :]
        inside = index >= start
        if not len(self.items):
            return np.full(index.shape, -1, dtype=np.int32), np.zeros(index.shape, dtype=np.float32)
        index = np.where(inside, index, 0)
        history = np.where(inside, self.items[index], np.int32(-1))
        return history, np.where(inside, self.feedback[index], np.float32(0))

    def examples(
        self, users: NDArray[Any] | None = None, min_history: int = 0
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every event as a thing to predict: user rows int64 [n] and positions int64 [n].

        Its history is ``window(rows, positions, L)``; it is ``items[offsets[rows] + positions]``.

        Args:
            users: user rows to take, distinct; all where None.
            min_history: leave out events with fewer events before them.
        """
        wanted = np.ones(len(self), dtype=bool)
        if users is not None:
            wanted[:] = False
            wanted[np.asarray(users, dtype=np.int64)] = True
        kept = wanted[self.user_of_event] & (self.positions >= min_history)
        return self.user_of_event[kept], self.positions[kept]

    def select(self, users: NDArray[Any]) -> Histories:
        """The histories of some users (int rows or bool mask), in the order given; sessions keep their numbers."""
        rows = np.arange(len(self))[np.asarray(users)]
        counts = self.counts[rows]
        starts = np.cumsum(counts) - counts
        return self._take(rows, counts, np.repeat(self.offsets[rows] - starts, counts) + np.arange(counts.sum()))

    def before(self, ends: NDArray[Any]) -> Histories:
        """The first ``ends`` events of each user, int [U] from 0 to his count; users who keep none are left out."""
        kept = self.positions < np.asarray(ends, dtype=np.int64)[self.user_of_event]
        counts = np.bincount(self.user_of_event[kept], minlength=len(self))
        rows = np.flatnonzero(counts)
        return self._take(rows, counts[rows], np.flatnonzero(kept))

    def _take(self, users: NDArray[np.int64], counts: NDArray[np.int64], events: NDArray[np.int64]) -> Histories:
        """The rows ``events``, of which each of ``users`` has the next ``counts``."""
        return Histories(
            user_ids=tuple(self.user_ids[row] for row in users),
            offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            items=self.items[events],
            feedback=self.feedback[events],
            timestamps=self.timestamps[events],
            propensities=None if self.propensities is None else self.propensities[events],
            sessions=None if self.sessions is None else self.sessions[events],
            events=None if self.events is None else self.events[events],
            event_names=self.event_names,
        )


def catalog_indices(item_ids: pa.ChunkedArray | pa.Array, catalog: Catalog) -> Int32:
    """Catalogue indices int32 [rows] of a column of ids, -1 for an unknown one."""
    rows = pc.index_in(item_ids, value_set=pa.array(catalog.item_ids, pa.string()))
    indices: Int32 = pc.fill_null(rows, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return indices


def session_codes(session_ids: pa.ChunkedArray, timestamps: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Int64 [rows]: from 0 for a session id, below 0 for the day of an event without one; None where none has one."""
    named = session_ids.combine_chunks().dictionary_encode()
    if named.null_count == len(named):
        return None
    codes = pc.fill_null(named.indices, -1).to_numpy().astype(np.int64)
    return np.where(codes >= 0, codes, -1 - timestamps // DAY)


def _numbered(users: NDArray[np.int64], sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Int64 [rows]: a number for each pair (user, session), from 0 in order of appearance."""
    pairs = np.stack([users, sessions], axis=1)
    _, first, inverse = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[inverse.ravel()]
