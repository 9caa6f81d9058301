"""That what is known of a user changed, or that he was erased, told to all replicas without naming him.

Replicas keep users in memory (`rec_platform.serving.user_cache`). An event or a decision is a row that they see; new
attributes overwrite a row and an erasure takes rows away. So each writes a row here, in the same transaction.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

from sqlalchemy import Connection, insert

from rec_platform.serving.schema import user_changes


def user_key(user_id: str) -> str:
    """SHA-256 of the id, 64 hexadecimal digits: what may be kept of an erased user."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def note_changes(connection: Connection, user_ids: Iterable[str]) -> None:
    """One row a user. The caller has its turn (`store_writes.take_turns`): rows are read in the order of ``seq``."""
    now = time.time_ns() // 1000
    rows = [{"user_key": user_key(user_id), "changed_at": now} for user_id in dict.fromkeys(user_ids)]
    if rows:
        connection.execute(insert(user_changes), rows)
