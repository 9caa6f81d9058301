"""The moment of an event as calendar columns: month, half of the month and day of the week.

What people buy follows the calendar; bandits keep a value for each such moment. All in UTC, so that a log and the
service agree wherever they run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.histories import DAY
from rec_platform.types import Float32

CALENDAR_VALUES: dict[str, range] = {"month": range(1, 13), "half_month": range(2), "weekday": range(7)}
"""Names of the columns, in their order, and the values that each can have."""

CALENDAR_NAMES: tuple[str, ...] = tuple(CALENDAR_VALUES)


def calendar_columns(timestamps: NDArray[np.int64]) -> Float32:
    """Float32 [..., 3], the columns `CALENDAR_NAMES`, of microseconds since 1970 UTC int64 [...].

    ``month`` 1 … 12; ``half_month`` 0 up to the 15th day, 1 from the 16th; ``weekday`` 0 = Monday … 6 = Sunday.
    """
    days = np.floor_divide(np.asarray(timestamps, dtype=np.int64), DAY)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    month = months.astype(np.int64) % 12 + 1
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    return np.stack([month, day_of_month > 15, weekday], axis=-1).astype(np.float32)
