"""Forgetting what is old: decisions and events of before a moment.

An event is old when it happened before that moment and also reached the service before it; one that belongs to a
decision that stays, stays. Users, items and erasures stay. What is newer is never touched.

It goes page by page by ``seq``, read without a lock and removed in transactions of some hundred rows, with as long a
pause after each as it took, so that a service that runs meanwhile gets its turn. SQLite's file does not shrink: the
room is used again (``VACUUM`` gives it back, with the service stopped).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, delete, exists, select

from rec_platform.errors import InputError
from rec_platform.serving.schema import decisions, events, metadata, rejected_events, user_changes
from rec_platform.serving.store_reads import now_us

if TYPE_CHECKING:
    from rec_platform.serving.store import EventStore

PAGE = 500
"""Rows a transaction."""

_STAYING = exists().where(decisions.c.decision_id == events.c.recommendation_id)


def prune(store: EventStore, before: int, *, dry_run: bool = False) -> dict[str, int]:
    """Remove what is older than ``before``.

    Args:
        before: microseconds since 1970, not in the future.
        dry_run: only count.

    Returns:
        How many ``decisions``, ``events``, ``rejected_events`` and ``user_changes`` went.

    Raises:
        InputError: the moment has not been yet.
    """
    if before > now_us():
        raise InputError("before", "is in the future", "name a moment that has been")
    aged = {
        "decisions": decisions.c.created_at < before,
        "events": and_(
            events.c.occurred_at < before,
            events.c.received_at < before,
            ~_STAYING.where(decisions.c.created_at >= before),
        ),
        "rejected_events": rejected_events.c.received_at < before,
        "user_changes": user_changes.c.changed_at < before,
    }
    counts = dict.fromkeys(aged, 0)
    for name, old in aged.items():
        seq = metadata.tables[name].c.seq
        for page in _pages(store, select(seq).where(old).order_by(seq).limit(PAGE), seq):
            if dry_run:
                counts[name] += len(page)
                continue
            began = time.monotonic()
            counts[name] += store.remove_rows(name, page).result()
            time.sleep(time.monotonic() - began)
    return counts


def write_removals(connection: Connection, removals: Sequence[Any]) -> list[int]:
    """See `group_commit.Write`."""
    counts = []
    for name, seqs in removals:
        seq = metadata.tables[name].c.seq
        gone = delete(metadata.tables[name]).where(seq.in_(seqs)).returning(seq)
        counts.append(len(connection.execute(gone).all()))
    return counts


def _pages(store: EventStore, old: Select[Any], seq: Any) -> Iterator[list[int]]:
    after = 0
    while True:
        with store.connect() as connection:
            page = list(connection.execute(old.where(seq > after)).scalars())
        if not page:
            return
        after = page[-1]
        yield page
