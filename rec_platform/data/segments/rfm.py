"""Recency, frequency and monetary value of each user, from what he did before one moment.

J. R. Bult, T. Wansbeek (1995), Optimal selection for direct mail, Marketing Science 14(4); A. M. Hughes (1994),
Strategic Database Marketing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rec_platform.data.dataset import Dataset
from rec_platform.data.feedback import FeedbackRule
from rec_platform.data.histories import DAY, Histories, session_codes
from rec_platform.errors import InputError
from rec_platform.types import Float64

FrequencyIs = Literal["sessions", "days"]
MonetaryIs = Literal["sum_of_values", "positive_events"]

STARS = "rating"
"""The event whose value is stars, not worth."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rfm:
    """U users who have a positive event before ``as_of``; what came at that moment or later counts for nothing.

    Attributes:
        user_ids: U ids, in order of id.
        recency: float64 [U] days, with their fraction, from the last positive event to ``as_of``.
        frequency: int64 [U] distinct sessions or days with a positive event, at least 1.
        monetary: float64 [U].
        as_of: the moment, UTC.
        frequency_is: ``sessions``: session ids, and, where the log has some, a day (UTC) for an event without one;
            ``days``: days (UTC), where no positive event has a session id.
        monetary_is: ``sum_of_values``: of the positive events' values, ratings (stars) apart; ``positive_events``:
            their number, where none of those values is above 0.
    """

    user_ids: tuple[str, ...]
    recency: Float64
    frequency: NDArray[np.int64]
    monetary: Float64
    as_of: datetime
    frequency_is: FrequencyIs
    monetary_is: MonetaryIs

    def __len__(self) -> int:
        return len(self.user_ids)


def rfm(dataset: Dataset, *, as_of: datetime | None = None, rule: FeedbackRule | None = None) -> Rfm:
    """R, F and M of the users of a log.

    Args:
        as_of: without a zone it is UTC; where None the end of the day (UTC) of the log's last event.
        rule: says which events are positive; the dataset's own where None.

    Raises:
        InputError: ``as_of`` is not after the first event, or no event before it is positive.
    """
    log = dataset.interactions
    timestamps = log["timestamp"].cast(pa.int64()).to_numpy()
    moment = _day_after(timestamps) if as_of is None else _microseconds(as_of)
    if moment <= timestamps.min():
        problem = f"{_time(moment):%Y-%m-%d %H:%M} is not after the log's first event"
        raise InputError("as_of", problem, f"give a moment after {_time(int(timestamps.min())):%Y-%m-%d %H:%M}")
    counted = (rule or dataset.feedback_rule).column(log["event"], log["value"]) > 0
    counted &= timestamps < moment
    log, timestamps = log.filter(pa.array(counted)), timestamps[counted]
    user_ids = tuple(sorted(pc.unique(log["user_id"]).to_pylist()))
    stars = pc.equal(log["event"], STARS).to_numpy()
    values = np.nan_to_num(np.where(stars, 0.0, log["value"].to_numpy().astype(np.float64)), nan=0.0)
    return _of_events(
        user_ids=user_ids,
        users=pc.index_in(log["user_id"], value_set=pa.array(user_ids, pa.string())).to_numpy().astype(np.int64),
        timestamps=timestamps,
        sessions=session_codes(log["session_id"], timestamps),
        values=values if (values > 0).any() else None,
        moment=moment,
    )


def rfm_of_histories(histories: Histories, *, as_of: int | None = None) -> Rfm:
    """R, F and M of the users of histories, which carry no values: M is the number of positive entries.

    Args:
        as_of: microseconds since 1970, UTC; where None the end of the day of the last event.

    Raises:
        InputError: no event before ``as_of`` is positive.
    """
    if not len(histories):
        raise InputError("dataset", "there are no histories", "use a longer log")
    moment = _day_after(histories.timestamps) if as_of is None else as_of
    counted = (histories.feedback > 0) & (histories.timestamps < moment)
    users, present = histories.user_of_event[counted], np.zeros(len(histories), dtype=bool)
    present[users] = True
    return _of_events(
        user_ids=tuple(name for name, kept in zip(histories.user_ids, present, strict=True) if kept),
        users=(np.cumsum(present) - 1)[users],
        timestamps=histories.timestamps[counted],
        sessions=None if histories.sessions is None else histories.sessions[counted],
        values=None,
        moment=moment,
    )


def _of_events(
    *,
    user_ids: tuple[str, ...],
    users: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    sessions: NDArray[np.int64] | None,
    values: Float64 | None,
    moment: int,
) -> Rfm:
    """From the positive events before ``moment``, all [rows] in any order; every one of ``user_ids`` has one."""
    if not len(users):
        problem = f"no positive event before {_time(moment):%Y-%m-%d %H:%M}"
        raise InputError("dataset", problem, "give a later moment, or map the log's events with `ingest --map`")
    last = np.full(len(user_ids), np.iinfo(np.int64).min)
    np.maximum.at(last, users, timestamps)
    visits = timestamps // DAY if sessions is None else sessions
    order = np.lexsort((visits, users))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(users[order]) != 0) | (np.diff(visits[order]) != 0)
    return Rfm(
        user_ids=user_ids,
        recency=(moment - last) / DAY,
        frequency=np.bincount(users[order[first]], minlength=len(user_ids)),
        monetary=np.bincount(users, weights=values, minlength=len(user_ids)).astype(np.float64),
        as_of=_time(moment),
        frequency_is="days" if sessions is None else "sessions",
        monetary_is="positive_events" if values is None else "sum_of_values",
    )


def _day_after(timestamps: NDArray[np.int64]) -> int:
    """The first midnight (UTC) after the last of them: microseconds."""
    return (int(timestamps.max()) // DAY + 1) * DAY


def _microseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
