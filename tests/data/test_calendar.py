"""Calendar columns against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from rec_platform.data.calendar import CALENDAR_NAMES, CALENDAR_VALUES, calendar_columns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def test_every_hour_and_microsecond_of_odd_years_is_as_the_calendar_says() -> None:
    moments = [datetime(2023, 12, 1, tzinfo=UTC) + timedelta(hours=7 * n) for n in range(2000)]
    moments += [datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), EPOCH, datetime(1900, 3, 1, tzinfo=UTC)]
    moments += [datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC), datetime(2024, 3, 15, 23, 59, tzinfo=UTC)]
    got = calendar_columns(np.array([microseconds(moment) for moment in moments]))
    assert got.tolist() == [[m.month, float(m.day > 15), m.weekday()] for m in moments]
    assert got.dtype == np.float32


def test_shapes_and_values() -> None:
    assert CALENDAR_NAMES == ("month", "half_month", "weekday")
    got = calendar_columns(np.arange(0, 400 * 86_400_000_000, 86_400_000_000).reshape(4, 100))
    assert got.shape == (4, 100, 3)
    for column, values in enumerate(CALENDAR_VALUES.values()):
        assert set(got[..., column].ravel()) == set(values)
