"""An acknowledged event is on disk, once; whatever happens to the process that took it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from postgres_server import PostgresServer
from sqlalchemy import Connection, insert, select
from stored_rows import decision, row

from rec_platform.data.catalog import Catalog
from rec_platform.data.feedback import FeedbackRule
from rec_platform.errors import InputError
from rec_platform.serving import store_writes
from rec_platform.serving.group_commit import GroupCommit, StoreBusy
from rec_platform.serving.schema import events
from rec_platform.serving.store import EventStore


@pytest.fixture
def store(store_url: str) -> Iterator[EventStore]:
    store = EventStore(store_url)
    yield store
    store.close()


def test_the_first_of_an_id_wins(store: EventStore) -> None:
    assert store.add_events([row("a", item_id="first"), row("a", item_id="second"), row("b")]).result() == 2
    assert store.add_events([row("a", item_id="third"), row("c")]).result() == 1
    with store.connect() as connection:
        assert connection.execute(select(events.c.item_id).where(events.c.event_id == "a")).scalars().all() == ["first"]


def test_many_clients_share_commits(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    write = store_writes.write_events

    def counted(connection: Connection, batches: Sequence[Any]) -> list[int]:
        commits.append(len(batches))
        return write(connection, batches)

    monkeypatch.setattr(store_writes, "write_events", counted)
    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(lambda n: store.add_events([row(f"e{n % 200}")]).result(), range(400)))
    assert sum(counts) == 200
    assert sum(commits) == 400
    assert len(commits) < 300
    assert store.counts()["events"] == 200


def test_a_row_that_fails_spoils_nobody_elses(store: EventStore) -> None:
    futures = [store.add_events([row(f"e{n}", user_id=None if n == 3 else "u")]) for n in range(8)]
    assert [future.exception() is None for future in futures] == [n != 3 for n in range(8)]
    assert store.counts()["events"] == 7


def test_a_caller_who_goes_away_does_not_stop_the_writer(store: EventStore) -> None:
    """Its request is cancelled while it waits; what it sent is written all the same."""

    async def give_up() -> None:
        held = threading.Event()
        store._commits.submit(lambda connection, payloads: [held.wait(10)], None)
        waiting = asyncio.wrap_future(store.add_events([row("a")]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0.01)
        held.set()

    asyncio.run(give_up())
    assert store.add_events([row("a"), row("b")]).result(10) == 1
    assert store.alive


def test_too_much_waiting_is_refused(store: EventStore) -> None:
    commits = GroupCommit(store.writer, max_pending=1)
    commits.close()
    assert not commits.alive
    with pytest.raises(StoreBusy):
        commits.submit(lambda connection, payloads: payloads, None)


def test_settings_and_index(tmp_path: Path) -> None:
    store = EventStore(f"sqlite:///{tmp_path / 'serving.db'}")
    with store.writer.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
        query = (
            "EXPLAIN QUERY PLAN SELECT item_id FROM events WHERE user_id = 'u' AND type = 'interaction' "
            "ORDER BY occurred_at DESC LIMIT 5"
        )
        plan = " ".join(r[-1] for r in connection.exec_driver_sql(query).all())
    assert "USING INDEX events_of_user" in plan
    assert "TEMP B-TREE" not in plan
    store.close()


def test_a_commit_waits_for_the_disk_whatever_the_server_says(postgres: PostgresServer) -> None:
    url = postgres.new_url()
    lazy = f"{url}%20-csynchronous_commit%3Doff"
    for given, found in ((lazy, "on"), (f"{url}%20-csynchronous_commit%3Dlocal", "local")):
        store = EventStore(given)
        with store.writer.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == found
        store.close()


def test_a_deadlock_is_tried_again(postgres: PostgresServer) -> None:
    """Another transaction adds the same events in the other order."""
    store = EventStore(postgres.new_url())
    with store.reader.begin() as other:
        other.execute(insert(events).values(row("b")))
        waiting = store.add_events([row("a"), row("b")])
        time.sleep(0.05)
        other.execute(insert(events).values(row("a")))  # each waits for the other now
    assert waiting.result() == 0
    store.close()


def test_kinds_overtake_each_other_but_what_is_in_order(store: EventStore) -> None:
    """Decision and activation, put and deletion reach the writer at once."""
    held = threading.Event()
    store._commits.submit(lambda connection, payloads: [held.wait(10)], None)
    decided = store.add_decision(decision("d", deferred=True))
    activated, again = store.activate("d", 5), store.activate("d", 6)
    unknown, known = store.activate("e", 5), store.add_decision(decision("e"))
    puts = [store.put_items({"i": {"price": 1}}), store.delete_items(["i"]), store.put_items({"i": {"price": 2}})]
    held.set()
    assert (decided.result(), activated.result(), again.result()) == (True, True, False)
    assert (unknown.result(), known.result(), store.activate("e", 7).result()) == (None, True, False)
    assert [put.result() for put in puts] == [1, 1, 1]
    item, row_ = store.item("i"), store.decision("d")
    assert item is not None
    assert row_ is not None
    assert (item.body, item.deleted, row_["activated_at"]) == ({"price": 2}, False, 5)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://host/db",
        "sqlite://",
        "sqlite:////proc/nowhere/x.db",
        "postgresql://u@/d?host=/nowhere",
        "postgresql+psycopg2://u@/d",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match="store"):
        EventStore(url)


def test_history_reads_what_counts(store: EventStore) -> None:
    store.add_events(
        [row(f"e{n}", item_id=f"i{n}", occurred_at=n, action="view" if n % 2 else "click") for n in range(9)]
    )
    store.add_events([row("other", user_id="v")]).result()
    names = tuple(f"i{n}" for n in range(8))  # i8 is not in the catalogue
    catalog = Catalog(names, names, np.zeros((8, 0), np.float32), (), np.full(8, 0.125, np.float32))
    with store.connect() as connection:
        assert store.history(connection, "u", catalog, FeedbackRule(), 3) == [(4, 1.0), (6, 1.0)]
        assert len(store.seen_items(connection, "u")) == 9


def test_events_of_one_moment_stand_as_their_items_in_the_catalogue(store: EventStore) -> None:
    moments = [("9", 1, "click"), ("10", 1, "click"), ("10", 1, "dislike"), ("9", 0, "dislike")]
    store.add_events([row(f"e{n}", item_id=i, occurred_at=t, action=a) for n, (i, t, a) in enumerate(moments)]).result()
    catalog = Catalog(("9", "10"), ("", ""), np.zeros((2, 0), np.float32), (), np.full(2, 0.5, np.float32))
    with store.connect() as connection:
        assert store.history(connection, "u", catalog, FeedbackRule(), 9) == [(0, -1.0), (0, 1.0), (1, -1.0)]


WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, {tests!r})
from stored_rows import row
from rec_platform.serving.store import EventStore

store = EventStore({url!r})

def write(number):
    store.add_events([row(f"e{{number}}")]).result()
    sys.stdout.write(f"e{{number}}\\n")
    sys.stdout.flush()

with ThreadPoolExecutor(4) as pool:
    list(pool.map(write, range({start}, 300)))
"""


def writer(url: str, *, start: int = 0) -> subprocess.Popen[str]:
    script = WRITER.format(tests=str(Path(__file__).parent), url=url, start=start)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_killed_writers_lose_nothing_they_acknowledged(store_url: str) -> None:
    """Two processes on one database, one killed half-way; then all is sent again."""
    url = store_url
    victim, survivor = writer(url), writer(url, start=200)
    assert victim.stdout is not None
    acknowledged = [victim.stdout.readline().strip() for _ in range(120)]
    os.kill(victim.pid, signal.SIGKILL)
    acknowledged += victim.stdout.read().split()
    victim.wait()
    survived, _ = survivor.communicate(timeout=60)
    acknowledged += survived.split()
    assert survivor.returncode == 0
    store = EventStore(url)
    with store.connect() as connection:
        stored = connection.execute(select(events.c.event_id)).scalars().all()
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    again = store.add_events([row(f"e{n}") for n in range(300)]).result()
    assert again == 300 - len(stored)
    assert store.counts()["events"] == 300
    store.close()
