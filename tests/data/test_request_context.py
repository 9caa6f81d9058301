"""What a request says by being made."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from rec_platform.data.calendar import calendar_columns
from rec_platform.data.request_context import REQUEST_CONTEXT, USER_HASH, request_context, user_hash
from rec_platform.errors import InputError

MOMENTS = np.array([0, 1_700_000_000_000_000], dtype=np.int64)


def test_columns_stand_in_the_order_asked_for() -> None:
    got = request_context(("weekday", USER_HASH, "month"), MOMENTS, ["a", "b"])
    calendar = calendar_columns(MOMENTS)
    assert got[:, 0].tolist() == calendar[:, 2].tolist()
    assert got[:, 2].tolist() == calendar[:, 0].tolist()
    assert got[:, 1].tolist() == [user_hash("a"), user_hash("b")]
    assert request_context((), MOMENTS, []).shape == (2, 0)
    assert request_context(REQUEST_CONTEXT, MOMENTS[:0], []).shape == (0, 4)


def test_a_hash_is_exact_in_float32_and_always_the_same() -> None:
    assert user_hash("a") == int(hashlib.blake2b(b"a", digest_size=3).hexdigest(), 16)
    numbers = [user_hash(f"user-{n}") for n in range(2000)]
    assert [int(np.float32(number)) for number in numbers] == numbers
    assert len({number % 4096 for number in numbers}) > 1500  # about 4096 (1 - e^-0.49)


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'weekday'"):
        request_context(("week_day",), MOMENTS, ["a", "b"])
