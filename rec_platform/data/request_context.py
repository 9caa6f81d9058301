"""What a request says by being made: when, and by whom. Columns that a log, simulated users and the service share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rec_platform.data.calendar import CALENDAR_NAMES, calendar_columns
from rec_platform.errors import InputError, did_you_mean
from rec_platform.types import Float32

USER_HASH = "user_hash"
"""A number of the user's id, so that a table can have rows for users and no model holds their ids."""

USER_HASHES = 2**24
"""There are so many; each is exact in float32."""

REQUEST_CONTEXT: tuple[str, ...] = (*CALENDAR_NAMES, USER_HASH)


@lru_cache(maxsize=200_000)
def user_hash(user_id: str) -> int:
    """0 … `USER_HASHES` - 1, the same everywhere and always: the first three bytes of the id's BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(user_id.encode(), digest_size=3).digest(), "big")


def request_context(names: Sequence[str], timestamps: NDArray[np.int64], user_ids: Sequence[str] | NDArray) -> Float32:
    """Float32 [B, C], the columns ``names`` of `REQUEST_CONTEXT`.

    Args:
        timestamps: int64 [B] microseconds since 1970, UTC.
        user_ids: B ids; only read for `USER_HASH`.

    Raises:
        InputError: a name that is none of them.
    """
    for name in names:
        if name not in REQUEST_CONTEXT:
            raise InputError("context", f"'{name}' is unknown", did_you_mean(name, REQUEST_CONTEXT))
    columns = np.zeros((len(timestamps), len(names)), dtype=np.float32)
    calendar = calendar_columns(timestamps) if set(names) & set(CALENDAR_NAMES) else None
    for column, name in enumerate(names):
        if name == USER_HASH:
            columns[:, column] = [user_hash(str(user_id)) for user_id in user_ids]
        elif calendar is not None:
            columns[:, column] = calendar[:, CALENDAR_NAMES.index(name)]
    return columns
